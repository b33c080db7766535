/* One value: from text to the field's type, and what a row takes, in words. */
#include "conf_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct conf_unit {
    const char *name;
    int64_t factor;
};
static const struct conf_unit size_units[] = {
    {"", 1},          {"B", 1},         {"KiB", 1 << 10},
    {"K", 1 << 10},   {"MiB", 1 << 20}, {"M", 1 << 20},
    {"GiB", 1 << 30}, {"G", 1 << 30},   {"TiB", INT64_C(1) << 40},
    {"kB", 1000},     {"MB", 1000000},  {"GB", 1000000000},
    {NULL, 0},
};
static const struct conf_unit duration_units[] = {
    {"ms", 1},      {"s", 1000},     {"m", 60000}, {"min", 60000},
    {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static bool parse_number(const char *text, int64_t *ret_number, const char **ret_rest) {
    char *end = NULL;
    if (strspn(text, "+-0123456789") == 0) {
        return false;
    }
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    *ret_number = number;
    *ret_rest = end;
    return true;
}

static bool parse_with_unit(const struct conf_unit *units, const char *text, const char *plain_unit,
                            int64_t *ret_number) {
    int64_t number;
    const char *rest;
    if (!parse_number(text, &number, &rest)) {
        return false;
    }
    if (*rest == '\0') {
        rest = plain_unit;
    }
    for (const struct conf_unit *unit = units; unit->name; unit++) {
        if (strcmp(unit->name, rest) == 0) {
            return !__builtin_mul_overflow(number, unit->factor, ret_number);
        }
    }
    return false;
}

static bool parse_bool(const char *text, int64_t *ret_number) {
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_number = value;
                return true;
            }
        }
    }
    return false;
}

static bool parse_choice(const struct conf_row *row, const char *text, int64_t *ret_number) {
    for (int64_t i = 0; row->choices[i]; i++) {
        if (strcasecmp(text, row->choices[i]) == 0) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

static bool parse_typed(const struct conf_row *row, const char *text, int64_t *ret_number) {
    const char *rest;
    switch (row->type) {
    case CONF_STRING:
        *ret_number = (int64_t)strlen(text);
        return true;
    case CONF_INT:
        return parse_number(text, ret_number, &rest) && *rest == '\0';
    case CONF_BOOL:
        return parse_bool(text, ret_number);
    case CONF_SIZE:
        return parse_with_unit(size_units, text, "", ret_number) && *ret_number >= 0;
    case CONF_DURATION:
        return parse_with_unit(duration_units, text, row->unit ? row->unit : "ms", ret_number);
    case CONF_ENUM:
        return parse_choice(row, text, ret_number);
    }
    return false;
}

bool conf_value_parse(const struct conf_row *row, const char *text, struct conf_parsed *ret_parsed,
                      char reason[CONF_REASON_MAX]) {
    int64_t number = 0;
    bool bounded = row->min != 0 || row->max != 0;
    bool valid =
        parse_typed(row, text, &number) && !(bounded && (number < row->min || number > row->max));
    if (!valid) {
        char range[CONF_REASON_MAX - 16];
        conf_value_range(row, range, sizeof range);
        snprintf(reason, CONF_REASON_MAX, "must be %s", range);
        return false;
    }
    ret_parsed->number = number;
    return true;
}

static void range_of_numbers(const struct conf_row *row, const char *what, const char *unit,
                             char *out, size_t size) {
    if (row->min == 0 && row->max == 0) {
        snprintf(out, size, "%s", what);
    } else if (row->max == INT64_MAX) {
        snprintf(out, size, "%s, at least %lld%s", what, (long long)row->min, unit);
    } else {
        snprintf(out, size, "%s from %lld to %lld%s", what, (long long)row->min,
                 (long long)row->max, unit);
    }
}

void conf_value_range(const struct conf_row *row, char *out, size_t size) {
    size_t used;
    switch (row->type) {
    case CONF_STRING:
        range_of_numbers(row, "text", " bytes", out, size);
        break;
    case CONF_INT:
        range_of_numbers(row, "a whole number", "", out, size);
        break;
    case CONF_BOOL:
        snprintf(out, size, "yes or no");
        break;
    case CONF_SIZE:
        range_of_numbers(row, "a size such as 64KiB or 1MiB", " bytes", out, size);
        break;
    case CONF_DURATION:
        range_of_numbers(row, "a duration such as 500ms, 10s or 2m", " ms", out, size);
        break;
    case CONF_ENUM:
        used = (size_t)snprintf(out, size, "one of ");
        for (size_t i = 0; row->choices[i] && used < size; i++) {
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", row->choices[i]);
        }
        break;
    }
}

static unsigned distance_of(const char *a, const char *b) {
    unsigned row[CONF_NAME_MAX + 1];
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > CONF_NAME_MAX || b_size > CONF_NAME_MAX) {
        return CONF_NAME_MAX;
    }
    for (unsigned j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned above = row[j];
            unsigned replace = diagonal + (strncasecmp(&a[i - 1], &b[j - 1], 1) != 0);
            row[j] = MIN(replace, MIN(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_size];
}

void conf_nearest_try(struct conf_nearest *nearest, const char *name, const char *shown) {
    unsigned distance = distance_of(nearest->wanted, name);
    if (distance < nearest->least) {
        nearest->least = distance;
        nearest->found = shown;
    }
}

const char *conf_nearest_found(const struct conf_nearest *nearest) {
    bool near = nearest->least <= MAX(2U, (unsigned)strlen(nearest->wanted) / 4);
    return near ? nearest->found : NULL;
}
