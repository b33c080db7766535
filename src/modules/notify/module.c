/* The notification service: what it is, in tables, and how it begins and ends. Read README.md
 * first. */
#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACEHOLDER_KEY "your_sendgrid_api_key_here" /* of the original's .env.example */

static const char *const requires[] = {"store", "topics", NULL};

static const char *const on_5xx_names[] = {"doubt", "transient", NULL};
static const char *const foreign_ids_names[] = {"local", "trust", NULL};

static const struct conf_row conf[] = {
    {.name = "host",
     .type = CONF_STRING,
     .offset = offsetof(struct notify, host),
     .default_text = "127.0.0.1",
     .doc = "Address to listen on. Any but loopback needs insecure = yes until TLS is there."},
    {.name = "port",
     .type = CONF_INT,
     .offset = offsetof(struct notify, port),
     .default_text = "8001",
     .max = 65535,
     .doc = "TCP port of the notification service; 0 takes a free one."},
    {.name = "sendgrid_api_key",
     .type = CONF_STRING,
     .offset = offsetof(struct notify, sendgrid_api_key),
     .flags = CONF_SECRET,
     .default_text = "",
     .env_alias = "SENDGRID_API_KEY",
     .doc = "Key of SendGrid's v3 API. With it mail leaves through SendGrid; empty, or the "
            "original's placeholder, means the local mailbox."},
    {.name = "sendgrid_from",
     .type = CONF_STRING,
     .offset = offsetof(struct notify, sendgrid_from),
     .default_text = "",
     .env_alias = "SENDGRID_FROM",
     .doc = "Sender of mail, verified at SendGrid: address, or Name <address>. Required with a "
            "key."},
    {.name = "sendgrid_url",
     .type = CONF_STRING,
     .offset = offsetof(struct notify, sendgrid_url),
     .default_text = "https://api.sendgrid.com",
     .doc = "Base address of the API. http:// serves tests and demos with a local server."},
    {.name = "sendgrid_5xx",
     .type = CONF_ENUM,
     .offset = offsetof(struct notify, sendgrid_5xx),
     .default_text = "doubt",
     .choices = on_5xx_names,
     .doc = "What an answer 5xx means. SendGrid does not say that the mail was not taken: doubt "
            "keeps it for a person; transient sends it again, maybe twice."},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct notify, connect_timeout_ms),
     .default_text = "10s",
     .min = 1,
     .max = 600000,
     .unit = "ms",
     .doc = "Time for a connection to the provider."},
    {.name = "total_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct notify, total_timeout_ms),
     .default_text = "30s",
     .min = 1,
     .max = 600000,
     .unit = "ms",
     .doc = "Time for a request to the provider with its answer; after it the mail is in doubt."},
    {.name = "retry_base",
     .type = CONF_DURATION,
     .offset = offsetof(struct notify, retry_base_ms),
     .default_text = "5s",
     .min = 1,
     .max = 86400000,
     .unit = "ms",
     .doc = "Longest pause before the first repetition; it doubles each time, and the pause is "
            "random within it."},
    {.name = "retry_cap",
     .type = CONF_DURATION,
     .offset = offsetof(struct notify, retry_cap_ms),
     .default_text = "15m",
     .min = 1,
     .max = 86400000,
     .unit = "ms",
     .doc = "Longest pause before any repetition."},
    {.name = "retry_max",
     .type = CONF_INT,
     .offset = offsetof(struct notify, retry_max),
     .default_text = "12",
     .min = 1,
     .max = 1000,
     .unit = "attempts",
     .doc = "Attempts after which a delivery is dead."},
    {.name = "in_flight_max",
     .type = CONF_INT,
     .offset = offsetof(struct notify, in_flight_max),
     .default_text = "16",
     .min = 1,
     .max = CLAIM_MAX,
     .unit = "deliveries",
     .doc = "Requests to the provider at a time: the most that one crash can leave in doubt."},
    {.name = "foreign_ids",
     .type = CONF_ENUM,
     .offset = offsetof(struct notify, foreign_ids),
     .default_text = "local",
     .choices = foreign_ids_names,
     .doc = "What user ids in records of other programs mean. local: nothing, they become entries "
            "of the local mailbox; trust: users of ours, whom events on users.events may mail."},
    {.name = "lag_max",
     .type = CONF_INT,
     .offset = offsetof(struct notify, lag_max),
     .default_text = "1000",
     .min = 1,
     .max = INT64_MAX,
     .unit = "records",
     .doc = "Records that the consumer may be behind before /readyz says so."},
    {0},
};

