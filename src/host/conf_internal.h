/* Settings, inside: values as text with their origin, shared by the files conf*.c. */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/text.h>
#include <eventbox/host/conf.h>

enum { CONF_NAME_MAX = 96, CONF_REASON_MAX = 320 };

/* One row and what it is set to. The text has been checked: applying it cannot fail. */
struct conf_value {
    const struct conf_row *row;
    const struct conf_group *group;
    const char *text;
    enum conf_level level;
    const char *origin;   /* "eventbox.conf:12"; "" for a default */
    const char *option;   /* "users.port", "data" */
    const char *variable; /* "EVENTBOX_USERS_PORT" */
    int line;             /* CONF_FILE: to name a second setting of the same row */
};

struct conf {
    struct arena arena;
    struct conf_group *groups;
    size_t group_count;
    struct conf_value *values;
    size_t value_count;
    struct text mistakes, warnings;
    /* DATABASE_URL of an .env file that may not set it; compared by conf_finish(). */
    const char *other_database, *other_database_origin;
};

/* The typed form of a text. */
struct conf_parsed {
    int64_t number; /* INT, SIZE, DURATION, BOOL, ENUM */
};

/** conf_value_parse() - false and @reason ("must be a whole number from 0 to 65535") when @text
 * does not fit @row */
bool conf_value_parse(const struct conf_row *row, const char *text, struct conf_parsed *ret_parsed,
                      char reason[CONF_REASON_MAX]);
/** conf_value_range() - what the row takes, in words: "a whole number from 0 to 65535" */
void conf_value_range(const struct conf_row *row, char *out, size_t size);

/* "did you mean": the candidate with the fewest edits, without regard to case. */
struct conf_nearest {
    const char *wanted, *found;
    unsigned least;
};
static inline struct conf_nearest conf_nearest_to(const char *wanted) {
    return (struct conf_nearest){wanted, NULL, UINT32_MAX};
}
/** conf_nearest_try() - @name is compared, @shown is what people are told */
void conf_nearest_try(struct conf_nearest *nearest, const char *name, const char *shown);
/** conf_nearest_found() - NULL when none is so near that it was a slip of the pen */
const char *conf_nearest_found(const struct conf_nearest *nearest);

struct conf_value *conf_find(const struct conf *conf, const char *section, const char *name);
/** conf_nearest_section() - NULL when none comes close to @name */
const char *conf_nearest_section(const struct conf *conf, const char *name);
bool conf_has_section(const struct conf *conf, const char *section);
bool conf_is_host_group(const struct conf_group *group);
/** conf_set() - check @text and take it unless a higher level has set the row; mistakes are noted
 */
void conf_set(struct conf *conf, struct conf_value *value, const char *text, enum conf_level level,
              const char *origin);
/** conf_load() - the bytes of a file, without a byte order mark; negative when it cannot be read,
 * -EFBIG when it is too large for settings */
int conf_load(const char *path, struct text *out);
void conf_mistake(struct conf *conf, const char *format, ...) _printf_(2, 3);
void conf_warn(struct conf *conf, const char *format, ...) _printf_(2, 3);
