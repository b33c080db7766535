/* Appends between topic_log_append() and the log writer. */
#pragma once

#include "log_private.h"

/* ---- append.c ---- */

void append_init(struct topic_log *log); /* with what follows of its parts */
void append_deinit(struct topic_log *log);
/** append_now() - topic_log_append() without a look at what there is room for */
int append_now(struct topic_log *log, struct append *append);
uint64_t append_bytes(const struct append *append); /* of its batches */
void append_unit_free(struct topic_log *log, struct append_unit *unit);
void append_trim(struct topic_log *log); /* gives back what is kept for appends to come */

/* ---- append_admit.c ---- */

void append_admit_init(struct topic_log *log);
void append_admit_deinit(struct topic_log *log);
void append_admit_soon(struct topic_log *log); /* there may be room for what waits */
/** append_admit_wanted_bytes() - journal_room() that the first append in wait needs; 0: none waits
 */
uint64_t append_admit_wanted_bytes(const struct topic_log *log);

/* ---- append_submit.c ---- */

void append_submit_init(struct topic_log *log);
void append_submit_deinit(struct topic_log *log);
void append_flush_soon(struct topic_log *log); /* something is queued for the log writer */
