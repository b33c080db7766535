/*
 * Settings: the set of rows with their values, and the only door to inih.
 *
 * A value is kept as text with its origin until somebody applies it, so that a message about it can
 * always say where it was set, and so that sections of modules that do not run are checked like the
 * others. Checking happens when a text comes in; applying cannot fail.
 */
#include "conf_internal.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONF_FILE_BYTES_MAX = 1 << 20, CONF_ARENA_BYTES_MAX = 8 << 20 };

/* ---- the set ---- */

bool conf_is_host_group(const struct conf_group *group) {
    return strcmp(group->section, CONF_HOST_SECTION) == 0;
}

static const char *make_option(struct conf *conf, const struct conf_group *group,
                               const struct conf_row *row) {
    return conf_is_host_group(group)
               ? row->name
               : arena_printf(&conf->arena, "%s.%s", group->section, row->name);
}

static const char *make_variable(struct conf *conf, const char *option) {
    char *variable = arena_printf(&conf->arena, "EVENTBOX_%s", option);
    for (char *c = variable; c && *c; c++) {
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    }
    return variable;
}

static int add_group(struct conf *conf, const struct conf_group *group) {
    for (const struct conf_row *row = group->rows; row && row->name; row++) {
        struct conf_value *value = &conf->values[conf->value_count++];
        *value = (struct conf_value){.row = row, .group = group, .origin = ""};
        value->text = row->default_text ? row->default_text : "";
        value->option = make_option(conf, group, row);
        value->variable = value->option ? make_variable(conf, value->option) : NULL;
        if (!value->variable) {
            return -ENOMEM;
        }
    }
    return 0;
}

int conf_new(const struct conf_group *groups, size_t group_count, struct conf **ret_conf) {
    size_t rows = 0;
    for (size_t i = 0; i < group_count; i++) {
        for (const struct conf_row *row = groups[i].rows; row && row->name; row++) {
            rows++;
        }
    }
    struct conf *conf = calloc(1, sizeof *conf);
    if (!conf) {
        return -ENOMEM;
    }
    arena_init(&conf->arena, CONF_ARENA_BYTES_MAX);
    text_init(&conf->mistakes);
    text_init(&conf->warnings);
    conf->groups = arena_dup(&conf->arena, groups, group_count * sizeof *groups);
    conf->values = calloc(rows + 1, sizeof *conf->values);
    if (!conf->groups || !conf->values) {
        conf_free(conf);
        return -ENOMEM;
    }
    conf->group_count = group_count;
    for (size_t i = 0; i < group_count; i++) {
        int r = add_group(conf, &conf->groups[i]);
        if (r) {
            conf_free(conf);
            return r;
        }
    }
    *ret_conf = conf;
    return 0;
}

void conf_free(struct conf *conf) {
    if (!conf) {
        return;
    }
    text_deinit(&conf->mistakes);
    text_deinit(&conf->warnings);
    free(conf->values);
    arena_deinit(&conf->arena);
    free(conf);
}

static void append_line(struct text *text, const char *format, va_list arguments) {
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    text_append_str(text, line);
    text_append_char(text, '\n');
}

void conf_mistake(struct conf *conf, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_line(&conf->mistakes, format, arguments);
    va_end(arguments);
}

void conf_warn(struct conf *conf, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_line(&conf->warnings, format, arguments);
    va_end(arguments);
}

const char *conf_mistakes(const struct conf *conf) {
    return conf->mistakes.data ? conf->mistakes.data : "";
}

const char *conf_warnings(const struct conf *conf) {
    return conf->warnings.data ? conf->warnings.data : "";
}

struct conf_value *conf_find(const struct conf *conf, const char *section, const char *name) {
    for (size_t i = 0; i < conf->value_count; i++) {
        struct conf_value *value = &conf->values[i];
        if (strcmp(value->group->section, section) == 0 && strcmp(value->row->name, name) == 0) {
            return value;
        }
    }
    return NULL;
}

