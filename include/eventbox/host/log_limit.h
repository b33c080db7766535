/*
 * A limit for lines that a stranger can cause at will: so many in a window get one each, the rest
 * is counted, and one line tells the count when the window ends. Embedded in its owner.
 *
 *   if (log_limit_take(&limit)) { log_emit(...); }
 *
 * Thread: loop.
 */
#pragma once

#include <eventbox/loop/timer.h>

enum { LOG_LIMIT_LINES = 10, LOG_LIMIT_WINDOW_S = 10 };

struct log_limit {
    struct timer timer;        /* runs while a window is open */
    unsigned lines, lines_max; /* LOG_LIMIT_LINES, unless the owner sets fewer */
    uint64_t untold;
    /* The line that sums up; @untold is at least 1. */
    void (*tell)(struct log_limit *limit, uint64_t untold, int64_t seconds);
};

void log_limit_init(struct log_limit *limit, struct loop *loop,
                    void (*tell)(struct log_limit *limit, uint64_t untold, int64_t seconds));
/** log_limit_take() - whether the next line may be written; it is counted when not */
bool log_limit_take(struct log_limit *limit);
/** log_limit_stop() - end the window now and tell what it has not told; harmless on zeros */
void log_limit_stop(struct log_limit *limit);