static const struct metric_row metrics[] = {
    [NOTIFY_M_RECORDS] = {"eventbox_notify_records_total", METRIC_COUNTER, NULL,
                          "Records consumed."},
    [NOTIFY_M_ACCEPTED] = {"eventbox_notify_accepted_total", METRIC_COUNTER, NULL,
                           "Notifications accepted."},
    [NOTIFY_M_DUPLICATES] = {"eventbox_notify_duplicates_total", METRIC_COUNTER, NULL,
                             "Events that were there already."},
    [NOTIFY_M_POISON] = {"eventbox_notify_poison_total", METRIC_COUNTER, NULL,
                         "Records set aside because they could not be understood."},
    [NOTIFY_M_SENT] = {"eventbox_notify_deliveries_total", METRIC_COUNTER, "state=\"sent\"",
                       "Deliveries by what became of them."},
    [NOTIFY_M_RETRIED] = {"eventbox_notify_deliveries_total", METRIC_COUNTER, "state=\"retrying\"",
                          "Deliveries by what became of them."},
    [NOTIFY_M_FAILED] = {"eventbox_notify_deliveries_total", METRIC_COUNTER, "state=\"failed\"",
                         "Deliveries by what became of them."},
    [NOTIFY_M_IN_DOUBT] = {"eventbox_notify_deliveries_total", METRIC_COUNTER, "state=\"in_doubt\"",
                           "Deliveries by what became of them."},
    [NOTIFY_M_IN_FLIGHT] = {"eventbox_notify_in_flight", METRIC_GAUGE, NULL,
                            "Deliveries claimed and not yet recorded."},
    [NOTIFY_M_LAG] = {"eventbox_notify_lag", METRIC_GAUGE, NULL,
                      "Records that the consumer of users.events is behind."},
    [NOTIFY_M_COUNT] = {0},
};

