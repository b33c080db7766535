/* What cleaner.c (when to compact what) and swap_run.c (taking over) offer the rest of the log. */
#pragma once

#include "log_private.h"

struct swap;

void cleaner_init(struct topic_log *log);
void cleaner_start(struct topic_log *log);
/** cleaner_stop() - begin nothing any more, and end what is being read */
void cleaner_stop(struct topic_log *log);
/** cleaner_busy() - whether a stop must still wait */
bool cleaner_busy(const struct topic_log *log);
/** cleaner_idle() - a run is over, swapped or not */
void cleaner_idle(struct topic_log *log);

/**
 * swap_send() - put the record of @swap on its way; takes it over with 0
 * Return: 0, and cleaner_idle() follows; TOPIC_E_FULL and others: nothing has happened.
 */
int swap_send(struct topic_log *log, struct log_partition *partition, struct swap *swap);
/** swap_discard() - remove its files; takes it over; cleaner_idle() follows */
void swap_discard(struct topic_log *log, struct log_partition *partition, struct swap *swap);
