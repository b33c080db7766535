/*
 * From method and path to a route. Paths are sorted so that a literal segment goes before a
 * parameter; the first path that fits decides, and its methods are the complete Allow.
 */
#pragma once

#include <eventbox/http/route.h>

enum { ROUTER_SEGMENTS_MAX = 12, ROUTER_METHODS = 7, ROUTER_ALLOW_SIZE = 64 };

struct router_segment {
    struct span text; /* of a parameter: its name */
    bool is_param;
};

struct router_path {
    unsigned segment_count;
    struct router_segment segments[ROUTER_SEGMENTS_MAX];
    const struct http_route *routes[ROUTER_METHODS]; /* by enum http_method */
    void *userdata[ROUTER_METHODS];
    char allow[ROUTER_ALLOW_SIZE];
};

struct router {
    struct router_path *paths;
    unsigned path_count;
};

/* A request's path in pieces; borrowed from it. */
struct router_target {
    unsigned segment_count;
    struct span segments[ROUTER_SEGMENTS_MAX];
};

void router_init(struct router *router);
void router_deinit(struct router *router);
/** router_add() - every row of @routes. Return: 0; -EINVAL for a table that contradicts itself;
 * -ENOMEM */
int router_add(struct router *router, const struct http_route *routes, void *userdata);

/** router_split() - false when the path has too many segments for any route */
bool router_split(struct span path, struct router_target *ret_target);
/**
 * router_find() - the route that answers @method on @target
 * @ret_path: the path that fits, also when no route has the method; for params and Allow
 *
 * Return: 0; HTTP_E_NOT_FOUND; HTTP_E_METHOD. HEAD finds the GET route; OPTIONS without a route
 * of its own gives 0 with *ret_route NULL.
 */
int router_find(const struct router *router, enum http_method method,
                const struct router_target *target, const struct router_path **ret_path,
                const struct http_route **ret_route, void **ret_userdata);
/** router_param() - text of the path parameter @name; data NULL when the path has none */
struct span router_param(const struct router_path *path, const struct router_target *target,
                         const char *name);
