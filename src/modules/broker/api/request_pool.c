/*
 * Request objects. One that was answered waits for the next request, with the first chunk of its
 * arena and, where nobody else has a reference to it, the buf of its frame: then a small request
 * takes no memory from the heap at all.
 *
 * As many may wait as were in flight at once, up to POOL_MAX. Every POOL_LOOK_MS what stood idle
 * all the time goes back to the heap, but for POOL_KEPT of them.
 */
#include "api_private.h"

#include <errno.h>
#include <stdlib.h>

enum {
    POOL_LOOK_MS = 2000,
    FRAME_KEPT_BYTES =
        512, /* capacity of bufs that are kept; larger frames have one of their own */
};

static void request_destroy(struct api_request *request) {
    buf_unref(request->kept_frame);
    arena_deinit(&request->arena);
    free(request);
}

/* The one that waits longest: its memory is the coldest. */
static void drop_oldest(struct kafka_server *server) {
    struct api_request *request = list_entry(server->pool.prev, struct api_request, order);

    list_remove(&request->order);
    server->pool_count--;
    request_destroy(request);
}

static void on_look(struct timer *timer) {
    struct kafka_server *server = container_of(timer, struct kafka_server, pool_timer);
    unsigned unused = server->pool_idle;

    for (; unused > 0 && server->pool_count > REQUEST_POOL_KEPT; unused--) {
        drop_oldest(server);
    }
    server->pool_idle = server->pool_count;
    if (server->pool_count > REQUEST_POOL_KEPT) {
        timer_start_ms(timer, POOL_LOOK_MS);
    }
}

void request_pool_init(struct kafka_server *server) {
    list_init(&server->pool);
    timer_init(&server->pool_timer, server->config.loop, on_look);
}

void request_pool_deinit(struct kafka_server *server) {
    timer_stop(&server->pool_timer);
    while (!list_empty(&server->pool)) {
        drop_oldest(server);
    }
}

struct api_request *api_request_new(struct kafka_server *server) {
    struct list *link = list_pop_front(&server->pool);
    struct api_request *request;

    if (link) {
        server->pool_count--;
        server->pool_idle = MIN(server->pool_idle, server->pool_count);
        request = list_entry(link, struct api_request, order);
    } else {
        request = calloc(1, sizeof *request);
        if (!request) {
            return NULL;
        }
        arena_init(&request->arena, server->limits.arena_max_bytes);
    }
    request->public.arena = &request->arena;
    server->stats.requests_in_flight++;
    return request;
}

int api_request_copy_frame(struct api_request *request, const void *data, size_t size) {
    struct buf *frame = request->kept_frame;

    if (size > FRAME_KEPT_BYTES) {
        frame = buf_new(size);
    } else if (frame) {
        request->kept_frame = NULL;
    } else {
        frame = buf_new(FRAME_KEPT_BYTES);
    }
    if (!frame) {
        return err_origin(-ENOMEM);
    }
    memcpy(frame->data, data, size);
    frame->size = size;
    request->public.frame = frame;
    return 0;
}

/* Ours alone, as nobody can take a reference who has none. */
static bool may_keep(const struct buf *frame) {
    return frame && frame->capacity == FRAME_KEPT_BYTES &&
           __atomic_load_n(&frame->refs, __ATOMIC_ACQUIRE) == 1;
}

void api_request_free(struct kafka_server *server, struct api_request *request) {
    struct buf *kept = request->kept_frame;
    struct arena arena;

    if (request->public.on_free) {
        request->public.on_free(&request->public);
    }
    if (request->encoded.text.data || request->encoded.splices) {
        kafka_encoded_deinit(&request->encoded);
    }
    if (!kept && may_keep(request->public.frame)) {
        kept = request->public.frame;
    } else {
        buf_unref(request->public.frame);
    }
    if (request->reserved || request->exempt) {
        server_release(server, request->reserved, request->exempt);
    }
    server->parked_bytes -= request->parked;
    server->stats.requests_in_flight--;
    arena_reset(&request->arena);
    arena = request->arena;
    *request = (struct api_request){.arena = arena, .kept_frame = kept};
    if (server->pool_count < REQUEST_POOL_MAX) {
        list_push_front(&server->pool, &request->order);
        if (++server->pool_count > REQUEST_POOL_KEPT && !timer_running(&server->pool_timer)) {
            server->pool_idle = server->pool_count;
            timer_start_ms(&server->pool_timer, POOL_LOOK_MS);
        }
    } else {
        request_destroy(request);
    }
    server_check_stopped(server);
}