static const struct store_migration migrations[] = {
    {1, "CREATE TABLE notify_consumer (\n"
        "  consumer_group TEXT NOT NULL,\n"
        "  topic TEXT NOT NULL,\n"
        "  partition_index INTEGER NOT NULL,\n"
        "  topic_id TEXT NOT NULL,\n"
        "  next_offset INTEGER NOT NULL,\n"
        "  updated_at INTEGER NOT NULL,\n"
        "  PRIMARY KEY (consumer_group, topic, partition_index)\n"
        ");\n"
        "CREATE TABLE notify_inbox (\n"
        "  source TEXT NOT NULL,\n"
        "  event_id TEXT NOT NULL,\n"
        "  topic TEXT NOT NULL,\n"
        "  record_offset INTEGER NOT NULL,\n"
        "  payload_sha256 BLOB NOT NULL,\n"
        "  weak INTEGER NOT NULL,\n"
        "  duplicates INTEGER NOT NULL,\n"
        "  seen_at INTEGER NOT NULL,\n"
        "  PRIMARY KEY (source, event_id)\n"
        ");\n"
        "CREATE TABLE notify_notification (\n"
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "  kind TEXT NOT NULL,\n"
        "  channel TEXT NOT NULL,\n"
        "  source TEXT,\n"
        "  event_id TEXT,\n"
        "  user_id INTEGER,\n"
        "  subject TEXT,\n"
        "  message TEXT NOT NULL,\n"
        "  dedupe_key TEXT UNIQUE,\n"
        "  traceparent TEXT,\n"
        "  created_at INTEGER NOT NULL\n"
        ");\n"
        "CREATE INDEX notify_notification_user ON notify_notification (user_id, id);\n"
        "CREATE TABLE notify_delivery (\n"
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "  notification_id INTEGER NOT NULL,\n"
        "  channel TEXT NOT NULL,\n"
        "  address TEXT,\n"
        "  state TEXT NOT NULL,\n"
        "  provider TEXT NOT NULL,\n"
        "  attempts INTEGER NOT NULL,\n"
        "  fence INTEGER NOT NULL,\n"
        "  next_at INTEGER NOT NULL,\n"
        "  provider_message_id TEXT,\n"
        "  reason TEXT,\n"
        "  updated_at INTEGER NOT NULL\n"
        ");\n"
        "CREATE INDEX notify_delivery_notification ON notify_delivery (notification_id);\n"
        "CREATE INDEX notify_delivery_state ON notify_delivery (state, notification_id);\n"
        "CREATE INDEX notify_delivery_due ON notify_delivery (provider, next_at, id)\n"
        "  WHERE state IN ('queued', 'retrying');\n"
        "CREATE TABLE notify_attempt (\n"
        "  id TEXT PRIMARY KEY,\n"
        "  delivery_id INTEGER NOT NULL,\n"
        "  fence INTEGER NOT NULL,\n"
        "  provider TEXT NOT NULL,\n"
        "  started_at INTEGER NOT NULL,\n"
        "  ended_at INTEGER,\n"
        "  class TEXT,\n"
        "  http_status INTEGER,\n"
        "  provider_message_id TEXT,\n"
        "  detail TEXT\n"
        ");\n"
        "CREATE INDEX notify_attempt_delivery ON notify_attempt (delivery_id);\n"
        "CREATE INDEX notify_attempt_open ON notify_attempt (id) WHERE ended_at IS NULL;\n"
        "CREATE TABLE notify_dead_letter (\n"
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "  topic TEXT NOT NULL,\n"
        "  topic_id TEXT NOT NULL,\n"
        "  partition_index INTEGER NOT NULL,\n"
        "  record_offset INTEGER NOT NULL,\n"
        "  record_key BLOB,\n"
        "  headers TEXT,\n"
        "  raw BLOB,\n"
        "  error TEXT NOT NULL,\n"
        "  created_at INTEGER NOT NULL\n"
        ");\n"},
    {0},
};

/* Notify reads both; the user service declares the same, so that each subset of modules finds its
 * topics. */
static const struct topic_declaration topics[] = {
    {"users.events", 1, NULL, "CloudEvents of every action on a user.", NOTIFY_GROUP},
    {"notification", 1, NULL, "Registrations in the original's words.", NOTIFY_GROUP},
    {0},
};

static const struct http_schema schemas[] = {
    {"Notification", notification_schema_rows},
    {"Delivery", delivery_schema_rows},
    {"Provider", provider_schema_rows},
    {0},
};

static const struct http_response_doc list_responses[] = {
    {200, "Notifications, newest first; Link has the next page", "[]Notification"},
    {422, "Not valid", NULL},
    {0},
};
static const struct http_response_doc get_responses[] = {
    {200, "The notification with its deliveries", "Notification"},
    {404, "No such notification", NULL},
    {0},
};
static const struct http_response_doc create_responses[] = {
    {202, "Accepted and durable", "Notification"},
    {422, "Not valid", NULL},
    {503, "Too much waits", NULL},
    {0},
};
static const struct http_response_doc provider_responses[] = {
    {200, "Who delivers what now", "[]Provider"},
    {0},
};

