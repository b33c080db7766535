#include "url.h"

#include "engine.h"

#include <string.h>

/* True for "sqlite" and, with a driver's name as SQLAlchemy has them, "sqlite+aiosqlite". */
static bool scheme_is(struct span scheme, const char *name) {
    size_t size = strlen(name);
    const char *text = scheme.data;
    return scheme.size >= size && memcmp(text, name, size) == 0 &&
           (scheme.size == size || text[size] == '+');
}

int store_url_parse(const char *url, const struct store_engine_ops **ret_ops,
                    const char **ret_location) {
    const char *separator = strstr(url, "://");
    const char *location = url;

    if (separator) {
        struct span scheme = span_of(url, (size_t)(separator - url));
        if (scheme_is(scheme, "postgresql") || scheme_is(scheme, "postgres")) {
            /* Not the whole URL: it may hold a password. */
            store_say("DATABASE_URL=%.*s://…: PostgreSQL is not built into this version yet; "
                      "use sqlite:///path",
                      (int)scheme.size, url);
            return err_origin(CONF_E_VALUE);
        }
        if (!scheme_is(scheme, "sqlite")) {
            store_say("DATABASE_URL=%.*s://…: not a database this version knows; "
                      "use sqlite:///path",
                      (int)MIN(scheme.size, (size_t)40), url);
            return err_origin(CONF_E_VALUE);
        }
        if (separator[3] != '/') {
            store_say("DATABASE_URL=%s: a path follows the third slash; use sqlite:///./x.db or "
                      "sqlite:////folder/x.db",
                      url);
            return err_origin(CONF_E_VALUE);
        }
        location = separator + 4;
    }
    if (location[0] == '\0' || strcmp(location, ":memory:") == 0) {
        store_say("DATABASE_URL=%s: a database in memory would forget what was acknowledged; "
                  "name a file: sqlite:///./x.db",
                  url);
        return err_origin(CONF_E_VALUE);
    }
    if (separator && strchr(location, '?')) {
        store_say("DATABASE_URL=%s: options behind '?' are not known; remove them", url);
        return err_origin(CONF_E_VALUE);
    }
    *ret_ops = sqlite_ops();
    *ret_location = location;
    return 0;
}
