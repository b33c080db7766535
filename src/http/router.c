#include "router.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <stdlib.h>
#include <string.h>

void router_init(struct router *router) {
    *router = (struct router){0};
}

void router_deinit(struct router *router) {
    free(router->paths);
    *router = (struct router){0};
}

/* Cuts "/a/b/" into "a", "b"; "/" has no segment; an empty segment inside stays one. */
static bool split(struct span path, struct span *segments, unsigned *ret_count) {
    const char *at = path.data;
    const char *end = at + path.size;
    unsigned count = 0;
    at += at < end && *at == '/';
    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash ? slash : end;
        if (count == ROUTER_SEGMENTS_MAX) {
            return false;
        }
        segments[count++] = span_of(at, (size_t)(stop - at));
        at = slash ? slash + 1 : end;
    }
    *ret_count = count;
    return true;
}

bool router_split(struct span path, struct router_target *ret_target) {
    return split(path, ret_target->segments, &ret_target->segment_count);
}

static int path_parse(const char *text, struct router_path *ret_path) {
    struct span segments[ROUTER_SEGMENTS_MAX];
    *ret_path = (struct router_path){0};
    if (text[0] != '/' || !split(span_text(text), segments, &ret_path->segment_count)) {
        return err_origin(-EINVAL);
    }
    for (unsigned i = 0; i < ret_path->segment_count; i++) {
        const char *data = segments[i].data;
        size_t size = segments[i].size;
        bool is_param = size > 2 && data[0] == '{' && data[size - 1] == '}';
        if (!size || (!is_param && memchr(data, '{', size))) {
            return err_origin(-EINVAL);
        }
        ret_path->segments[i] =
            (struct router_segment){is_param ? span_of(data + 1, size - 2) : segments[i], is_param};
    }
    return 0;
}

/* Negative: @a is asked first. Two patterns that take the same paths are equal, whatever their
 * names. */
static int path_compare(const void *left, const void *right) {
    const struct router_path *a = left, *b = right;
    if (a->segment_count != b->segment_count) {
        return a->segment_count < b->segment_count ? -1 : 1;
    }
    for (unsigned i = 0; i < a->segment_count; i++) {
        const struct router_segment *x = &a->segments[i], *y = &b->segments[i];
        if (x->is_param != y->is_param) {
            return x->is_param ? 1 : -1;
        }
        if (!x->is_param && !span_equal(x->text, y->text)) {
            int order = memcmp(x->text.data, y->text.data, MIN(x->text.size, y->text.size));
            return order ? order : x->text.size < y->text.size ? -1 : 1;
        }
    }
    return 0;
}

static void allow_fill(struct router_path *path) {
    static const char *const names[ROUTER_METHODS] = {"GET",    "POST", "PUT",    "PATCH",
                                                      "DELETE", "HEAD", "OPTIONS"};
    char *at = path->allow;
    for (unsigned i = 0; i < ROUTER_METHODS; i++) {
        bool implied = i == HTTP_OPTIONS || (i == HTTP_HEAD && path->routes[HTTP_GET]);
        if (path->routes[i] || implied) {
            at = stpcpy(at, at == path->allow ? "" : ", ");
            at = stpcpy(at, names[i]);
        }
    }
}

static struct router_path *path_get(struct router *router, const struct router_path *wanted) {
    for (unsigned i = 0; i < router->path_count; i++) {
        if (path_compare(&router->paths[i], wanted) == 0) {
            return &router->paths[i];
        }
    }
    struct router_path *paths =
        realloc(router->paths, (router->path_count + 1) * sizeof *router->paths);
    if (!paths) {
        return NULL;
    }
    router->paths = paths;
    paths[router->path_count] = *wanted;
    return &paths[router->path_count++];
}

int router_add(struct router *router, const struct http_route *routes, void *userdata) {
    for (const struct http_route *route = routes; route && route->path; route++) {
        struct router_path wanted;
        int rc = path_parse(route->path, &wanted);
        if (rc) {
            return err_trace(rc);
        }
        struct router_path *path = path_get(router, &wanted);
        if (!path) {
            return err_origin(-ENOMEM);
        }
        for (unsigned i = 0; i < path->segment_count; i++) { /* one name for one parameter */
            if (!span_equal(path->segments[i].text, wanted.segments[i].text)) {
                return err_origin(-EINVAL);
            }
        }
        bool one_way = !route->handle != !route->steps; /* handle or steps, never both */
        bool fits = !route->steps || route->op_size >= sizeof(struct http_op);
        if (path->routes[route->method] || !one_way || !fits) {
            return err_origin(-EINVAL);
        }
        path->routes[route->method] = route;
        path->userdata[route->method] = userdata;
        allow_fill(path);
    }
    if (router->path_count) {
        qsort(router->paths, router->path_count, sizeof *router->paths, path_compare);
    }
    return 0;
}

static bool path_fits(const struct router_path *path, const struct router_target *target) {
    if (path->segment_count != target->segment_count) {
        return false;
    }
    for (unsigned i = 0; i < path->segment_count; i++) {
        const struct router_segment *segment = &path->segments[i];
        if (segment->is_param ? !target->segments[i].size
                              : !span_equal(segment->text, target->segments[i])) {
            return false;
        }
    }
    return true;
}

int router_find(const struct router *router, enum http_method method,
                const struct router_target *target, const struct router_path **ret_path,
                const struct http_route **ret_route, void **ret_userdata) {
    for (unsigned i = 0; i < router->path_count; i++) {
        const struct router_path *path = &router->paths[i];
        if (!path_fits(path, target)) {
            continue;
        }
        enum http_method wanted =
            method == HTTP_HEAD && !path->routes[HTTP_HEAD] ? HTTP_GET : method;
        *ret_path = path;
        *ret_route = path->routes[wanted];
        *ret_userdata = path->userdata[wanted];
        return *ret_route || method == HTTP_OPTIONS ? 0 : HTTP_E_METHOD;
    }
    return HTTP_E_NOT_FOUND;
}

struct span router_param(const struct router_path *path, const struct router_target *target,
                         const char *name) {
    struct span wanted = span_text(name);
    for (unsigned i = 0; i < path->segment_count; i++) {
        if (path->segments[i].is_param && span_equal(path->segments[i].text, wanted)) {
            return target->segments[i];
        }
    }
    return SPAN_NULL;
}