static const struct http_route routes[] = {
    {.method = HTTP_GET,
     .path = "/notifications",
     .params = notification_query_rows,
     .params_size = sizeof(struct notification_query),
     .steps = notify_list_steps,
     .op_size = sizeof(struct list_op),
     .op_name = "notifications.list",
     .responses = list_responses,
     .summary = "List notifications",
     .tag = "notifications"},
    {.method = HTTP_POST,
     .path = "/notifications",
     .body = notification_create_rows,
     .body_size = sizeof(struct notification_fields),
     .steps = notify_create_steps,
     .op_size = sizeof(struct create),
     .op_name = "notifications.create",
     .responses = create_responses,
     .summary = "Send a notification",
     .tag = "notifications"},
    {.method = HTTP_GET,
     .path = "/notifications/{notification_id}",
     .params = notification_path_rows,
     .params_size = sizeof(struct notification_path),
     .steps = notify_get_steps,
     .op_size = sizeof(struct notify_op),
     .op_name = "notifications.get",
     .responses = get_responses,
     .summary = "Get a notification",
     .tag = "notifications"},
    {.method = HTTP_GET,
     .path = "/providers",
     .handle = notify_handle_providers,
     .op_name = "providers.list",
     .responses = provider_responses,
     .summary = "Who delivers what now",
     .tag = "providers"},
    {0},
};

/* ---- which engine ---- */

const struct provider *notify_provider_of(const struct notify *notify, enum channel channel) {
    return channel == CHANNEL_EMAIL ? notify->mail : &provider_mailbox;
}

/* "Name <address>" or "address" into two strings of ours. */
static bool split_from(struct notify *notify) {
    const char *from = notify->sendgrid_from, *open = strrchr(from, '<');
    size_t size = strlen(from);
    if (open && size && from[size - 1] == '>') {
        size_t name_size = (size_t)(open - from);
        while (name_size && from[name_size - 1] == ' ') {
            name_size--;
        }
        notify->from_name = strndup(from, name_size);
        notify->from_address = strndup(open + 1, size - (size_t)(open - from) - 2);
    } else {
        notify->from_name = strdup("");
        notify->from_address = strdup(from);
    }
    return notify->from_name && notify->from_address &&
           !recipient_problem(CHANNEL_EMAIL, span_text(notify->from_address));
}

