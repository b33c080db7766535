/*
 *             start                connected             closed, refused, silent
 *     IDLE ─────────► CONNECTING ─────────────► CONNECTED ──────────────┐
 *                        ▲    │ failed                                  │
 *                        │    ▼                                         ▼
 *                        └─ WAITING ◄───────────────────────────────────┘
 *                           200 ms … 30 s, full jitter, from the start again after an ack
 *
 * Window: at most 8 chunks or 8 MB are on the connection without an ack. Acks are matched by id,
 * never by position. Servers acknowledge in order, so an ack of a later chunk says that the earlier
 * ones were refused (Fluentd does so with chunks above its chunk_size_limit); a map without `ack`
 * refuses the oldest.
 *
 * An ack that does not come in time, an answer that is none, and the end of the connection are the
 * same to us: everything in the window goes back to the front of the queue, in order, and is sent
 * again on the next connection under the same ids, by which a server can tell duplicates. Nothing
 * is lost by a server that restarts; a chunk may arrive twice. The oldest chunk is held to have
 * been refused, which is wrong when the server is ill, but does no harm:
 *
 * A chunk refused three times in whatever way, or passed over once, goes on trial (trial.h), alone
 * on the connection.
 * Each part is sent only to a server that has just taken something else: a probe, one harmless line
 * of ours, unless an ack came before. A probe that is refused says that the server is ill, and the
 * connection is made anew after the back-off; nothing is given up meanwhile. So a line is lost only
 * when, three times, the server took another and then refused this one. After each line that is
 * lost the chunk goes to the end of the queue, so that others have their turn.
 *
 * A quiet service's chunk is sealed after flush_ms only when the window has room: while the server
 * is away, lines gather in few large chunks, not in many small ones.
 */
#include "client.h"

#include <eventbox/base/error.h>
#include <string.h>

enum {
    WINDOW_CHUNKS = 8,
    BACKOFF_FIRST_MS = 200,
    BACKOFF_LAST_MS = 30000,
};
static const size_t WINDOW_BYTES = 8000000;

/* ---- draining ---- */

static bool is_drained(const struct fluent_client *client) {
    return client->window_count == 0 && !client->trial.chunk && fluent_buffer_empty(client->buffer);
}

static void on_drained_task(struct loop_task *task) {
    struct fluent_client *client = container_of(task, struct fluent_client, drained_task);
    void (*drained)(void *) = client->drained;
    client->drained = NULL;
    if (drained) {
        drained(client->drained_userdata);
    }
}

static void end_drain(struct fluent_client *client) {
    if (client->draining) {
        client->draining = false;
        timer_stop(&client->drain_timer);
        loop_defer(client->config.loop, &client->drained_task);
    }
}

static void on_drain_deadline(struct timer *timer) {
    end_drain(container_of(timer, struct fluent_client, drain_timer));
}

/* ---- the window ---- */

static void arm_ack_timer(struct fluent_client *client) {
    if (list_empty(&client->window)) {
        timer_stop(&client->ack_timer);
        return;
    }
    struct fluent_chunk *oldest = list_entry(client->window.next, struct fluent_chunk, link);
    int64_t due_ns = oldest->sent_ns + client->config.ack_timeout_ms * NS_PER_MS;
    timer_start(&client->ack_timer, MAX(due_ns - loop_now_ns(client->config.loop), INT64_C(0)));
}

static void leave_window(struct fluent_client *client, struct fluent_chunk *chunk) {
    list_remove(&chunk->link);
    client->window_count--;
    client->window_bytes -= fluent_chunk_bytes(chunk);
}

static void empty_window(struct fluent_client *client) {
    while (!list_empty(&client->window)) {
        struct fluent_chunk *last = list_entry(client->window.prev, struct fluent_chunk, link);
        leave_window(client, last);
        if (last->kind == FLUENT_CHUNK_LINES) {
            fluent_buffer_put_back(client->buffer, last);
        } else if (last->kind == FLUENT_CHUNK_PROBE) {
            fluent_buffer_release(client->buffer, last);
        }
    }
    timer_stop(&client->ack_timer);
}

