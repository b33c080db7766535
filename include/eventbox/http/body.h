/*
 * Rows: how the members of a body, a query string or a path become a C struct. Router, validation
 * (FastAPI's 422 items with locations) and OpenAPI all come from one table.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/defs.h>
#include <eventbox/base/json.h>
#include <eventbox/base/span.h>

enum body_type { BODY_STRING, BODY_INT, BODY_BOOL, BODY_ENUM, BODY_EMAIL, BODY_OBJECT };

enum body_flags {
    BODY_REQUIRED = 1,
    BODY_NULLABLE = 2,
    BODY_SECRET = 4, /* what a peer sent is never echoed, in no error and no log line */
    BODY_BYTES = 8,  /* min and max count bytes, not code points */
};

/*
 * Fields of the target struct, by type. BODY_ENUM gives the index in choices as an int. present:
 * the peer sent the member, or its default was applied. An email's domain is stored in lower case.
 */
struct body_string {
    const char *data; /* zero-terminated copy in the request's arena; no zero byte inside */
    size_t size;
    bool present;
    bool null;
};
struct body_int {
    int64_t value;
    bool present;
    bool null;
};
struct body_object {
    const struct json *json; /* lives as long as the request */
    bool present;
    bool null;
};

/**
 * body_error_add() - one more item for the 422 answer, in pydantic's shape
 * @name: the member, NULL for the whole of @in ("body", "query", "path"); copied, like @message and
 * @ctx_json
 * @ctx_json: "{\"reason\":\"...\"}" or NULL
 * @input_json: what the peer sent as JSON text; data NULL gives null, which is right for secrets
 */
struct body_errors;
void body_error_add(struct body_errors *errors, const char *in, const char *name, const char *type,
                    const char *message, const char *ctx_json, struct span input_json);

struct body_row {
    const char *name; /* NULL ends a table */
    enum body_type type;
    size_t offset; /* of the body_string, body_int (also BOOL, ENUM) or body_object in the target
                      struct */
    unsigned flags;
    /* Of a length or a value. Lengths: max 0 is none. Values: both 0 is none, max below min no
     * upper one. */
    int64_t min, max;
    const char *const *choices; /* BODY_ENUM; ends with NULL */
    /* A literal without escapes: applied when the member is absent, written to OpenAPI; NULL: none.
     */
    const char *default_json;
    /* Optional further check of a present, typed value; returns a message for a pydantic
     * value_error, or NULL. */
    const char *(*check)(const struct body_row *row, const void *field);
    const char *doc;
    const char *example_json;
};
