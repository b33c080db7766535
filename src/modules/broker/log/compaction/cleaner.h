/* What the files of the cleaner share and offer the rest of the log. */
#pragma once

#include "log_private.h"

/* ---- cleaner.c ---- */
void cleaner_init(struct topic_log *log);
void cleaner_start(struct topic_log *log);
/** cleaner_stop() - begin nothing any more, and end what is being read */
void cleaner_stop(struct topic_log *log);
/** cleaner_busy() - whether a stop must still wait */
bool cleaner_busy(const struct topic_log *log);
/** cleaner_idle() - a run is over, swapped or not */
void cleaner_idle(struct topic_log *log);

/* ---- cleaner_choose.c ---- */

/* What a run would be about. */
struct cleaner_candidate {
    struct log_partition *partition;
    uint32_t count; /* segments from the front */
    double ratio;   /* of their bytes, that no run has seen */
    bool forced;    /* for something that is due by time */
};
/** cleaner_choose() - the partition that needs a run most. Return: whether one does */
bool cleaner_choose(struct topic_log *log, int64_t now_ms, struct cleaner_candidate *ret_best);

/* ---- cleaner_sweep.c ---- */
/** cleaner_sweep_begin() - Return: whether a sweep is under way now; cleaner_idle() follows */
bool cleaner_sweep_begin(struct topic_log *log);