static void enter_window(struct fluent_client *client, struct fluent_chunk *chunk) {
    client->stats.chunks_sent++;
    client->stats.chunks_resent += chunk->sends++ > 0;
    chunk->sent_ns = loop_now_ns(client->config.loop);
    list_push_back(&client->window, &chunk->link);
    client->window_count++;
    client->window_bytes += fluent_chunk_bytes(chunk);
}

static void send_chunk(struct fluent_client *client, struct fluent_chunk *chunk) {
    enter_window(client, chunk);
    buf_ref(chunk->buf);
    conn_write(client->conn, slice_of(chunk->buf, chunk->start, fluent_chunk_bytes(chunk)));
}

static void send_part(struct fluent_client *client, struct fluent_chunk *part, const char *tag) {
    uint8_t header[ENCODE_HEADER_BYTES_MAX], trailer[ENCODE_TRAILER_BYTES_MAX];
    size_t size = fluent_chunk_bytes(part);
    enter_window(client, part);
    conn_write_copy(client->conn, header, encode_header(tag, (uint32_t)size, header));
    buf_ref(part->buf);
    conn_write(client->conn, slice_of(part->buf, part->start, size));
    conn_write_copy(client->conn, trailer, encode_trailer(part->id, part->events, trailer));
}

static void send_probe(struct fluent_client *client) {
    const struct log_event_row *row = log_event_row_get(LOG_FLUENT_PROBE);
    const struct log_field details[] = {LOG_INT("lines", client->trial.part.events)};
    struct log_record record = {
        .wall_ns = clock_wall_ns(client->config.clock),
        .level = row->level,
        .service = "eventbox",
        .action = row->action,
        .message = row->message,
        .details = details,
        .detail_count = ARRAY_SIZE(details),
    };
    struct fluent_chunk *probe = fluent_buffer_new_probe(client->buffer, &record);
    if (probe) {
        client->stats.probes_sent++;
        send_chunk(client, probe);
    }
}

/* The window is empty. */
static void go_on_with_trial(struct fluent_client *client) {
    if (!client->well) {
        send_probe(client);
        return;
    }
    client->well = false;
    send_part(client, &client->trial.part, client->trial.chunk->tag);
    if (client->trial.chunk->silent) {
        send_probe(client); /* its ack tells at once that the part was passed over */
    }
}

static struct fluent_chunk *next_chunk(struct fluent_client *client) {
    struct fluent_chunk *chunk = fluent_buffer_take(client->buffer);
    if (!chunk && (client->flush_due || client->draining)) {
        client->flush_due = false;
        fluent_buffer_seal(client->buffer);
        chunk = fluent_buffer_take(client->buffer);
    }
    return chunk;
}

static void fill_window(struct fluent_client *client) {
    while (!client->trial.chunk && client->window_count < WINDOW_CHUNKS) {
        struct fluent_chunk *chunk = next_chunk(client);
        if (!chunk) {
            return;
        }
        bool suspect = chunk->refusals >= REFUSALS_MAX;
        if (client->window_count > 0 &&
            (suspect || client->window_bytes + fluent_chunk_bytes(chunk) > WINDOW_BYTES)) {
            fluent_buffer_put_back(client->buffer, chunk);
            return;
        }
        if (suspect) {
            fluent_trial_begin(&client->trial, chunk);
        } else {
            send_chunk(client, chunk);
        }
    }
}

static void pump(struct loop_task *task) {
    struct fluent_client *client = container_of(task, struct fluent_client, pump_task);

    if (client->state == FLUENT_CONNECTED && !client->closing) {
        fill_window(client);
        if (client->trial.chunk && client->window_count == 0) {
            go_on_with_trial(client);
        }
    }
    if (!timer_running(&client->ack_timer)) {
        arm_ack_timer(client);
    }
    if (client->draining && is_drained(client)) {
        end_drain(client);
    }
}

