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
 * refuses the oldest. A refused chunk is sent again, and given up after three refusals.
 *
 * An ack that does not come in time, an answer that is none, and the end of the connection are the
 * same to us: everything in the window goes back to the front of the queue, in order, and is sent
 * again on the next connection under the same ids, by which a server can tell duplicates. Nothing
 * is lost by a server that restarts; a chunk may arrive twice.
 *
 * A quiet service's chunk is sealed after flush_ms only when the window has room: while the server
 * is away, lines gather in few large chunks, not in many small ones.
 */
#include "client.h"

#include <eventbox/base/error.h>
#include <string.h>

enum {
    WINDOW_CHUNKS = 8,
    REFUSALS_MAX = 3,
    BACKOFF_FIRST_MS = 200,
    BACKOFF_LAST_MS = 30000,
};
static const size_t WINDOW_BYTES = 8000000;

/* ---- draining ---- */

static bool is_drained(const struct fluent_client *client) {
    return client->window_count == 0 && fluent_buffer_empty(client->buffer);
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
        fluent_buffer_put_back(client->buffer, last);
    }
    timer_stop(&client->ack_timer);
}

static void send_chunk(struct fluent_client *client, struct fluent_chunk *chunk) {
    size_t size = fluent_chunk_bytes(chunk);
    client->stats.chunks_sent++;
    client->stats.chunks_resent += chunk->sends++ > 0;
    chunk->sent_ns = loop_now_ns(client->config.loop);
    list_push_back(&client->window, &chunk->link);
    client->window_count++;
    client->window_bytes += size;
    buf_ref(chunk->buf);
    conn_write(client->conn, slice_of(chunk->buf, chunk->start, size));
}

static void pump(struct loop_task *task) {
    struct fluent_client *client = container_of(task, struct fluent_client, pump_task);

    while (client->state == FLUENT_CONNECTED && !client->closing &&
           client->window_count < WINDOW_CHUNKS) {
        struct fluent_chunk *chunk = fluent_buffer_take(client->buffer);
        if (!chunk && (client->flush_due || client->draining)) {
            client->flush_due = false;
            fluent_buffer_seal(client->buffer);
            chunk = fluent_buffer_take(client->buffer);
        }
        if (!chunk) {
            break;
        }
        if (client->window_count > 0 &&
            client->window_bytes + fluent_chunk_bytes(chunk) > WINDOW_BYTES) {
            fluent_buffer_put_back(client->buffer, chunk);
            break;
        }
        send_chunk(client, chunk);
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

static void refuse(struct fluent_client *client, struct fluent_chunk *chunk, struct list *again) {
    leave_window(client, chunk);
    client->stats.chunks_refused++;
    if (++chunk->refusals >= REFUSALS_MAX) {
        client->stats.events_refused += chunk->events;
        fluent_buffer_drop(client->buffer, chunk);
    } else {
        list_push_back(again, &chunk->link);
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
    client->stats.chunks_acked++;
    client->stats.events_acked += chunk->events;
    client->failures = 0;
    fluent_buffer_release(client->buffer, chunk);
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
        refuse(client, oldest, &again);
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

static void close_conn(struct fluent_client *client) {
    if (client->conn && !client->closing) {
        client->closing = true;
        conn_close(client->conn);
    }
}

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
        close_conn(client);
    }
    return 0;
}

static void on_connect(struct conn *conn) {
    struct fluent_client *client = conn_userdata(conn);
    client->state = FLUENT_CONNECTED;
    client->stats.connects++;
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

static void on_close(struct conn *conn, int reason) {
    struct fluent_client *client = conn_userdata(conn);
    bool was_connected = client->state == FLUENT_CONNECTED;

    client->conn = NULL;
    client->closing = false;
    empty_window(client);
    if (client->state == FLUENT_IDLE) {
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
    close_conn(client);
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
        close_conn(client); /* goes on in on_close() */
    } else {
        stopped(userdata);
    }
}
