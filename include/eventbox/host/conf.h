/*
 * Settings: one table of rows from which come the parser, the command line's options, the
 * environment's names, `eventbox conf print`, the checks of `eventbox conf check` and the redaction
 * of secrets. Precedence: command line, environment, .env files, file, default.
 *
 * A row "port" of module "users" is [users] port in the file, --users.port on the command line and
 * EVENTBOX_USERS_PORT in the environment. The host's own rows stand in section [eventbox] and need
 * no section elsewhere: --data, EVENTBOX_DATA.
 *
 * A module needs the rows only. The functions below them are for the host and the command line.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <stdio.h>

enum conf_type {
    CONF_STRING,   /* char * */
    CONF_INT,      /* int64_t */
    CONF_BOOL,     /* bool: yes/no, true/false, on/off, 1/0, in any case */
    CONF_SIZE,     /* int64_t bytes: 64KiB, 1MiB, 1GiB, plain numbers */
    CONF_DURATION, /* int64_t ms: 10ms, 5s, 2m, 1h, 7d; plain numbers are the row's unit */
    CONF_ENUM,     /* int: index in choices */
};

enum conf_flags {
    CONF_SECRET = 1,     /* never printed */
    CONF_RELOADABLE = 2, /* SIGHUP takes a new value */
};

struct conf_row {
    const char *name; /* NULL ends a table */
    enum conf_type type;
    size_t offset; /* of the field in the module's state (or the host's settings) */
    unsigned flags;
    const char *default_text;
    int64_t min, max; /* both 0: unchecked */
    const char *const *choices;
    const char *unit; /* "ms", "bytes", "records", for the reference; NULL: none */
    /* Bare name that the original used: "PORT", "DATABASE_URL"; NULL: none. Where two sections
     * claim one, the first of tbl/modules.h has it in the environment, each in its own .env file.
     */
    const char *env_alias;
    const char *doc; /* one or two sentences */
};

/* ---- for the host and the command line ---- */

/* Rows that share a section and a target. Several groups may have one name; they then stand
 * together. */
struct conf_group {
    const char *section; /* "users"; CONF_HOST_SECTION */
    const char *summary;
    const struct conf_row *rows;
};
#define CONF_HOST_SECTION "eventbox"

/* Where a value comes from; a later level wins over an earlier one. */
enum conf_level { CONF_DEFAULT, CONF_FILE, CONF_ENV_FILE, CONF_ENVIRONMENT, CONF_OPTION };

struct conf;

/** conf_new() - every row at its default; @groups is copied, the rows are borrowed */
int conf_new(const struct conf_group *groups, size_t group_count, struct conf **ret_conf);
void conf_free(struct conf *conf); /* accepts NULL; strings given out by conf_apply() die with it */

/*
 * Reading. Mistakes are collected, one line each with place, value and remedy, so that one run
 * tells all of them; nothing is printed here.
 */
/** conf_read_file() - an ini file; an unreadable one is a mistake */
void conf_read_file(struct conf *conf, const char *path);
/**
 * conf_read_env_file() - the original's .env file of one service: its bare names mean the rows of
 * @section. Names that mean nothing here are warned of. DATABASE_URL counts in the file of the
 * section that owns the bare PORT; in others it is compared with the one database by conf_finish().
 */
void conf_read_env_file(struct conf *conf, const char *section, const char *path);
/** conf_read_environment() - EVENTBOX_ names and bare aliases; an empty bare name counts as unset
 */
void conf_read_environment(struct conf *conf, char *const *environment);
/** conf_set_option() - @name as on the command line without dashes: "users.port" */
void conf_set_option(struct conf *conf, const char *name, const char *value);
/** conf_finish() - checks between values, after all has been read */
void conf_finish(struct conf *conf);

/** conf_mistakes() - lines that end with a newline; "" when all is well. conf_warnings() the same
 */
const char *conf_mistakes(const struct conf *conf);
const char *conf_warnings(const struct conf *conf);

/** conf_apply() - write the values of @section's group with @rows into @target; strings stay the
 * conf's */
void conf_apply(struct conf *conf, const char *section, const struct conf_row *rows, void *target);
/** conf_apply_reloadable() - the same for rows that are CONF_RELOADABLE, and no other */
void conf_apply_reloadable(struct conf *conf, const char *section, const struct conf_row *rows,
                           void *target);
/** conf_set_default() - another default than the row's, known at run time only; before reading */
void conf_set_default(struct conf *conf, const char *section, const char *name, const char *text);
/** conf_text() - the value in force as text; NULL for a row that does not exist */
const char *conf_text(const struct conf *conf, const char *section, const char *name);
/**
 * conf_describe() - "users.port (environment variable PORT)" for messages about a value; the place
 * is left out for a default. Static until the next call.
 */
const char *conf_describe(const struct conf *conf, const char *section, const char *name);
/** conf_print() - the reference: every row with doc, names and range; what is set stands
 * uncommented */
void conf_print(const struct conf *conf, FILE *out);

/** conf_option_at() - the @index-th row as an option of the command line; false past the end */
bool conf_option_at(const struct conf *conf, size_t index, const char **ret_name,
                    const struct conf_row **ret_row);
/** conf_nearest_option() - the option that looks most like @name; NULL when none comes close */
const char *conf_nearest_option(const struct conf *conf, const char *name);

/**
 * conf_take_reloadable() - take over from @fresh what differs and is CONF_RELOADABLE
 *
 * Rows that differ and need a restart are named in the warnings of @conf, which are started anew.
 * Return: number of values changed. Apply the groups again afterwards.
 */
size_t conf_take_reloadable(struct conf *conf, const struct conf *fresh);