/* Outside of a log call and of the connection's callbacks; once a turn, whatever happened in it. */
static void schedule_pump(struct fluent_client *client) {
    loop_defer(client->config.loop, &client->pump_task);
}

/* ---- answers ---- */

static void close_conn(struct fluent_client *client, enum fluent_refusal end) {
    if (client->conn && !client->closing) {
        client->closing = true;
        client->end = end;
        conn_close(client->conn);
    }
}

/* The trial's chunk is done with, or lines of it wait for another trial behind everybody else. */
static void end_trial(struct fluent_client *client) {
    bool over = fluent_trial_is_over(&client->trial);
    struct fluent_chunk *chunk = fluent_trial_take_chunk(&client->trial);
    if (over) {
        fluent_buffer_release(client->buffer, chunk);
    } else {
        fluent_buffer_put_last(client->buffer, chunk);
    }
}

static void refuse_part(struct fluent_client *client, enum fluent_refusal refusal) {
    struct fluent_entry line;
    client->trial.chunk->silent |= refusal == FLUENT_REFUSED_NO_ACK;
    if (!fluent_trial_refused(&client->trial, &line)) {
        return;
    }
    client->stats.events_refused[refusal]++;
    fluent_buffer_lost(client->buffer, line.level);
    if (client->config.on_refused) {
        client->config.on_refused(client->config.userdata, &line, refusal);
    }
    end_trial(client);
}

/* A chunk of lines goes to @again. */
static void refuse(struct fluent_client *client, struct fluent_chunk *chunk,
                   enum fluent_refusal refusal, struct list *again) {
    leave_window(client, chunk);
    client->stats.chunks_refused += chunk->kind != FLUENT_CHUNK_PROBE;
    switch (chunk->kind) {
    case FLUENT_CHUNK_LINES:
        /* Passed over, it would be so again, and without another behind it nobody would tell. */
        chunk->refusals =
            refusal == FLUENT_REFUSED_PASSED_OVER ? REFUSALS_MAX : chunk->refusals + 1;
        chunk->silent |= refusal == FLUENT_REFUSED_PASSED_OVER || refusal == FLUENT_REFUSED_NO_ACK;
        list_push_back(again, &chunk->link);
        return;
    case FLUENT_CHUNK_PART:
        refuse_part(client, refusal);
        return;
    case FLUENT_CHUNK_PROBE: /* the server is ill: back off */
        fluent_buffer_release(client->buffer, chunk);
        close_conn(client, FLUENT_REFUSED_CLOSED);
        return;
    }
}

static void send_again(struct fluent_client *client, struct list *again) {
    while (!list_empty(again)) {
        struct list *last = again->prev;
        list_remove(last);
        fluent_buffer_put_back(client->buffer, list_entry(last, struct fluent_chunk, link));
    }
}

static struct fluent_chunk *find_in_window(struct fluent_client *client, struct span id) {
    list_for_each(link, &client->window) {
        struct fluent_chunk *chunk = list_entry(link, struct fluent_chunk, link);
        if (span_equal(id, span_text(chunk->id))) {
            return chunk;
        }
    }
    return NULL;
}

static void accept(struct fluent_client *client, struct fluent_chunk *chunk) {
    int64_t duration_ns = loop_now_ns(client->config.loop) - chunk->sent_ns;
    leave_window(client, chunk);
    client->failures = 0;
    client->well = true;
    if (chunk->kind == FLUENT_CHUNK_PROBE) {
        fluent_buffer_release(client->buffer, chunk);
        return;
    }
    client->stats.chunks_acked++;
    client->stats.events_acked += chunk->events;
    if (chunk->kind == FLUENT_CHUNK_LINES) {
        fluent_buffer_release(client->buffer, chunk);
    } else {
        fluent_trial_accepted(&client->trial);
        if (fluent_trial_is_over(&client->trial)) {
            end_trial(client);
        }
    }
    if (client->config.on_acked) {
        client->config.on_acked(client->config.userdata, duration_ns);
    }
}

