/*
 * Settings from the environment, from the original's .env files, and from options.
 *
 * Three kinds of names: EVENTBOX_USERS_PORT means one row; the bare PORT means the row that claims
 * it as its alias, in the first section that does; in the .env file of a service a bare name means
 * that service's row first.
 */
#include "conf_internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define PREFIX "EVENTBOX_"

static struct conf_value *find_variable(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->value_count; i++) {
        if (strcmp(conf->values[i].variable, name) == 0) {
            return &conf->values[i];
        }
    }
    return NULL;
}

/* The row that owns a bare name: the first that claims it, within @section unless that is NULL. */
static struct conf_value *find_alias(const struct conf *conf, const char *section,
                                     const char *name) {
    for (size_t i = 0; i < conf->value_count; i++) {
        struct conf_value *value = &conf->values[i];
        if (section && strcmp(value->group->section, section) != 0) {
            continue;
        }
        if (value->row->env_alias && strcmp(value->row->env_alias, name) == 0) {
            return value;
        }
    }
    return NULL;
}

/*
 * Kubernetes and old container links put EVENTBOX_PORT_8000_TCP, EVENTBOX_SERVICE_HOST and the like
 * into the environment of everything beside a service called eventbox. They are not ours to refuse.
 */
static bool is_injected(const char *name) {
    static const char *const prefixes[] = {PREFIX "SERVICE_", PREFIX "PORT", PREFIX "ENV_",
                                           PREFIX "NAME"};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void report_unknown_variable(struct conf *conf, const char *name) {
    struct conf_nearest nearest = conf_nearest_to(name + strlen(PREFIX));
    for (size_t i = 0; i < conf->value_count; i++) {
        const char *variable = conf->values[i].variable;
        conf_nearest_try(&nearest, variable + strlen(PREFIX), variable);
    }
    const char *near = conf_nearest_found(&nearest);
    conf_mistake(conf, "environment variable %s: unknown setting; %s%s%s", name,
                 near ? "did you mean " : "`eventbox conf print` lists all", near ? near : "",
                 near ? "?" : "");
}

static void read_variable(struct conf *conf, const char *entry, bool full_names) {
    char name[CONF_NAME_MAX], origin[CONF_NAME_MAX + 32];
    const char *equals = strchr(entry, '=');
    bool is_full_name = strncmp(entry, PREFIX, strlen(PREFIX)) == 0;
    if (!equals || (size_t)(equals - entry) >= sizeof name || is_full_name != full_names) {
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - entry), entry);
    snprintf(origin, sizeof origin, "environment variable %s", name);
    struct conf_value *value =
        full_names ? find_variable(conf, name) : find_alias(conf, NULL, name);
    if (value && (full_names || equals[1] != '\0')) {
        conf_set(conf, value, equals + 1, CONF_ENVIRONMENT, origin);
    } else if (!value && full_names && !is_injected(name)) {
        report_unknown_variable(conf, name);
    }
}

void conf_read_environment(struct conf *conf, char *const *environment) {
    /* Bare names first, so that a full name wins over them. */
    for (int full_names = 0; full_names < 2; full_names++) {
        for (char *const *entry = environment; entry && *entry; entry++) {
            read_variable(conf, *entry, full_names);
        }
    }
}

/* ---- .env files ---- */

/* What a bare name means in the file of @section: its own rows, by alias or by name in capitals. */
static struct conf_value *find_in_section(const struct conf *conf, const char *section,
                                          const char *name) {
    struct conf_value *value = find_alias(conf, section, name);
    for (size_t i = 0; !value && i < conf->value_count; i++) {
        struct conf_value *candidate = &conf->values[i];
        if (strcmp(candidate->group->section, section) == 0 &&
            strcasecmp(candidate->row->name, name) == 0) {
            value = candidate;
        }
    }
    return value;
}

static bool owns_bare_names(const struct conf *conf, const char *section) {
    const struct conf_value *port = find_alias(conf, NULL, "PORT");
    return !port || strcmp(port->group->section, section) == 0;
}

static void set_from_env_file(struct conf *conf, const char *section, const char *origin,
                              const char *name, const char *text) {
    struct conf_value *value = find_in_section(conf, section, name);
    value = value ? value : find_variable(conf, name);
    if (value) {
        conf_set(conf, value, text, CONF_ENV_FILE, origin);
        return;
    }
    value = find_alias(conf, CONF_HOST_SECTION, name);
    if (!value) {
        conf_warn(conf, "%s: %s means nothing to eventbox and is ignored", origin, name);
    } else if (owns_bare_names(conf, section)) {
        conf_set(conf, value, text, CONF_ENV_FILE, origin);
    } else {
        conf->other_database = arena_dup(&conf->arena, text, strlen(text));
        conf->other_database_origin = arena_dup(&conf->arena, origin, strlen(origin));
    }
}

/* The value of `KEY=value` as python-dotenv reads it: quotes go, a # behind white space ends an
 * unquoted one. In place. */
static char *clean_env_value(char *text) {
    text += strspn(text, " \t");
    char *end;
    if ((*text == '"' || *text == '\'') && (end = strchr(text + 1, *text))) {
        *end = '\0';
        return text + 1;
    }
    end = text;
    while (*end && !(*end == '#' && end > text && isspace((unsigned char)end[-1]))) {
        end++;
    }
    *end = '\0';
    while (end > text && isspace((unsigned char)end[-1])) {
        *--end = '\0';
    }
    return text;
}

