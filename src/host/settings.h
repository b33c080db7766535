/* The host's own settings: section [eventbox]. */
#pragma once

#include <eventbox/host/conf.h>

struct host_settings {
    const char *data;
    const char *modules;
    bool insecure;
    const char *database_url;
    int log_level;
    int log_format;
    int64_t log_buffer_bytes;
    int64_t drain_ms;
    int64_t disk_low_water_bytes, disk_reserve_bytes;
    bool copy_notifications;
    int64_t relay_batch_rows, outbox_rows_max;
    int64_t store_readers, store_read_queue, store_write_queue;
    int64_t http_head_bytes, http_head_fields, http_target_bytes, http_body_bytes;
    int64_t http_pipelined, http_connections;
    int64_t http_head_ms, http_body_ms, http_idle_ms;
    int64_t http_request_memory_bytes;
};

extern const struct conf_row host_settings_rows[];

/* What the host adds to the section of every module. */
struct host_module_settings {
    bool debug;
};
extern const struct conf_row host_module_rows[];
extern const struct conf_row
    host_module_rows_bare[]; /* the same, for the owner of the bare names */
