/* Which file of the journal comes next. Thread: loop. */
#pragma once

#include "log_private.h"

/** journal_maintain() - see to it that the log writer has a file to go on with */
void journal_maintain(struct topic_log *log);
/** journal_ask_again() - each tick: for a file that the disk has refused and clients wait for */
void journal_ask_again(struct topic_log *log);
/** journal_room() - bytes that the journal can still take without a checkpoint */
uint64_t journal_room(const struct topic_log *log);
/** journal_is_freed() - all but the current file is free, and the disk refuses none: no checkpoint
 * would free more */
bool journal_is_freed(const struct topic_log *log);
