/*
 * A large frame on its way in.
 *
 * It gets its buf as soon as its length is known and is received straight into it; the buf grows
 * with what has arrived, not with what was announced. From admission_bytes on, its memory is taken
 * from the server's account in steps, as it arrives. A connection whose next step the account
 * cannot give is starved: it is not read until kafka_conn_feed() finds that memory was released.
 * Kafka would tell no throttle time either: its pool of request memory mutes the channels.
 *
 * Who began first goes on first: starved frames stand in the order in which they began, whatever
 * they got since. So peers that stall and come again do not get between an older frame and what is
 * released, and the account's one exemption is the oldest one's as soon as it is free.
 *
 * While others are starved, a frame is contended and has to arrive at RATE_LEAST_BYTES a second. It
 * has progress_ms of credit, which passes with time and which its bytes earn back; without credit
 * its connection ends. So stalled and trickling peers give way soon after progress_ms, however much
 * they announced. Where nobody waits, any byte within progress_ms is progress enough.
 */
#include "connection_private.h"

#include <string.h>

enum {
    FRAME_FIRST_BYTES = 1 << 20, /* first capacity of the buf; then four times as much */
    RESERVE_STEP_BYTES = 256 << 10,
    RATE_LEAST_BYTES = 1 << 20, /* a second */
};

/* Memory for the next bytes of the large frame: false when the account is used up. */
static bool reserve_step(struct kafka_conn *c) {
    size_t wanted = MIN(c->large_size, c->large_got + RESERVE_STEP_BYTES);

    if (c->large_size < c->server->limits.admission_bytes || wanted <= c->reserved) {
        return true;
    }
    if (!server_reserve(c->server, wanted - c->reserved, &c->exempt)) {
        return false;
    }
    c->reserved = wanted;
    return true;
}

/* From now on, or no longer, others wait for what this frame holds. */
static void set_contended(struct kafka_conn *c, bool contended) {
    c->due_ns =
        contended ? loop_now_ns(c->server->config.loop) + c->server->limits.progress_ms * NS_PER_MS
                  : 0;
}

/* @size bytes came of a contended frame. */
static void earn_credit(struct kafka_conn *c, size_t size) {
    int64_t most = loop_now_ns(c->server->config.loop) + c->server->limits.progress_ms * NS_PER_MS;

    c->due_ns = MIN(c->due_ns + (int64_t)size * (NS_PER_SEC / RATE_LEAST_BYTES), most);
}

/* Behind all that began before it. */
static void queue_starved(struct kafka_conn *c) {
    list_for_each(link, &c->server->starved) {
        if (kafka_conn_of_starved(link)->frame_number > c->frame_number) {
            list_push_back(link, &c->starved_link);
            return;
        }
    }
    list_push_back(&c->server->starved, &c->starved_link);
}

static void go_hungry(struct kafka_conn *c) {
    struct kafka_server *server = c->server;
    bool first = list_empty(&server->starved);

    c->starved = true;
    queue_starved(c);
    server->stats.connections_starved++;
    kafka_conn_set_deadline(c, false); /* it is not the peer who makes no progress */
    conn_pause_reading(c->conn);
    if (!first) {
        return;
    }
    list_for_each(link, &server->receiving) {
        struct kafka_conn *other = list_entry(link, struct kafka_conn, large_link);

        if (!other->starved) {
            set_contended(other, true);
            kafka_conn_set_deadline(other, true);
        }
    }
}

bool kafka_conn_feed(struct kafka_conn *c) {
    if (!reserve_step(c)) {
        return false;
    }
    c->starved = false;
    list_remove(&c->starved_link);
    c->server->stats.connections_starved--;
    set_contended(c, !list_empty(&c->server->starved));
    kafka_conn_set_deadline(c, true);
    conn_resume_reading(c->conn);
    return true;
}

struct kafka_conn *kafka_conn_of_starved(struct list *link) {
    return list_entry(link, struct kafka_conn, starved_link);
}

/* The buf grows with what has arrived, not with what was announced. */
static bool grow_large(struct kafka_conn *c) {
    struct buf *grown;

    if (c->large_got < c->large->capacity) {
        return true;
    }
    grown = buf_new(MIN(c->large_size, c->large->capacity * 4));
    if (!grown) {
        return false;
    }
    memcpy(grown->data, c->large->data, c->large_got);
    buf_unref(c->large);
    c->large = grown;
    return true;
}

void large_frame_begin(struct kafka_conn *c, size_t size, const uint8_t *data, size_t got) {
    c->large = buf_new(MIN(size, (size_t)FRAME_FIRST_BYTES));
    if (!c->large) {
        kafka_conn_close_soon(c);
        return;
    }
    memcpy(c->large->data, data, got);
    c->large_size = size;
    c->large_got = got;
    c->frame_number = ++c->server->frames_begun;
    set_contended(c, !list_empty(&c->server->starved));
    list_push_back(&c->server->receiving, &c->large_link);
    kafka_conn_set_deadline(c, true);
    if (!reserve_step(c)) {
        go_hungry(c);
    }
}

void *large_frame_space(struct kafka_conn *c, size_t *ret_size) {
    size_t until = c->large_size < c->server->limits.admission_bytes ? c->large_size : c->reserved;

    if (!grow_large(c)) {
        return NULL;
    }
    *ret_size = MIN(until, c->large->capacity) - c->large_got;
    return c->large->data + c->large_got;
}

/* @size bytes came, and the frame is not whole. */
static void receive_more(struct kafka_conn *c, size_t size) {
    if (!reserve_step(c)) {
        go_hungry(c);
        return;
    }
    if (list_empty(&c->server->starved)) {
        set_contended(c, false);
    } else {
        earn_credit(c, size);
    }
    kafka_conn_set_deadline(c, true);
}

struct buf *large_frame_received(struct kafka_conn *c, size_t size) {
    struct buf *frame = c->large;

    c->large_got += size;
    if (c->large_got < c->large_size) {
        receive_more(c, size);
        return NULL;
    }
    kafka_conn_set_deadline(c, false);
    frame->size = c->large_size;
    c->large = NULL;
    list_remove(&c->large_link);
    return frame;
}

void large_frame_drop(struct kafka_conn *c) {
    struct kafka_server *server = c->server;
    size_t reserved = c->reserved;
    bool exempt = c->exempt;

    buf_unref(c->large);
    c->large = NULL;
    list_remove(&c->large_link);
    c->reserved = 0;
    c->exempt = false;
    if (c->starved) {
        c->starved = false;
        list_remove(&c->starved_link);
        server->stats.connections_starved--;
    }
    if (reserved || exempt) {
        server_release(server, reserved, exempt);
    }
}
