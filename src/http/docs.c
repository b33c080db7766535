/* What every service serves about itself: its OpenAPI document, and a page that reads it. */
#include "exchange.h"

#include <eventbox/base/error.h>

static void handle_openapi(struct http_request *request) {
    struct http_server *server = request->userdata;
    if (!server->openapi.size && http_openapi(server->service, &server->openapi)) {
        text_clear(&server->openapi);
        http_respond_error(request, HTTP_E_UNAVAILABLE);
        return;
    }
    http_respond_static(request, 200, "application/json", text_span(&server->openapi));
}

const struct http_route docs_routes[] = {
    {.method = HTTP_GET,
     .path = "/openapi.json",
     .handle = handle_openapi,
     .op_name = "http.openapi",
     .hidden = true},
    {0},
};
