/* The raw text of a JSON document, checked before cJSON sees it. Private to base/. */
#pragma once

#include <eventbox/base/json.h>

/* A number of the document, in the order of the text. */
struct json_number {
    int64_t integer;
    size_t position;
    bool is_integer; /* without fraction and exponent, and inside int64_t */
};

struct json_numbers {
    struct json_number *items; /* malloc; the caller frees it, after errors too */
    size_t count;
    size_t capacity;
};

/** json_scan() - Return: 0; JSON_E_INVALID with *ret_error filled, JSON_E_LIMIT; -ENOMEM */
int json_scan(struct span text, const struct json_limits *limits, struct json_numbers *ret_numbers,
              struct json_error *ret_error);

/** json_error_set() - fills *error for a mistake at @position of @text */
void json_error_set(struct json_error *error, struct span text, size_t position,
                    const char *message);