static void read_env_line(struct conf *conf, const char *section, const char *path, int line,
                          char *text) {
    char origin[512];
    text += strspn(text, " \t\r\n");
    if (*text == '\0' || *text == '#') {
        return;
    }
    if (strncmp(text, "export ", 7) == 0) {
        text += 7 + strspn(text + 7, " \t");
    }
    snprintf(origin, sizeof origin, "%s:%d", path, line);
    char *equals = strchr(text, '=');
    if (!equals) {
        conf_mistake(conf, "%s: not understood; write `NAME=value`", origin);
        return;
    }
    char *name_end = equals;
    while (name_end > text && isspace((unsigned char)name_end[-1])) {
        name_end--;
    }
    *name_end = '\0';
    set_from_env_file(conf, section, origin, text, clean_env_value(equals + 1));
}

static void read_env_lines(struct conf *conf, const char *section, const char *path,
                           struct text *content) {
    char *next = content->data, *end = content->data + content->size;
    for (int line = 1; next < end; line++) {
        char *text = next, *stop = memchr(next, '\n', (size_t)(end - next));
        stop = stop ? stop : end; /* where a text has its zero byte */
        *stop = '\0';
        next = stop + 1;
        if (strlen(text) < (size_t)(stop - text)) {
            conf_mistake(conf, "%s:%d: the line has a zero byte", path, line);
        } else {
            read_env_line(conf, section, path, line, text);
        }
    }
}

void conf_read_env_file(struct conf *conf, const char *section, const char *path) {
    if (!conf_has_section(conf, section) || strcmp(section, CONF_HOST_SECTION) == 0) {
        conf_mistake(conf,
                     "option --env %s=%s: no module %s; write --env users=FILE or --env "
                     "notify=FILE",
                     section, path, section);
        return;
    }
    struct text content;
    text_init(&content);
    int r = conf_load(path, &content);
    if (r) {
        conf_mistake(conf,
                     "option --env %s=%s: the file cannot be read (%s); name another, or leave the "
                     "option out",
                     section, path, strerror(-r));
    } else {
        read_env_lines(conf, section, path, &content);
    }
    text_deinit(&content);
}

/* The setting `modules` names sections. Whether their requirements hold is told at the start. */
static void check_modules(struct conf *conf) {
    const struct conf_value *value = conf_find(conf, CONF_HOST_SECTION, "modules");
    const char *list = value ? value->text : "all";
    if (strcmp(list, "all") == 0) {
        return;
    }
    while (*list) {
        char name[64];
        size_t size = strcspn(list, ", \t");
        snprintf(name, sizeof name, "%.*s", (int)MIN(size, sizeof name - 1), list);
        list += size + strspn(list + size, ", \t");
        if (name[0] && (!conf_has_section(conf, name) || strcmp(name, CONF_HOST_SECTION) == 0)) {
            const char *nearest = conf_nearest_section(conf, name);
            conf_mistake(conf, "%s: modules = %s: there is no module %s%s%s%s", value->origin,
                         value->text, name,
                         nearest ? "; did you mean " : "; `eventbox conf print` shows each",
                         nearest ? nearest : "", nearest ? "?" : "");
        }
    }
}

void conf_finish(struct conf *conf) {
    check_modules(conf);
    const char *url = conf_text(conf, CONF_HOST_SECTION, "database_url");
    if (conf->other_database && url && strcmp(conf->other_database, url) != 0) {
        conf_warn(conf,
                  "%s: DATABASE_URL is not used: one database holds all modules (%s); set it by "
                  "--database_url or EVENTBOX_DATABASE_URL",
                  conf->other_database_origin,
                  url[0] ? conf_describe(conf, CONF_HOST_SECTION, "database_url")
                         : "eventbox.db in the data folder");
    }
}

/* ---- options ---- */

bool conf_option_at(const struct conf *conf, size_t index, const char **ret_name,
                    const struct conf_row **ret_row) {
    if (index >= conf->value_count) {
        return false;
    }
    *ret_name = conf->values[index].option;
    *ret_row = conf->values[index].row;
    return true;
}

const char *conf_nearest_option(const struct conf *conf, const char *name) {
    struct conf_nearest nearest = conf_nearest_to(name);
    for (size_t i = 0; i < conf->value_count; i++) {
        conf_nearest_try(&nearest, conf->values[i].option, conf->values[i].option);
    }
    return conf_nearest_found(&nearest);
}

void conf_set_option(struct conf *conf, const char *name, const char *text) {
    char origin[CONF_NAME_MAX + 16];
    snprintf(origin, sizeof origin, "option --%s", name);
    for (size_t i = 0; i < conf->value_count; i++) {
        if (strcmp(conf->values[i].option, name) == 0) {
            conf_set(conf, &conf->values[i], text, CONF_OPTION, origin);
            return;
        }
    }
    const char *nearest = conf_nearest_option(conf, name);
    conf_mistake(conf, "%s: unknown; %s%s%s", origin,
                 nearest ? "did you mean --" : "`eventbox conf print` lists every setting",
                 nearest ? nearest : "", nearest ? "?" : "");
}