static int on_answer(void *userdata, struct span ack) {
    struct fluent_client *client = userdata;
    struct list again = LIST_INIT(again);
    struct fluent_chunk *acked = ack.data ? find_in_window(client, ack) : NULL;

    if (ack.data && !acked) {
        /* An ack of an earlier connection's chunk, or nonsense; counted, never logged per ack. */
        client->stats.acks_unknown++;
        return 0;
    }
    while (!list_empty(&client->window)) {
        struct fluent_chunk *oldest = list_entry(client->window.next, struct fluent_chunk, link);
        if (oldest == acked) {
            accept(client, oldest);
            break;
        }
        refuse(client, oldest, acked ? FLUENT_REFUSED_PASSED_OVER : FLUENT_REFUSED_NEGATIVE,
               &again);
        if (!acked) {
            break;
        }
    }
    send_again(client, &again);
    timer_stop(&client->ack_timer);
    schedule_pump(client);
    return 0;
}

/* ---- the connection ---- */

static void *on_space(struct conn *conn, size_t *ret_size) {
    struct fluent_client *client = conn_userdata(conn);
    return loop_scratch(client->config.loop, ret_size);
}

static int on_bytes(struct conn *conn, size_t size) {
    struct fluent_client *client = conn_userdata(conn);
    size_t scratch_size;
    const void *bytes = loop_scratch(client->config.loop, &scratch_size);

    if (ack_reader_feed(&client->reader, bytes, size, on_answer, client) != 0) {
        client->stats.protocol_errors++;
        close_conn(client, FLUENT_REFUSED_NONSENSE);
    }
    return 0;
}

static void on_connect(struct conn *conn) {
    struct fluent_client *client = conn_userdata(conn);
    client->state = FLUENT_CONNECTED;
    client->stats.connects++;
    client->end = FLUENT_REFUSED_CLOSED;
    client->well = false;
    ack_reader_init(&client->reader);
    schedule_pump(client);
    if (client->config.on_connected) {
        client->config.on_connected(client->config.userdata);
    }
}

/* Full jitter: many clients that lost one server do not come back at the same instant. */
static void wait_and_retry(struct fluent_client *client) {
    unsigned doublings = MIN(client->failures, 8u);
    int64_t cap_ms = MIN((int64_t)BACKOFF_FIRST_MS << doublings, (int64_t)BACKOFF_LAST_MS);
    int64_t delay_ms = BACKOFF_FIRST_MS +
                       (int64_t)random_below(client->config.random,
                                             (uint64_t)MAX(cap_ms - BACKOFF_FIRST_MS, INT64_C(1)));
    client->failures++;
    client->state = FLUENT_WAITING;
    timer_start_ms(&client->retry_timer, delay_ms);
}

/* What is not acknowledged goes back; @blame: its oldest was refused by the connection's end. */
static void take_back_window(struct fluent_client *client, bool blame) {
    struct list again = LIST_INIT(again);
    if (blame && !list_empty(&client->window)) {
        struct fluent_chunk *oldest = list_entry(client->window.next, struct fluent_chunk, link);
        refuse(client, oldest, client->end, &again);
    }
    empty_window(client);
    send_again(client, &again);
}

static void give_up_trial(struct fluent_client *client) {
    if (client->trial.chunk) {
        fluent_buffer_put_back(client->buffer, fluent_trial_take_chunk(&client->trial));
    }
}

static void on_close(struct conn *conn, int reason) {
    struct fluent_client *client = conn_userdata(conn);
    bool was_connected = client->state == FLUENT_CONNECTED;

    client->conn = NULL;
    client->closing = false;
    take_back_window(client, was_connected);
    if (client->state == FLUENT_IDLE) {
        give_up_trial(client);
        client->stopped(client->stopped_userdata);
        return;
    }
    if (!was_connected) {
        client->stats.connect_failures++;
    }
    wait_and_retry(client);
    if (client->config.on_disconnected) {
        client->config.on_disconnected(client->config.userdata, reason);
    }
    if (client->draining && !was_connected) {
        end_drain(client); /* nobody listens: waiting for the deadline would help nobody */
    }
}

