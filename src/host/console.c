/* The console sink: two buffers that change places between the loop and a writing thread. */
#include "console.h"

#include "console_line.h"
#include <eventbox/loop/timer.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* poll() promises room for this much in a pipe, so a write of it never blocks. */
    CONSOLE_WRITE_BYTES = 4096,
    CONSOLE_POLL_MS = 200,
};

struct console_buffer {
    char *data;
    size_t size;
};

struct console {
    struct log_sink sink;
    struct console_config config;
    bool pretty, colour;
    struct console_time time;
    struct console_buffer fill; /* the loop's */
    struct console_buffer out;  /* the thread's while @writing */
    uint64_t unreported_drops;
    struct console_stats stats;

    struct worker *worker;
    struct work work;
    struct loop_task task; /* starts a write at the end of the turn */
    bool writing, stopping;
    atomic_bool abandon; /* give up when the descriptor takes nothing */

    struct timer flush_timer;
    void (*flushed)(void *userdata);
    void *flushed_userdata;
    void (*on_stopped)(void *userdata);
    void *stopped_userdata;
};

/* ---- on the thread ---- */

static void run_write(struct work *work) {
    struct console *console = container_of(work, struct console, work);
    struct console_buffer *out = &console->out;
    size_t written = 0;
    while (written < out->size) {
        struct pollfd poll_fd = {.fd = console->config.fd, .events = POLLOUT};
        int r = poll(&poll_fd, 1, CONSOLE_POLL_MS);
        if (r == 0 && atomic_load_explicit(&console->abandon, memory_order_relaxed)) {
            break;
        }
        if (r <= 0) {
            continue;
        }
        size_t size = MIN(out->size - written, (size_t)CONSOLE_WRITE_BYTES);
        ssize_t sent = write(console->config.fd, out->data + written, size);
        if (sent > 0) {
            written += (size_t)sent;
        } else if (errno != EINTR && errno != EAGAIN) {
            break; /* nobody is left to read it */
        }
    }
    out->size = written; /* what was left is told apart by on_written() */
}

/* ---- on the loop ---- */

static void report_drops(struct console *console);

static void finish_flush(struct console *console) {
    void (*flushed)(void *userdata) = console->flushed;
    timer_stop(&console->flush_timer);
    console->flushed = NULL;
    if (flushed) {
        flushed(console->flushed_userdata);
    }
}

static void on_flush_deadline(struct timer *timer) {
    finish_flush(container_of(timer, struct console, flush_timer));
}

static void on_worker_stopped(void *userdata) {
    struct console *console = userdata;
    void (*on_stopped)(void *userdata_) = console->on_stopped;
    void *stopped_userdata = console->stopped_userdata;
    free(console->fill.data);
    free(console->out.data);
    free(console);
    on_stopped(stopped_userdata);
}

static void start_write(struct console *console) {
    if (console->writing) {
        return;
    }
    if (console->fill.size == 0) {
        finish_flush(console);
        if (console->stopping) {
            worker_stop(console->worker, on_worker_stopped, console);
        }
        return;
    }
    struct console_buffer out = console->fill;
    console->fill = console->out;
    console->fill.size = 0;
    console->out = out;
    console->writing = worker_submit(console->worker, &console->work) == 0;
    report_drops(console);
}

static void on_task(struct loop_task *task) {
    start_write(container_of(task, struct console, task));
}

static void on_written(struct work *work) {
    struct console *console = container_of(work, struct console, work);
    console->writing = false;
    console->stats.written_bytes += console->out.size;
    start_write(console);
}

static void encode(struct console *console, const struct log_record *record) {
    struct console_line line = {.at = console->fill.data + console->fill.size,
                                .end = console->fill.data + console->config.buffer_bytes};
    if (console->pretty) {
        console_line_pretty(&line, &console->time, record, console->colour);
    } else {
        console_line_json(&line, &console->time, record);
    }
    if (line.full) {
        console->unreported_drops++;
        console->stats.dropped_lines++;
        return;
    }
    console->stats.lines++;
    console->fill.size = (size_t)(line.at - console->fill.data);
    if (!console->writing) {
        loop_defer(console->config.loop, &console->task);
    }
}

static void on_encode(struct log_sink *sink, const struct log_record *record) {
    encode(container_of(sink, struct console, sink), record);
}

/* One line in place of those that found no room; behind the ones that did. */
static void report_drops(struct console *console) {
    if (console->unreported_drops == 0) {
        return;
    }
    const struct log_event_row *row = log_event_row_get(LOG_FLUENT_DROPPED);
    struct log_field fields[] = {LOG_TEXT("sink", "console"),
                                 LOG_INT("count", (int64_t)console->unreported_drops)};
    struct log_record record = {.wall_ns = clock_wall_ns(console->config.clock),
                                .level = row->level,
                                .service = "eventbox",
                                .action = row->action,
                                .message = row->message,
                                .details = fields,
                                .detail_count = ARRAY_SIZE(fields)};
    console->unreported_drops = 0;
    encode(console, &record);
}

static void on_flush(struct log_sink *sink, int64_t deadline_ms, void (*flushed)(void *userdata),
                     void *userdata) {
    struct console *console = container_of(sink, struct console, sink);
    finish_flush(console); /* a second flush takes the place of the first */
    console->flushed = flushed;
    console->flushed_userdata = userdata;
    timer_start_ms(&console->flush_timer, deadline_ms);
    start_write(console);
}

static const struct log_sink_ops console_ops = {"console", on_encode, on_flush};

void console_set_format(struct console *console, enum console_format format) {
    bool terminal = isatty(console->config.fd);
    const char *term = getenv("TERM");
    console->pretty = format == CONSOLE_PRETTY || (format == CONSOLE_AUTO && terminal);
    console->colour = terminal && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

int console_new(const struct console_config *config, struct console **ret_console) {
    struct worker_config worker = {.name = "console", .threads = 1, .queue_max = 1};
    struct console *console = calloc(1, sizeof *console);
    if (!console) {
        return -ENOMEM;
    }
    console->sink.ops = &console_ops;
    console->config = *config;
    console->work = (struct work){.run = run_write, .done = on_written};
    console->task.run = on_task;
    timer_init(&console->flush_timer, config->loop, on_flush_deadline);
    console->fill.data = malloc(config->buffer_bytes);
    console->out.data = malloc(config->buffer_bytes);
    int r = console->fill.data && console->out.data
                ? worker_new(config->work, config->loop, &worker, &console->worker)
                : -ENOMEM;
    if (r) {
        free(console->fill.data);
        free(console->out.data);
        free(console);
        return r;
    }
    console_set_format(console, config->format);
    *ret_console = console;
    return 0;
}

struct log_sink *console_sink(struct console *console) {
    return &console->sink;
}

void console_stats(const struct console *console, struct console_stats *ret_stats) {
    *ret_stats = console->stats;
}

void console_stop(struct console *console, void (*on_stopped)(void *userdata), void *userdata) {
    console->on_stopped = on_stopped;
    console->stopped_userdata = userdata;
    console->stopping = true;
    list_remove(&console->task.link);
    atomic_store_explicit(&console->abandon, true, memory_order_relaxed);
    start_write(console);
}