static bool is_one_word(const char *text) {
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static const char *choose_sendgrid(struct notify *notify) {
    if (!is_one_word(notify->sendgrid_api_key)) {
        return "notify.sendgrid_api_key (SENDGRID_API_KEY) has spaces or line ends in it: set the "
               "bare key";
    }
    if (!notify->sendgrid_from[0]) {
        return "notify.sendgrid_from (SENDGRID_FROM) is empty, but SENDGRID_API_KEY is set: set "
               "the "
               "verified sender, or unset the key to use the local mailbox";
    }
    if (!split_from(notify)) {
        snprintf(notify->failure, sizeof notify->failure,
                 "notify.sendgrid_from (SENDGRID_FROM) = %.60s is no sender: write address or Name "
                 "<address>",
                 notify->sendgrid_from);
        return notify->failure;
    }
    if ((strncmp(notify->sendgrid_url, "https://", 8) != 0 &&
         strncmp(notify->sendgrid_url, "http://", 7) != 0) ||
        !is_one_word(notify->sendgrid_url)) {
        snprintf(
            notify->failure, sizeof notify->failure,
            "notify.sendgrid_url = %.80s is no address: write https://host, or http://host for "
            "a local server",
            notify->sendgrid_url);
        return notify->failure;
    }
    notify->mail = &provider_sendgrid;
    notify->engine_reason = "SENDGRID_API_KEY is set";
    notify->provider_settings = (struct provider_settings){
        .url = notify->sendgrid_url,
        .api_key = notify->sendgrid_api_key,
        .from_address = notify->from_address,
        .from_name = notify->from_name,
        .on_5xx = notify->sendgrid_5xx,
    };
    return NULL;
}

static int notify_check(const void *settings, const char **ret_message) {
    const struct notify *notify = settings;
    if (notify->retry_base_ms > notify->retry_cap_ms) {
        *ret_message =
            "notify.retry_base is longer than notify.retry_cap: make the base the shorter one";
        return CONF_E_VALUE;
    }
    return 0;
}

static int notify_init(void *state, const struct module_context *context,
                       const char **ret_message) {
    struct notify *notify = state;
    notify->context = *context;
    notify->mail = &provider_mailbox;
    if (!notify->sendgrid_api_key || !notify->sendgrid_api_key[0]) {
        notify->engine_reason = "SENDGRID_API_KEY is not set";
        return 0;
    }
    if (strcmp(notify->sendgrid_api_key, PLACEHOLDER_KEY) == 0) {
        notify->engine_reason =
            "SENDGRID_API_KEY is the placeholder " PLACEHOLDER_KEY ", which counts as unset";
        return 0;
    }
    *ret_message = choose_sendgrid(notify);
    return *ret_message ? CONF_E_VALUE : 0;
}

/* ---- life ---- */

static void finish(struct notify *notify, int status) {
    module_done_fn done = notify->done;
    notify->done = NULL;
    if (done) {
        done(notify->done_userdata, status);
    }
}

static void log_recovery(const struct recovery *recovery) {
    const struct notify *notify = recovery->notify;
    for (size_t i = 0; i < MIN(recovery->count, ARRAY_SIZE(recovery->found)); i++) {
        struct log_field fields[3];
        size_t count = 0;
        if (recovery->found[i].has_user_id) {
            fields[count++] = LOG_INT("user_id", recovery->found[i].user_id);
        }
        fields[count++] = LOG_INT("notification_id", recovery->found[i].notification_id);
        fields[count++] = LOG_TEXT("reason", "the process ended before the answer was recorded");
        log_write(notify->context.log, LOG_NOTIFY_IN_DOUBT,
                  recovery->found[i].has_trace ? &recovery->found[i].trace : NULL, fields, count);
    }
    metric_add(&notify->context.metrics[NOTIFY_M_IN_DOUBT], (int64_t)recovery->count);
}

static void on_recovered(struct store_job *job, int status) {
    struct recovery *recovery = container_of(job, struct recovery, job);
    struct notify *notify = recovery->notify;
    if (!status) {
        log_recovery(recovery);
    }
    free(recovery);
    notify->recovery = NULL;
    if (notify->stopping) {
        notify_progress(notify);
        return;
    }
    if (!status) {
        status = sender_start(&notify->sender, notify);
    }
    if (!status) {
        consumer_start(&notify->consumers[CONSUMER_EVENTS]);
        consumer_start(&notify->consumers[CONSUMER_NOTIFICATION]);
        notify->started = true;
    } else {
        snprintf(notify->failure, sizeof notify->failure,
                 "the notification service cannot start: %s", err_text(status));
    }
    finish(notify, status);
}

static void log_engine(const struct notify *notify) {
    if (notify->mail->same_transaction) {
        log_emit(notify->context.log, LOG_NOTIFY_ENGINE, NULL,
                 LOG_TEXT("engine", notify->mail->name), LOG_TEXT("reason", notify->engine_reason));
        return;
    }
    log_emit(notify->context.log, LOG_NOTIFY_ENGINE, NULL, LOG_TEXT("engine", notify->mail->name),
             LOG_TEXT("reason", notify->engine_reason), LOG_TEXT("url", notify->sendgrid_url),
             LOG_TEXT("from", notify->sendgrid_from));
}

static void on_deadline(struct timer *timer) {
    sender_abort(&container_of(timer, struct notify, deadline)->sender);
}

static void notify_start(void *state, module_done_fn done, void *userdata) {
    struct notify *notify = state;
    notify->done = done;
    notify->done_userdata = userdata;
    uuid_format(store_uuid(notify->context.store), notify->origin);
    timer_init(&notify->deadline, notify->context.loop, on_deadline);
    consumer_init(&notify->consumers[CONSUMER_EVENTS], notify, "users.events", true);
    consumer_init(&notify->consumers[CONSUMER_NOTIFICATION], notify, "notification", false);
    log_engine(notify);

    struct recovery *recovery = calloc(1, sizeof *recovery);
    int status = recovery ? 0 : -ENOMEM;
    if (recovery) {
        recovery->notify = notify;
        recovery->now_ms = clock_wall_ms(notify->context.clock);
        recovery->job.body = recovery_body;
        recovery->job.done = on_recovered;
        status = store_write(notify->context.store, &recovery->job);
    }
    if (status) {
        free(recovery);
        finish(notify, err_trace(status));
        return;
    }
    notify->recovery = recovery;
}

void notify_progress(struct notify *notify) {
    bool idle = !notify->recovery;
    if (!notify->stopping || !notify->done) {
        return;
    }
    for (size_t i = 0; i < CONSUMER_COUNT; i++) {
        idle &= consumer_stop(&notify->consumers[i]);
    }
    idle &= sender_stop(&notify->sender);
    if (idle) {
        timer_stop(&notify->deadline);
        sender_deinit(&notify->sender);
        notify->started = false;
        finish(notify, 0);
    }
}

static void notify_stop(void *state, module_done_fn done, void *userdata) {
    struct notify *notify = state;
    notify->stopping = true;
    notify->done = done;
    notify->done_userdata = userdata;
    if (notify->sender.flight_count) {
        timer_start_ms(&notify->deadline, notify->context.drain_ms);
    }
    notify_progress(notify);
}

static void notify_fini(void *state) {
    struct notify *notify = state;
    free(notify->from_address);
    free(notify->from_name);
}

static void notify_health(void *state, struct module_health *ret_health) {
    const struct notify *notify = state;
    ret_health->state = notify->stopping  ? MODULE_DRAINING
                        : notify->started ? MODULE_OK
                                          : MODULE_STARTING;
    for (size_t i = 0; i < CONSUMER_COUNT && ret_health->state == MODULE_OK; i++) {
        const struct consumer *consumer = &notify->consumers[i];
        int64_t lag = consumer_lag(consumer);
        if (consumer->failure) {
            ret_health->state = MODULE_FAILED;
            snprintf(ret_health->detail, sizeof ret_health->detail, "consumer of %s: %s",
                     consumer->topic, err_text(consumer->failure));
        } else if (lag < 0) {
            ret_health->state = MODULE_STARTING;
            snprintf(ret_health->detail, sizeof ret_health->detail,
                     "consumer of %s reads its position", consumer->topic);
        } else if (lag > notify->lag_max) {
            ret_health->state = MODULE_BEHIND;
            snprintf(ret_health->detail, sizeof ret_health->detail,
                     "consumer of %s is %lld records behind", consumer->topic, (long long)lag);
        }
    }
    if (ret_health->state == MODULE_OK && notify->sender.config_refusals) {
        snprintf(ret_health->detail, sizeof ret_health->detail,
                 "%s refuses our settings; mail waits", notify->mail->name);
    }
}

static void notify_collect(void *state) {
    struct notify *notify = state;
    int64_t lag = notify->started ? consumer_lag(&notify->consumers[CONSUMER_EVENTS]) : -1;
    metric_set(&notify->context.metrics[NOTIFY_M_LAG], MAX(lag, (int64_t)0));
}

static const char *notify_failure(void *state) {
    const struct notify *notify = state;
    return notify->failure[0] ? notify->failure : NULL;
}

static void notify_describe(void *state, struct text *out) {
    const struct notify *notify = state;
    if (notify->mail->same_transaction) {
        text_printf(out, "mail\tlocal mailbox: %s\n", notify->engine_reason);
    } else {
        text_printf(out, "mail\tSendGrid at %s, from %s\n", notify->sendgrid_url,
                    notify->sendgrid_from);
    }
    text_printf(out, "try\tcurl localhost:%lld/notifications\n", (long long)notify->port);
}

const struct module notify_module = {
    .abi = MODULE_ABI,
    .name = "notify",
    .service = "notification-service",
    .summary = "Notifications: welcome mail for each registration, email, sms and push by hand.",
    .requires = requires,
    .conf = conf,
    .metrics = metrics,
    .topics = topics,
    .migrations = migrations,
    .http = {.service = "notification-service",
             .title = "Notification Service",
             .routes = routes,
             .schemas = schemas,
             .host_offset = offsetof(struct notify, host),
             .port_offset = offsetof(struct notify, port)},
    .state_size = sizeof(struct notify),
    .check = notify_check,
    .init = notify_init,
    .start = notify_start,
    .stop = notify_stop,
    .fini = notify_fini,
    .health = notify_health,
    .collect = notify_collect,
    .failure = notify_failure,
    .describe = notify_describe,
};
