/*
 * Settings: one table of rows from which come the parser, the command line's options, the
 * environment's names, `eventbox conf print`, the checks of `eventbox conf check` and the redaction
 * of secrets. Precedence: command line, environment, file, default.
 *
 * A row "port" of module "users" is [users] port in the file, --users.port on the command line and
 * EVENTBOX_USERS_PORT in the environment.
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
    const char *unit;      /* "ms", "bytes", "records", for the reference; NULL: none */
    const char *env_alias; /* bare name that the original used: "PORT", "DATABASE_URL"; NULL: none */
    const char *doc;       /* one or two sentences */
};
