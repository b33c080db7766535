/* A swap under way: the window in which files are replaced, and who waits for its end. Thread:
 * loop, where nothing else is said. */
#pragma once

#include "fields.h"
#include "log_private.h"

struct swap;

/* A read of files that are being replaced waits here. */
struct swap_waiter {
    struct list link;
    void (*resume)(struct swap_waiter *waiter); /* begin anew */
};
/** swap_window_open() - files of @partition must not be opened by name now */
bool swap_window_open(const struct topic_log *log, const struct log_partition *partition);
void swap_hold(struct topic_log *log, struct swap_waiter *waiter);
/** swap_came_between() - files of @partition were replaced, or are being, since its swap_count was
 * @swap_count: then @waiter begins anew, now or when they are in place */
bool swap_came_between(struct topic_log *log, const struct log_partition *partition,
                       uint32_t swap_count, struct swap_waiter *waiter);
void swap_resume_held(struct topic_log *log);
/** swap_names() - whether files of @partition (-1: any of the topic) are being replaced */
bool swap_names(const struct topic_log *log, uint32_t topic, int32_t partition);
void swap_go_on(struct topic_log *log); /* after a full disk */
void swap_encode_pending(const struct topic_log *log, struct text *out);
/** swap_decode_pending() - and finish them. Thread: recovery */
int swap_decode_pending(struct topic_log *log, struct fields *in);

/**
 * swap_send() - put the record of @swap on its way; takes it over with 0
 * Return: 0, and cleaner_idle() follows; TOPIC_E_FULL and others: nothing has happened.
 */
int swap_send(struct topic_log *log, struct log_partition *partition, struct swap *swap);
/** swap_discard() - remove its files; takes it over; cleaner_idle() follows */
void swap_discard(struct topic_log *log, struct log_partition *partition, struct swap *swap);
