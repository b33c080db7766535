#include "exchange.h"
int http_openapi(const struct http_service *service, struct text *out) {
    text_append_str(out, "{}");
    return 0;
}
