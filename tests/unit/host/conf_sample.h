/* A host section and two services that both want the bare names, as in the original. */
#pragma once

#include <eventbox/host/conf.h>

struct sample_host {
    const char *database_url;
    int level;
    int64_t buffer_bytes, drain_ms, expiry_ms;
};
struct sample_service {
    const char *host;
    int64_t port;
    bool debug;
    const char *api_key;
};

static const char *const sample_levels[] = {"debug", "info", NULL};

static const struct conf_row sample_host_rows[] = {
    {"database_url", CONF_STRING, offsetof(struct sample_host, database_url), 0, "",
     .env_alias = "DATABASE_URL"},
    {"log_level", CONF_ENUM, offsetof(struct sample_host, level), CONF_RELOADABLE, "info",
     .choices = sample_levels},
    {"buffer", CONF_SIZE, offsetof(struct sample_host, buffer_bytes), 0, "64KiB", 1024, 1 << 20},
    {"drain_ms", CONF_DURATION, offsetof(struct sample_host, drain_ms), 0, "10s", .unit = "ms"},
    {"expiry", CONF_DURATION, offsetof(struct sample_host, expiry_ms), 0, "2", .unit = "h"},
    {0},
};

#define SAMPLE_SERVICE_ROWS(default_port)                                                           \
    {                                                                                               \
        {"host", CONF_STRING, offsetof(struct sample_service, host),                                \
         0,      "127.0.0.1", .env_alias = "HOST"},                                                 \
            {"port", CONF_INT,           offsetof(struct sample_service, port), 0, default_port, 0, \
             65535,  .env_alias = "PORT"},                                                          \
            {"debug", CONF_BOOL, offsetof(struct sample_service, debug),                            \
             0,       "no",      .env_alias = "DEBUG"},                                             \
            {"api_key",                                                                             \
             CONF_STRING,                                                                           \
             offsetof(struct sample_service, api_key),                                              \
             CONF_SECRET,                                                                           \
             "",                                                                                    \
             0,                                                                                     \
             8,                                                                                     \
             .env_alias = "API_KEY",                                                                \
             .doc = "A secret."},                                                                   \
        {                                                                                           \
            0                                                                                       \
        }                                                                                           \
    }
static const struct conf_row sample_users_rows[] = SAMPLE_SERVICE_ROWS("8000");
static const struct conf_row sample_notify_rows[] = SAMPLE_SERVICE_ROWS("8001");

static const struct conf_group sample_groups[] = {
    {CONF_HOST_SECTION, "The process.", sample_host_rows},
    {"users", "Users.", sample_users_rows},
    {"notify", "Notifications.", sample_notify_rows},
};

static inline struct conf *sample_conf(void) {
    struct conf *conf = NULL;
    return conf_new(sample_groups, ARRAY_SIZE(sample_groups), &conf) ? NULL : conf;
}

static inline struct sample_host sample_host_of(struct conf *conf) {
    struct sample_host host = {0};
    conf_apply(conf, CONF_HOST_SECTION, sample_host_rows, &host);
    return host;
}

static inline _unused_ struct sample_service sample_users_of(struct conf *conf) {
    struct sample_service service = {0};
    conf_apply(conf, "users", sample_users_rows, &service);
    return service;
}

static inline _unused_ struct sample_service sample_notify_of(struct conf *conf) {
    struct sample_service service = {0};
    conf_apply(conf, "notify", sample_notify_rows, &service);
    return service;
}
