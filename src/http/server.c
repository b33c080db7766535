/* A service behind its listener: routes, limits, connections, and the way it stops. */
#include "exchange.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

static void pool_fill(struct random *random, void *out, size_t size) {
    struct random_pool *pool = container_of(random, struct random_pool, random);
    if (size > sizeof pool->bytes) {
        random_fill(pool->source, out, size);
        return;
    }
    if (size > sizeof pool->bytes - pool->used) {
        random_fill(pool->source, pool->bytes, sizeof pool->bytes);
        pool->used = 0;
    }
    memcpy(out, pool->bytes + pool->used, size);
    pool->used += size;
}

static void server_free(struct http_server *server) {
    struct list *link;
    if (!server) {
        return;
    }
    while ((link = list_pop_front(&server->spare_requests))) {
        free(list_entry(link, struct http_request, link));
    }
    router_deinit(&server->router);
    text_deinit(&server->head);
    text_deinit(&server->openapi);
    free(server);
}

static int add_routes(struct http_server *server) {
    const struct http_service *service = server->service;
    int rc = router_add(&server->router, service->routes, service->userdata);
    if (!rc) {
        rc = router_add(&server->router, service->common_routes, service->common_userdata);
    }
    if (!rc) {
        rc = router_add(&server->router, docs_routes, server);
    }
    return rc;
}

static int on_accept(void *userdata, int fd) {
    return connection_accept(userdata, fd);
}

static void on_stop_deadline(struct timer *timer) {
    struct http_server *server = container_of(timer, struct http_server, stop_timer);
    list_for_each_safe(link, &server->connections) {
        conn_close(list_entry(link, struct http_connection, link)->conn);
    }
}

static void on_stopped(struct loop_task *task) {
    struct http_server *server = container_of(task, struct http_server, stopped_task);
    void (*callback)(void *userdata) = server->on_stopped;
    void *userdata = server->stopped_userdata;
    timer_stop(&server->stop_timer);
    server_free(server);
    if (callback) {
        callback(userdata);
    }
}

void server_connection_gone(struct http_server *server) {
    if (server->stopping && !server->requests_alive && !server->stats.connections_now) {
        loop_defer(server->loop, &server->stopped_task);
    }
}

static int limits_check(const struct http_limits *limits) {
    bool fit = limits->head_bytes <= GUARD_HEAD_BYTES_MAX &&
               limits->head_fields <= GUARD_FIELDS_MAX && limits->pipelined_requests;
    return fit ? 0 : err_origin(-EINVAL);
}

int http_server_open(struct loop *loop, struct random *random, const struct http_service *service,
                     const struct listener_config *listen, const struct http_limits *limits,
                     struct http_server **ret_server) {
    int rc = limits_check(limits);
    if (rc) {
        return rc;
    }
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) {
        return err_origin(-ENOMEM);
    }
    server->loop = loop;
    server->random.random.fill = pool_fill;
    server->random.source = random;
    server->random.used = sizeof server->random.bytes;
    server->service = service;
    server->limits = *limits;
    server->stopped_task.run = on_stopped;
    list_init(&server->connections);
    list_init(&server->spare_requests);
    router_init(&server->router);
    text_init(&server->head);
    text_init(&server->openapi);
    timer_init(&server->stop_timer, loop, on_stop_deadline);
    rc = add_routes(server);
    if (!rc) {
        rc = listener_open(loop, listen, on_accept, server, &server->listener);
    }
    if (rc) {
        server_free(server);
        return err_trace(rc);
    }
    *ret_server = server;
    return 0;
}

void http_server_stop(struct http_server *server, int64_t deadline_ms,
                      void (*on_stopped_fn)(void *userdata), void *userdata) {
    server->on_stopped = on_stopped_fn;
    server->stopped_userdata = userdata;
    if (server->stopping) {
        return;
    }
    server->stopping = true;
    listener_close(server->listener);
    list_for_each_safe(link, &server->connections) {
        connection_drain(list_entry(link, struct http_connection, link));
    }
    timer_start_ms(&server->stop_timer, deadline_ms);
    server_connection_gone(server);
}

uint16_t http_server_port(const struct http_server *server) {
    return listener_port(server->listener);
}

void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats) {
    *ret_stats = server->stats;
}
