/*
 * The only door to cJSON, with the guards that it lacks (RFC 8259, 4, 8 and 9: NUL in strings,
 * duplicate keys, depth, node count, invalid UTF-8, numbers as doubles).
 *
 * Reading: json_parse() checks the raw text first - size, UTF-8, depth, nodes, escapes of U+0000
 * and lone surrogates, strict numbers, nothing behind the value - and refuses duplicate keys.
 * Integers are read from the raw text and exact in int64; beyond it, and with a fraction or an
 * exponent, a number is a double. Names are compared case-sensitively.
 *
 * Writing: json_write_*() append to a struct text. The writer places a comma when the text ends in
 * a value, so text before the document should end in white space or be absent.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>
#include <eventbox/base/text.h>

struct json; /* a parsed document or a value in it */

struct json_limits {
    size_t bytes;   /* of the whole text */
    unsigned depth; /* of arrays and objects in each other; at most JSON_DEPTH_MAX counts */
    unsigned nodes; /* values, without the names */
};
enum { JSON_DEPTH_MAX = 256, JSON_NUMBER_MAX_BYTES = 63 };
#define JSON_LIMITS_DEFAULT ((struct json_limits){KIB(64), 32, 10000})

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_error {
    size_t position;   /* of the mistake, in bytes */
    size_t characters; /* the same in code points, as Python and so FastAPI count */
    const char *text;  /* static, e.g. "Expecting value": Python's words where it has some */
};

/**
 * json_parse() - parse one document
 * @ret_error: filled for JSON_E_INVALID; may be NULL
 *
 * Ownership: the caller frees *ret_json with json_free(); it does not borrow from @text.
 * Return: 0; JSON_E_INVALID, JSON_E_LIMIT (bytes, depth, nodes, digits of a number),
 *         JSON_E_DUPLICATE_KEY; -ENOMEM.
 */
int json_parse(struct span text, const struct json_limits *limits, struct json **ret_json,
               struct json_error *ret_error);
void json_free(struct json *json); /* of the document only; accepts NULL */
DEFINE_CLEANUP(struct json *, json_free)

enum json_type json_type_of(const struct json *value);
bool json_bool(const struct json *value);
int64_t json_int(const struct json *value);        /* JSON_INT only */
double json_double(const struct json *value);      /* JSON_INT and JSON_DOUBLE */
struct span json_string(const struct json *value); /* borrowed; JSON_STRING only */
/** json_member() - value of @name in an object, NULL when absent or @object is no object */
const struct json *json_member(const struct json *object, const char *name);
/** json_first(), json_next() - iterate over an array or object; NULL at the end */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *value);
/** json_name() - name of an object's member; borrowed */
struct span json_name(const struct json *value);
/** json_convert() - the value as JSON text appended to @out */
void json_convert(const struct json *value, struct text *out);

void json_write_object(struct text *out,
                       const char *name); /* name NULL inside arrays and at the top */
void json_write_object_end(struct text *out);
void json_write_array(struct text *out, const char *name);
void json_write_array_end(struct text *out);
void json_write_string(struct text *out, const char *name,
                       struct span value); /* invalid UTF-8 is cleaned */
void json_write_int(struct text *out, const char *name, int64_t value);
void json_write_double(struct text *out, const char *name, double value); /* NaN, infinity: null */
void json_write_bool(struct text *out, const char *name, bool value);
void json_write_null(struct text *out, const char *name);
void json_write_raw(struct text *out, const char *name, struct span json); /* already JSON */
