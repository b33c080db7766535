/* The one table of what a user's fields may be: validator, OpenAPI and 422 answers come from it. */
#include "users.h"

#include <eventbox/base/utf8.h>

enum { PASSWORD_BYTES_MIN = 8, PASSWORD_BYTES_MAX = 256, AGE_MAX = 150, LIST_LIMIT_MAX = 1000 };

static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* ASCII only: letters that look or fold alike are how names get taken over. */
static const char *check_username(const struct body_row *row, const void *field) {
    const struct body_string *name = field;
    for (size_t i = 0; i < name->size; i++) {
        char c = name->data[i];
        if (!is_alphanumeric(c) && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return "a username has letters, digits, '.', '_' and '-', and begins with a letter or "
                   "a digit";
        }
    }
    return NULL;
}

/* Code points that steer the direction of text, or that are invisible line ends of Unicode. */
static bool is_hidden(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static uint32_t next_code_point(const uint8_t **in) {
    const uint8_t *at = *in;
    unsigned more = at[0] < 0x80 ? 0 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : 3;
    static const uint8_t first_bits[] = {0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = at[0] & first_bits[more];
    for (unsigned i = 1; i <= more; i++) {
        c = c << 6 | (at[i] & 0x3f);
    }
    *in = at + more + 1;
    return c;
}

static const char *check_full_name(const struct body_row *row, const void *field) {
    const struct body_string *name = field;
    const uint8_t *in = (const uint8_t *)name->data, *end = in + name->size;
    while (in < end) { /* valid UTF-8: the JSON door saw to that */
        if (is_hidden(next_code_point(&in))) {
            return "a name has no control characters and none that change the direction of text";
        }
    }
    return NULL;
}

#define PATTERN_DOC                                                                                \
    "Letters, digits, '.', '_' and '-', beginning with a letter or a digit; unique in any case."

#define USER_ROWS(required, role_flags, role_default)                                              \
    {.name = "username",                                                                           \
     .type = BODY_STRING,                                                                          \
     .offset = offsetof(struct user_fields, username),                                             \
     .flags = (required),                                                                          \
     .min = 3,                                                                                     \
     .max = USER_NAME_BYTES,                                                                       \
     .check = check_username,                                                                      \
     .doc = PATTERN_DOC,                                                                           \
     .example_json = "\"john_doe\""},                                                              \
        {.name = "email",                                                                          \
         .type = BODY_EMAIL,                                                                       \
         .offset = offsetof(struct user_fields, email),                                            \
         .flags = (required),                                                                      \
         .max = USER_EMAIL_BYTES,                                                                  \
         .doc = "Address; unique in any case.",                                                    \
         .example_json = "\"john@example.com\""},                                                  \
        {.name = "password",                                                                       \
         .type = BODY_STRING,                                                                      \
         .offset = offsetof(struct user_fields, password),                                         \
         .flags = (required) | BODY_SECRET | BODY_BYTES,                                           \
         .min = PASSWORD_BYTES_MIN,                                                                \
         .max = PASSWORD_BYTES_MAX,                                                                \
         .doc = "8 to 256 bytes, and not similar to the username or the address.",                 \
         .example_json = "\"SecurePass123\""},                                                     \
        {.name = "role",                                                                           \
         .type = BODY_ENUM,                                                                        \
         .offset = offsetof(struct user_fields, role),                                             \
         .flags = (role_flags),                                                                    \
         .choices = user_role_names,                                                               \
         .default_json = (role_default),                                                           \
         .doc = "Rights of the user."},                                                            \
        {.name = "age",                                                                            \
         .type = BODY_INT,                                                                         \
         .offset = offsetof(struct user_fields, age),                                              \
         .flags = BODY_NULLABLE,                                                                   \
         .min = 0,                                                                                 \
         .max = AGE_MAX,                                                                           \
         .doc = "Years.",                                                                          \
         .example_json = "25"},                                                                    \
    {                                                                                              \
        .name = "full_name", .type = BODY_STRING,                                                  \
        .offset = offsetof(struct user_fields, full_name), .flags = BODY_NULLABLE,                 \
        .max = USER_FULL_NAME_CHARS, .check = check_full_name,                                     \
        .doc = "Name as people write it; white space around it is removed.",                       \
        .example_json = "\"John Doe\""                                                             \
    }

const struct body_row user_create_rows[] = {USER_ROWS(BODY_REQUIRED, 0, "\"user\""), {0}};

/* PUT changes what is there. As in the original, null leaves a required field alone; it clears age
 * and full_name. */
const struct body_row user_update_rows[] = {USER_ROWS(BODY_NULLABLE, BODY_NULLABLE, NULL), {0}};

/* One of username and email is required, which login.c checks. Bounds only keep nonsense away from
 * the hash. */
const struct body_row login_rows[] = {
    {.name = "username",
     .type = BODY_STRING,
     .offset = offsetof(struct login_fields, username),
     .flags = BODY_NULLABLE,
     .max = USER_EMAIL_BYTES,
     .doc = "Username or address, in any case.",
     .example_json = "\"john_doe\""},
    {.name = "email",
     .type = BODY_STRING,
     .offset = offsetof(struct login_fields, email),
     .flags = BODY_NULLABLE,
     .max = USER_EMAIL_BYTES,
     .doc = "Address, instead of the username."},
    {.name = "password",
     .type = BODY_STRING,
     .offset = offsetof(struct login_fields, password),
     .flags = BODY_REQUIRED | BODY_SECRET | BODY_BYTES,
     .max = PASSWORD_BYTES_MAX,
     .doc = "The password.",
     .example_json = "\"SecurePass123\""},
    {0},
};

const struct body_row user_path_rows[] = {
    {.name = "user_id",
     .type = BODY_INT,
     .offset = offsetof(struct user_path, user_id),
     .flags = BODY_REQUIRED,
     .doc = "Number of the user.",
     .example_json = "1"},
    {0},
};

const struct body_row list_query_rows[] = {
    {.name = "skip",
     .type = BODY_INT,
     .offset = offsetof(struct list_query, skip),
     .min = 0,
     .max = INT64_MAX,
     .default_json = "0",
     .doc = "Users to leave out at the beginning."},
    {.name = "limit",
     .type = BODY_INT,
     .offset = offsetof(struct list_query, limit),
     .min = 1,
     .max = LIST_LIMIT_MAX,
     .default_json = "100",
     .doc = "Users to return at most."},
    {0},
};

/* Answers, for OpenAPI; user_write_json() and login.c write them. */
const struct body_row user_schema_rows[] = {
    {.name = "id", .type = BODY_INT, .flags = BODY_REQUIRED, .example_json = "1"},
    {.name = "username",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .example_json = "\"john_doe\""},
    {.name = "email",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .example_json = "\"john@example.com\""},
    {.name = "role", .type = BODY_ENUM, .flags = BODY_REQUIRED, .choices = user_role_names},
    {.name = "age", .type = BODY_INT, .flags = BODY_REQUIRED | BODY_NULLABLE, .example_json = "25"},
    {.name = "full_name",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED | BODY_NULLABLE,
     .example_json = "\"John Doe\""},
    {.name = "created_at", .type = BODY_STRING, .flags = BODY_REQUIRED, .doc = "RFC 3339, UTC."},
    {.name = "updated_at", .type = BODY_STRING, .flags = BODY_REQUIRED, .doc = "RFC 3339, UTC."},
    {0},
};

const struct body_row login_schema_rows[] = {
    {.name = "token",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .doc = "The session token, under the original's name."},
    {.name = "access_token", .type = BODY_STRING, .flags = BODY_REQUIRED, .doc = "The same token."},
    {.name = "token_type",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .example_json = "\"bearer\""},
    {.name = "expires_in",
     .type = BODY_INT,
     .flags = BODY_REQUIRED,
     .doc = "Seconds for which the session lives without being used."},
    {.name = "session_id",
     .type = BODY_STRING,
     .flags = BODY_REQUIRED,
     .doc = "Public name of the session."},
    {.name = "user", .type = BODY_OBJECT, .flags = BODY_REQUIRED, .doc = "The public user."},
    {.name = "message", .type = BODY_STRING, .flags = BODY_REQUIRED},
    {0},
};

/* Never with the value itself. */
void fields_respond_invalid(struct http_request *request, const char *field, const char *type,
                            const char *message) {
    body_error_add(http_request_errors(request), "body", field, type, message, NULL, SPAN_NULL);
    http_respond_validation(request);
}

struct span fields_trim(struct span text) {
    const char *data = text.data;
    size_t size = text.size;
    while (size && data[size - 1] == ' ') {
        size--;
    }
    while (size && *data == ' ') {
        data++;
        size--;
    }
    return span_of(data, size);
}

const char *fields_password_problem(struct span password, struct span username, struct span email) {
    const char *at = email.data ? memchr(email.data, '@', email.size) : NULL;
    struct span local_part = span_of(email.data, at ? (size_t)(at - (const char *)email.data) : 0);
    if (password_resembles(password, username)) {
        return "Value error, the password is too similar to the username";
    }
    if (password_resembles(password, local_part)) {
        return "Value error, the password is too similar to the email address";
    }
    return NULL;
}
