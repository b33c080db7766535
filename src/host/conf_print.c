/* The configuration reference: printed from the same rows that parse, and readable by
 * conf_read_file(). */
#include "conf_internal.h"

#include <string.h>

enum { REFERENCE_WIDTH = 98 };

/* @text behind "# ", broken at spaces. */
static void print_comment(FILE *out, const char *text) {
    size_t column = 1;
    fputs("#", out);
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column + 1 + word > REFERENCE_WIDTH && column > 1) {
            fputs("\n#", out);
            column = 1;
        }
        fprintf(out, " %.*s", (int)word, text);
        column += 1 + word;
        text += word;
        text += strspn(text, " \n");
    }
    fputs("\n", out);
}

static void print_names(FILE *out, const struct conf_value *value) {
    char range[256], line[512];
    conf_value_range(value->row, range, sizeof range);
    bool bare = value->row->env_alias != NULL;
    snprintf(line, sizeof line, "--%s, %s%s%s; %s%s%s%s", value->option, value->variable,
             bare ? ", " : "", bare ? value->row->env_alias : "", range,
             value->row->unit && value->row->type == CONF_INT ? " " : "",
             value->row->unit && value->row->type == CONF_INT ? value->row->unit : "",
             value->row->flags & CONF_RELOADABLE ? "; SIGHUP takes a new value" : "");
    print_comment(out, line);
}

static void print_value(FILE *out, const struct conf_value *value) {
    const char *name = value->row->name;
    if (value->row->flags & CONF_SECRET) {
        if (value->text[0]) {
            fprintf(out, "# (set by %s; not printed)\n", value->origin);
        }
        fprintf(out, "#%s =\n", name);
    } else if (value->level == CONF_DEFAULT) {
        fprintf(out, "#%s =%s%s\n", name, value->text[0] ? " " : "", value->text);
    } else {
        fprintf(out, "# (set by %s)\n%s =%s%s\n", value->origin, name, value->text[0] ? " " : "",
                value->text);
    }
}

static const char *summary_of(const struct conf *conf, const char *section) {
    for (size_t i = 0; i < conf->group_count; i++) {
        if (strcmp(conf->groups[i].section, section) == 0 && conf->groups[i].summary) {
            return conf->groups[i].summary;
        }
    }
    return NULL;
}

void conf_print(const struct conf *conf, FILE *out) {
    const char *section = "";
    print_comment(out, "Configuration of eventbox " EVENTBOX_VERSION
                       ", as printed by `eventbox conf print`.");
    print_comment(out, "A line that begins with # shows a default. Later wins: default, this file, "
                       ".env files (--env), environment, command line.");
    for (size_t i = 0; i < conf->value_count; i++) {
        const struct conf_value *value = &conf->values[i];
        if (strcmp(section, value->group->section) != 0) {
            section = value->group->section;
            fprintf(out, "\n[%s]\n", section);
            const char *summary = summary_of(conf, section);
            if (summary) {
                print_comment(out, summary);
            }
        }
        fputs("\n", out);
        if (value->row->doc) {
            print_comment(out, value->row->doc);
        }
        print_names(out, value);
        print_value(out, value);
    }
}
