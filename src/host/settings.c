#include "settings.h"

#include <limits.h>

static const char *const level_choices[] = {"trace", "debug", "info", "warn", "error", "fatal", NULL};
static const char *const format_choices[] = {"auto", "pretty", "json", NULL};

#define FIELD(name) offsetof(struct host_settings, name)

/* clang-format off */
const struct conf_row host_settings_rows[] = {
    {"data", CONF_STRING, FIELD(data), 0, "./data", 1, 4000, .doc = "Folder of everything that is kept. Made with mode 0700 if absent."},
    {"modules", CONF_STRING, FIELD(modules), 0, "all", .doc = "Modules to start, with commas between them: broker, users, notify, fluent. Those that need a port of another want it in the list."},
    {"insecure", CONF_BOOL, FIELD(insecure), 0, "no", .doc = "Allow listeners off loopback although there is no TLS yet. Logged at every start."},
    {"database_url", CONF_STRING, FIELD(database_url), 0, "", .env_alias = "DATABASE_URL", .doc = "The one database of all modules: sqlite:///./file.db (relative to the working directory) or sqlite:////absolute/file.db. Unset: eventbox.db in the data folder."},
    {"log_level", CONF_ENUM, FIELD(log_level), CONF_RELOADABLE, "info", .choices = level_choices, .doc = "Lines below this level are not written."},
    {"log_format", CONF_ENUM, FIELD(log_format), CONF_RELOADABLE, "auto", .choices = format_choices, .doc = "How the console shows lines: pretty is aligned and, on a terminal, coloured; json is one object a line; auto is pretty on a terminal and json elsewhere."},
    {"log_buffer_bytes", CONF_SIZE, FIELD(log_buffer_bytes), 0, "256KiB", KIB(16), MIB(64), .doc = "Lines waiting for the console. Beyond it they are dropped and counted."},
    {"drain_ms", CONF_DURATION, FIELD(drain_ms), CONF_RELOADABLE, "10000", 0, 600000, .unit = "ms", .doc = "How long SIGTERM and SIGINT wait for what is in flight."},
    {"copy_notifications", CONF_BOOL, FIELD(copy_notifications), 0, "yes", .doc = "Copy what the relay appends to topic notification to topic notifications, which the original's test script reads."},
    {"relay_batch_rows", CONF_INT, FIELD(relay_batch_rows), 0, "256", 1, 10000, .unit = "rows", .doc = "Outbox rows that are published in one append."},
    {"outbox_rows_max", CONF_INT, FIELD(outbox_rows_max), 0, "1000000", 1, INT64_MAX, .unit = "rows", .doc = "Outbox rows that may wait for the topic log. Beyond it writes answer 503."},
    {"store_readers", CONF_INT, FIELD(store_readers), 0, "2", 1, 64, .unit = "threads", .doc = "Threads that read from the database."},
    {"store_read_queue", CONF_INT, FIELD(store_read_queue), 0, "4096", 1, 1000000, .unit = "jobs", .doc = "Reads that may wait. Beyond it requests answer 503."},
    {"store_write_queue", CONF_INT, FIELD(store_write_queue), 0, "4096", 1, 1000000, .unit = "jobs", .doc = "Writes that may wait. Beyond it requests answer 503."},
    {"http_connections", CONF_INT, FIELD(http_connections), 0, "20000", 1, 1000000, .doc = "Connections of one HTTP service."},
    {"http_pipelined", CONF_INT, FIELD(http_pipelined), 0, "16", 1, 1024, .unit = "requests", .doc = "Unanswered requests on one connection before reading stops."},
    {"http_head_bytes", CONF_SIZE, FIELD(http_head_bytes), 0, "16KiB", KIB(1), MIB(1), .doc = "Request line and header fields. Beyond it: 431."},
    {"http_head_fields", CONF_INT, FIELD(http_head_fields), 0, "100", 8, 1000, .unit = "fields", .doc = "Header fields of one request. Beyond it: 431."},
    {"http_target_bytes", CONF_SIZE, FIELD(http_target_bytes), 0, "4KiB", 256, KIB(64), .doc = "Request target. Beyond it: 414."},
    {"http_body_bytes", CONF_SIZE, FIELD(http_body_bytes), 0, "64KiB", KIB(1), MIB(64), .doc = "Request body. Beyond it: 413."},
    {"http_head_ms", CONF_DURATION, FIELD(http_head_ms), 0, "10000", 100, 600000, .unit = "ms", .doc = "From the first byte of a request's head to its end."},
    {"http_body_ms", CONF_DURATION, FIELD(http_body_ms), 0, "30000", 100, 600000, .unit = "ms", .doc = "For a request's body."},
    {"http_idle_ms", CONF_DURATION, FIELD(http_idle_ms), 0, "60000", 100, 86400000, .unit = "ms", .doc = "An idle connection is kept open for so long."},
    {"http_request_memory_bytes", CONF_SIZE, FIELD(http_request_memory_bytes), 0, "4MiB", KIB(64), MIB(256), .doc = "Memory of one request."},
    {0},
};

/* clang-format on */

#define DEBUG_ROW(alias)                                                                           \
    {                                                                                              \
        "debug", CONF_BOOL, offsetof(struct host_module_settings, debug), CONF_RELOADABLE, "no",   \
            .env_alias = (alias),                                                                  \
            .doc = "Write this service's lines from level debug on, whatever log_level says."      \
    }

const struct conf_row host_module_rows[] = {DEBUG_ROW(NULL), {0}};
const struct conf_row host_module_rows_bare[] = {DEBUG_ROW("DEBUG"), {0}};
