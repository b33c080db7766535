/*
 * The console as a log sink: JSON lines, or aligned and coloured text for people.
 *
 * Lines are encoded into one of two bounded buffers on the loop; a thread writes the other to the
 * descriptor. While the descriptor takes nothing the buffer fills up and further lines are dropped
 * with a counter; one line tells how many as soon as there is room.
 */
#pragma once

#include "log_internal.h"
#include <eventbox/loop/work.h>

struct console;

enum console_format { CONSOLE_AUTO, CONSOLE_PRETTY, CONSOLE_JSON };

struct console_config {
    struct loop *loop;
    struct work_port *work;
    struct clock *clock;
    int fd;                     /* stays the caller's */
    enum console_format format; /* AUTO: pretty on a terminal, JSON elsewhere */
    size_t buffer_bytes;        /* of each of the two buffers */
};

struct console_stats {
    uint64_t lines, dropped_lines, written_bytes;
};

int console_new(const struct console_config *config, struct console **ret_console);
struct log_sink *console_sink(struct console *console);
void console_set_format(struct console *console, enum console_format format);
void console_stats(const struct console *console, struct console_stats *ret_stats);
/**
 * console_stop() - write what is left unless the descriptor is stalled, end the thread, then
 * @on_stopped; frees. What is logged afterwards is not seen.
 */
void console_stop(struct console *console, void (*on_stopped)(void *userdata), void *userdata);
