/* The log, inside the host: loggers bound to a service, a level, and sinks. Thread: loop. */
#pragma once

#include <eventbox/host/log.h>

enum { LOG_SINKS_MAX = 4 };

/* What all loggers of a process share. */
struct log {
    struct clock *clock;
    enum log_level level;
    struct log_sink *sinks[LOG_SINKS_MAX];
    size_t sink_count;
};

struct logger {
    struct log *log;
    const char *service;
    bool debug; /* this service from debug on, whatever the log's level */
};

void log_init(struct log *log, struct clock *clock, enum log_level level);
/** log_add_sink() - false when LOG_SINKS_MAX are there */
bool log_add_sink(struct log *log, struct log_sink *sink);
void log_remove_sink(struct log *log, struct log_sink *sink);
/** log_flush() - flush every sink, then @flushed, once */
void log_flush(struct log *log, int64_t deadline_ms, void (*flushed)(void *userdata),
               void *userdata);