bool conf_has_section(const struct conf *conf, const char *section) {
    for (size_t i = 0; i < conf->group_count; i++) {
        if (strcmp(conf->groups[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

void conf_set(struct conf *conf, struct conf_value *value, const char *text, enum conf_level level,
              const char *origin) {
    struct conf_parsed parsed;
    char reason[CONF_REASON_MAX];
    if (!conf_value_parse(value->row, text, &parsed, reason)) {
        bool secret = value->row->flags & CONF_SECRET;
        conf_mistake(conf, "%s: %s.%s = %.200s: %s", origin, value->group->section,
                     value->row->name, secret ? "(not shown)" : text, reason);
        return;
    }
    if (level < value->level) {
        return;
    }
    const char *kept = arena_dup(&conf->arena, text, strlen(text));
    const char *kept_origin = arena_dup(&conf->arena, origin, strlen(origin));
    if (!kept || !kept_origin) {
        conf_mistake(conf, "%s: the settings are too large", origin);
        return;
    }
    value->text = kept;
    value->origin = kept_origin;
    value->level = level;
}

void conf_set_default(struct conf *conf, const char *section, const char *name, const char *text) {
    struct conf_value *value = conf_find(conf, section, name);
    if (value && value->level == CONF_DEFAULT) {
        conf_set(conf, value, text, CONF_DEFAULT, "");
    }
}

const char *conf_text(const struct conf *conf, const char *section, const char *name) {
    const struct conf_value *value = conf_find(conf, section, name);
    return value ? value->text : NULL;
}

const char *conf_describe(const struct conf *conf, const char *section, const char *name) {
    static char description[512];
    const struct conf_value *value = conf_find(conf, section, name);
    if (!value) {
        snprintf(description, sizeof description, "%s.%s", section, name);
    } else if (value->level == CONF_DEFAULT) {
        snprintf(description, sizeof description, "%s", value->option);
    } else {
        snprintf(description, sizeof description, "%s, set by %s", value->option, value->origin);
    }
    return description;
}

/* ---- applying ---- */

static void apply_value(const struct conf_value *value, void *target) {
    void *field = (char *)target + value->row->offset;
    struct conf_parsed parsed = {0};
    char reason[CONF_REASON_MAX];
    if (value->row->type == CONF_STRING) {
        memcpy(field, &value->text, sizeof value->text);
        return;
    }
    /* A default that its own row refuses is a mistake of the table; it then means zero. */
    conf_value_parse(value->row, value->text, &parsed, reason);
    if (value->row->type == CONF_BOOL) {
        *(bool *)field = parsed.number != 0;
    } else if (value->row->type == CONF_ENUM) {
        *(int *)field = (int)parsed.number;
    } else {
        *(int64_t *)field = parsed.number;
    }
}

void conf_apply(struct conf *conf, const char *section, const struct conf_row *rows, void *target) {
    for (size_t i = 0; i < conf->value_count; i++) {
        const struct conf_group *group = conf->values[i].group;
        if (group->rows == rows && strcmp(group->section, section) == 0) {
            apply_value(&conf->values[i], target);
        }
    }
}

void conf_apply_reloadable(struct conf *conf, const char *section, const struct conf_row *rows,
                           void *target) {
    for (size_t i = 0; i < conf->value_count; i++) {
        const struct conf_value *value = &conf->values[i];
        if (value->row->flags & CONF_RELOADABLE && value->group->rows == rows &&
            strcmp(value->group->section, section) == 0) {
            apply_value(&conf->values[i], target);
        }
    }
}

size_t conf_take_reloadable(struct conf *conf, const struct conf *fresh) {
    size_t changed = 0;
    text_clear(&conf->warnings);
    for (size_t i = 0; i < conf->value_count; i++) {
        struct conf_value *value = &conf->values[i];
        const struct conf_value *wanted = &fresh->values[i];
        if (strcmp(value->text, wanted->text) == 0) {
            continue;
        }
        if (!(value->row->flags & CONF_RELOADABLE)) {
            conf_warn(conf, "%s has changed and takes effect at the next start", value->option);
            continue;
        }
        value->level = CONF_DEFAULT; /* what was set higher may have gone back */
        conf_set(conf, value, wanted->text, wanted->level, wanted->origin);
        changed++;
    }
    return changed;
}

/* ---- the file ---- */

struct conf_reader {
    struct conf *conf;
    const char *path;
    const char *next, *end; /* what inih has not taken yet */
    int line;
    bool expects_setting;     /* the line before should have reached on_setting() */
    char unknown_section[64]; /* reported already */
};

const char *conf_nearest_section(const struct conf *conf, const char *name) {
    struct conf_nearest nearest = conf_nearest_to(name);
    for (size_t i = 0; i < conf->group_count; i++) {
        conf_nearest_try(&nearest, conf->groups[i].section, conf->groups[i].section);
    }
    return conf_nearest_found(&nearest);
}

static void report_unknown_section(struct conf_reader *reader, const char *section) {
    if (section[0] == '\0') {
        conf_mistake(reader->conf,
                     "%s:%d: a setting before any [section]; the host's own belong to "
                     "[" CONF_HOST_SECTION "]",
                     reader->path, reader->line);
        return;
    }
    if (strncmp(reader->unknown_section, section, sizeof reader->unknown_section - 1) == 0) {
        return;
    }
    snprintf(reader->unknown_section, sizeof reader->unknown_section, "%s", section);
    const char *nearest = conf_nearest_section(reader->conf, section);
    conf_mistake(reader->conf, "%s:%d: [%s]: unknown section%s%s%s", reader->path, reader->line,
                 section, nearest ? "; did you mean [" : "; `eventbox conf print` lists all",
                 nearest ? nearest : "", nearest ? "]?" : "");
}

static void report_unknown_setting(struct conf_reader *reader, const char *section,
                                   const char *name) {
    struct conf_nearest nearest = conf_nearest_to(name);
    for (size_t i = 0; i < reader->conf->value_count; i++) {
        const struct conf_value *value = &reader->conf->values[i];
        if (strcmp(value->group->section, section) == 0) {
            conf_nearest_try(&nearest, value->row->name, value->row->name);
        }
    }
    const char *near = conf_nearest_found(&nearest);
    conf_mistake(reader->conf, "%s:%d: %s.%s: unknown setting; %s%s%s", reader->path, reader->line,
                 section, name, near ? "did you mean " : "`eventbox conf print` lists all",
                 near ? near : "", near ? "?" : "");
}

static int on_setting(void *userdata, const char *section, const char *name, const char *text) {
    struct conf_reader *reader = userdata;
    reader->expects_setting = false;
    if (!conf_has_section(reader->conf, section)) {
        report_unknown_section(reader, section);
        return 1;
    }
    struct conf_value *value = conf_find(reader->conf, section, name);
    if (!value) {
        report_unknown_setting(reader, section, name);
        return 1;
    }
    if (value->line) {
        conf_mistake(reader->conf, "%s:%d: %s.%s: set already in line %d; leave one of them",
                     reader->path, reader->line, section, name, value->line);
        return 1;
    }
    value->line = reader->line;
    char origin[512];
    snprintf(origin, sizeof origin, "%s:%d", reader->path, reader->line);
    conf_set(reader->conf, value, text, CONF_FILE, origin);
    return 1;
}

static void check_line_before(struct conf_reader *reader) {
    if (reader->expects_setting) {
        conf_mistake(reader->conf, "%s:%d: not understood; write `name = value` or `[section]`",
                     reader->path, reader->line);
    }
    reader->expects_setting = false;
}

/*
 * Hands inih one line a call, as fgets would. inih tells neither line numbers nor more than the
 * first bad line, and takes an indented line for more of the value before: so lines are counted
 * and their indentation removed here.
 */
static char *next_line(char *out, int size, void *userdata) {
    struct conf_reader *reader = userdata;
    check_line_before(reader);
    if (reader->next >= reader->end) {
        return NULL;
    }
    const char *stop = memchr(reader->next, '\n', (size_t)(reader->end - reader->next));
    const char *begin = reader->next;
    stop = stop ? stop : reader->end;
    reader->next = stop + 1;
    reader->line++;
    while (begin < stop && isspace((unsigned char)*begin)) {
        begin++;
    }
    size_t length = (size_t)(stop - begin);
    bool blank = length == 0 || *begin == '#' || *begin == ';';
    bool whole_heading = length > 0 && *begin == '[' && memchr(begin, ']', length);
    if (!blank && (length + 2 > (size_t)size || memchr(begin, '\0', length))) {
        conf_mistake(reader->conf, "%s:%d: the line has a zero byte or more than %d bytes",
                     reader->path, reader->line, size - 2);
        blank = true;
    }
    reader->expects_setting = !blank && !whole_heading;
    if (blank) {
        length = 0;
    }
    memcpy(out, begin, length);
    out[length] = '\n';
    out[length + 1] = '\0';
    return out;
}

int conf_load(const char *path, struct text *out) {
    FILE *file = fopen(path, "re");
    if (!file) {
        return -errno;
    }
    int r = 0;
    while (!r && !feof(file)) {
        char *room = text_reserve(out, 4096);
        if (!room || out->size > CONF_FILE_BYTES_MAX) {
            r = -EFBIG;
            break;
        }
        out->size += fread(room, 1, 4096, file);
        r = ferror(file) ? -errno : 0;
    }
    fclose(file);
    if (out->size >= 3 && memcmp(out->data, "\xEF\xBB\xBF", 3) == 0) {
        out->size -= 3;
        memmove(out->data, out->data + 3, out->size);
    }
    return r;
}

void conf_read_file(struct conf *conf, const char *path) {
    struct text content;
    text_init(&content);
    int r = conf_load(path, &content);
    if (r) {
        conf_mistake(conf, "%s: cannot be read (%s); give the path of a settings file", path,
                     strerror(-r));
        text_deinit(&content);
        return;
    }
    for (size_t i = 0; i < conf->value_count; i++) {
        conf->values[i].line = 0;
    }
    const char *begin = content.data ? content.data : "";
    struct conf_reader reader = {.conf = conf, .path = path, .next = begin};
    reader.end = begin + content.size;
    ini_parse_stream(next_line, &reader, on_setting, &reader);
    text_deinit(&content);
}
