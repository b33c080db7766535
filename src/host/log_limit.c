#include <eventbox/host/log_limit.h>

static void end_window(struct log_limit *limit) {
    uint64_t untold = limit->untold;
    limit->lines = 0;
    limit->untold = 0;
    if (untold > 0) {
        limit->tell(limit, untold, LOG_LIMIT_WINDOW_S);
    }
}

static void on_window_end(struct timer *timer) {
    end_window(container_of(timer, struct log_limit, timer));
}

void log_limit_init(struct log_limit *limit, struct loop *loop,
                    void (*tell)(struct log_limit *limit, uint64_t untold, int64_t seconds)) {
    *limit = (struct log_limit){.tell = tell, .lines_max = LOG_LIMIT_LINES};
    timer_init(&limit->timer, loop, on_window_end);
}

bool log_limit_take(struct log_limit *limit) {
    if (!timer_running(&limit->timer)) {
        timer_start_ms(&limit->timer, (int64_t)LOG_LIMIT_WINDOW_S * 1000);
    }
    if (limit->lines == limit->lines_max) {
        limit->untold++;
        return false;
    }
    limit->lines++;
    return true;
}

void log_limit_stop(struct log_limit *limit) {
    if (limit->tell) {
        timer_stop(&limit->timer);
        end_window(limit);
    }
}
