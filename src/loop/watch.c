/* Readiness of a descriptor that somebody else owns. */
#include "loop_internal.h"

#include <eventbox/base/error.h>
#include <eventbox/loop/watch.h>

#include <errno.h>
#include <stdlib.h>

struct watch {
    uv_poll_t uv;
    struct loop *loop;
    int fd;
    int events;
    watch_fn on_ready;
    void *userdata;
};

static void on_poll(uv_poll_t *uv, int status, int events) {
    struct watch *watch = container_of(uv, struct watch, uv);
    int ready = (events & UV_READABLE ? WATCH_READ : 0) | (events & UV_WRITABLE ? WATCH_WRITE : 0);
    watch->loop->ran_count++;
    if (status < 0) {
        ready = WATCH_READ | WATCH_WRITE; /* libuv has stopped; the owner's next call will tell */
        watch->events = 0;
    }
    watch->on_ready(watch->userdata, watch->fd, ready);
}

static void on_closed(uv_handle_t *handle) {
    free(container_of((uv_poll_t *)handle, struct watch, uv));
}

int watch_change(struct watch *watch, int events) {
    int uv_events =
        (events & WATCH_READ ? UV_READABLE : 0) | (events & WATCH_WRITE ? UV_WRITABLE : 0);
    if (events == watch->events) {
        return 0;
    }
    int r = uv_events ? uv_poll_start(&watch->uv, uv_events, on_poll) : uv_poll_stop(&watch->uv);
    if (r != 0) {
        return err_origin(r);
    }
    watch->events = events;
    return 0;
}

int watch_start(struct loop *loop, int fd, int events, watch_fn on_ready, void *userdata,
                struct watch **ret_watch) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        return err_origin(-ENOMEM);
    }
    *watch = (struct watch){.loop = loop, .fd = fd, .on_ready = on_ready, .userdata = userdata};
    int r = uv_poll_init(&loop->uv, &watch->uv, fd);
    if (r != 0) {
        free(watch);
        return err_origin(r);
    }
    r = watch_change(watch, events);
    if (r != 0) {
        watch_stop(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

void watch_stop(struct watch *watch) {
    if (watch) {
        uv_close((uv_handle_t *)&watch->uv, on_closed);
    }
}
