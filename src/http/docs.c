/*
 * What every service serves about itself: its OpenAPI document, and a page that reads it, lists the
 * operations and sends requests. The page is in the binary, needs no other server, and lives under
 * a policy that allows neither inline script nor markup made from text.
 */
#include "exchange.h"

#include "docs_assets.h"

#include <eventbox/base/error.h>

#define DOCS_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "            \
    "require-trusted-types-for 'script'"

static void respond_asset(struct http_request *request, const char *type, const void *data,
                          size_t size) {
    http_respond_header(request, "content-security-policy", DOCS_POLICY);
    http_respond_header(request, "cross-origin-opener-policy", "same-origin");
    http_respond_header(request, "cache-control", "no-cache");
    http_respond_static(request, 200, type, span_of(data, size));
}

static void handle_page(struct http_request *request) {
    respond_asset(request, "text/html; charset=utf-8", docs_html, sizeof docs_html);
}

static void handle_script(struct http_request *request) {
    respond_asset(request, "text/javascript; charset=utf-8", docs_js, sizeof docs_js);
}

static void handle_style(struct http_request *request) {
    respond_asset(request, "text/css; charset=utf-8", docs_css, sizeof docs_css);
}

static void handle_openapi(struct http_request *request) {
    struct http_server *server = request->userdata;
    if (!server->openapi.size && http_openapi(server->service, &server->openapi)) {
        text_deinit(&server->openapi);
        http_respond_error(request, HTTP_E_UNAVAILABLE);
        return;
    }
    /* A copy: the server may stop, and be freed, before the last byte has left. */
    http_respond_text(request, 200, "application/json", text_span(&server->openapi));
}

#define DOCS_ROUTE(path_, handle_)                                                                 \
    { .method = HTTP_GET, .path = path_, .handle = handle_, .op_name = "http.docs", .hidden = true }

const struct http_route docs_routes[] = {
    DOCS_ROUTE("/openapi.json", handle_openapi), DOCS_ROUTE("/docs", handle_page),
    DOCS_ROUTE("/redoc", handle_page),           DOCS_ROUTE("/docs.js", handle_script),
    DOCS_ROUTE("/docs.css", handle_style),       {0},
};
