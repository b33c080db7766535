/* Which segments go by age and size, and the clock that says so. */
#pragma once

#include "log_private.h"

void retention_init(struct topic_log *log);
void retention_start(struct topic_log *log);
void retention_stop(struct topic_log *log);
/** log_now_ms() - Unix time by which things are old: a clock that jumps ahead is not believed */
int64_t log_now_ms(const struct topic_log *log);
/** retention_age_time() - when the newest of @segment was written, as retention counts */
int64_t retention_age_time(const struct log_segment *segment);
