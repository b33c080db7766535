/*
 * Rows at work: values of a JSON body, a query or a path are checked against their rows and stored
 * into the target struct; what does not fit becomes an item in pydantic 2's words.
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/text.h>
#include <eventbox/http/body.h>

enum { BODY_ERRORS_MAX = 64 };

struct body_error {
    struct body_error *next;
    const char *in;
    const char *name; /* NULL: the place itself */
    int64_t position; /* -1: none; of json_invalid */
    const char *type;
    const char *message;
    const char *ctx_json;
    struct span input_json; /* data NULL: null */
};

struct body_errors {
    struct arena *arena;
    struct body_error *first, **last;
    unsigned count;
    bool failed; /* no memory for an item */
};

void body_errors_init(struct body_errors *errors, struct arena *arena);
/** body_error_add_at() - an item about the whole place @in, at character @position of it (-1: none)
 */
void body_error_add_at(struct body_errors *errors, const char *in, int64_t position,
                       const char *type, const char *message, const char *ctx_json,
                       struct span input_json);
/** body_errors_write() - FastAPI's list of items: [{"type","loc","msg","input","ctx"}] */
void body_errors_write(const struct body_errors *errors, struct text *out, const char *name);
/** body_errors_write_problem() - the list of an RFC 9457 answer: [{"pointer","loc","type","msg"}]
 */
void body_errors_write_problem(const struct body_errors *errors, struct text *out,
                               const char *name);

/** rows_read_object() - all @rows from a JSON object; @forbid_extra refuses members without a row
 */
void rows_read_object(const struct body_row *rows, const struct json *object, void *target,
                      struct body_errors *errors, bool forbid_extra);
/** rows_read_text() - one row from decoded text of a path or query; data NULL: absent */
void rows_read_text(const struct body_row *row, const char *in, struct span value, void *target,
                    struct body_errors *errors);
/** rows_have_secret() - whether a value under @rows must not be echoed as a whole */
bool rows_have_secret(const struct body_row *rows);

/** email_check() - NULL, or what is wrong in the words of Python's email-validator */
const char *email_check(struct span email);