static void connect_now(struct fluent_client *client) {
    static const struct conn_events events = {
        .on_space = on_space,
        .on_bytes = on_bytes,
        .on_close = on_close,
        .on_connect = on_connect,
    };
    struct conn_config config = {
        .write_high_bytes = 2 * WINDOW_BYTES, /* the window bounds it; acks are read at any time */
        .write_stall_ms = client->config.ack_timeout_ms,
    };
    client->state = FLUENT_CONNECTING;
    int r =
        conn_connect(client->config.loop, client->config.host, client->config.port,
                     client->config.connect_timeout_ms, &config, &events, client, &client->conn);
    if (r != 0) {
        client->conn = NULL;
        client->stats.connect_failures++;
        wait_and_retry(client);
        if (client->config.on_disconnected) {
            client->config.on_disconnected(client->config.userdata, r);
        }
        end_drain(client);
    }
}

static void on_retry(struct timer *timer) {
    connect_now(container_of(timer, struct fluent_client, retry_timer));
}

static void on_ack_timeout(struct timer *timer) {
    struct fluent_client *client = container_of(timer, struct fluent_client, ack_timer);
    client->stats.ack_timeouts++;
    close_conn(client, FLUENT_REFUSED_NO_ACK);
}

static void on_flush_due(struct timer *timer) {
    struct fluent_client *client = container_of(timer, struct fluent_client, flush_timer);
    client->flush_due = true;
    schedule_pump(client);
}

/* ---- for the module ---- */

void fluent_client_init(struct fluent_client *client, struct fluent_buffer *buffer,
                        const struct fluent_client_config *config) {
    *client = (struct fluent_client){.config = *config, .buffer = buffer};
    client->trial.random = config->random;
    list_init(&client->window);
    timer_init(&client->retry_timer, config->loop, on_retry);
    timer_init(&client->ack_timer, config->loop, on_ack_timeout);
    timer_init(&client->flush_timer, config->loop, on_flush_due);
    timer_init(&client->drain_timer, config->loop, on_drain_deadline);
    client->pump_task.run = pump;
    client->drained_task.run = on_drained_task;
}

void fluent_client_start(struct fluent_client *client) {
    connect_now(client);
}

void fluent_client_added(struct fluent_client *client, bool sealed) {
    if (sealed) {
        schedule_pump(client);
    }
    if (!client->flush_due && !timer_running(&client->flush_timer)) {
        timer_start_ms(&client->flush_timer, client->config.flush_ms);
    }
}

void fluent_client_drain(struct fluent_client *client, int64_t deadline_ms,
                         void (*drained)(void *userdata), void *userdata) {
    if (client->drained) { /* one is under way: its caller and this one cannot both be told */
        drained(userdata);
        return;
    }
    client->drained = drained;
    client->drained_userdata = userdata;
    client->draining = true;
    timer_start_ms(&client->drain_timer, deadline_ms);
    if (client->state == FLUENT_IDLE || is_drained(client)) {
        end_drain(client);
    } else if (client->state == FLUENT_WAITING) {
        timer_stop(&client->retry_timer);
        connect_now(client); /* one last attempt */
    } else {
        schedule_pump(client);
    }
}

void fluent_client_stop(struct fluent_client *client, void (*stopped)(void *userdata),
                        void *userdata) {
    client->state = FLUENT_IDLE;
    client->stopped = stopped;
    client->stopped_userdata = userdata;
    timer_stop(&client->retry_timer);
    timer_stop(&client->ack_timer);
    timer_stop(&client->flush_timer);
    end_drain(client);
    if (client->conn) {
        close_conn(client, FLUENT_REFUSED_CLOSED); /* goes on in on_close() */
    } else {
        give_up_trial(client);
        stopped(userdata);
    }
}
