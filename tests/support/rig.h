/*
 * One module in a small host: a real loop, a real store in a temporary folder, a real HTTP server
 * and client over loopback, and a topic log in memory. For one test file each: everything is
 * static.
 *
 * The log is captured: this file defines log_write() and its companions, so a test links the layers
 * below host/ only.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <eventbox/base/error.h>
#include <eventbox/base/text.h>
#include <eventbox/host/module.h>
#include <eventbox/http/server.h>
#include <eventbox/loop/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- log ---- */

static struct text rig_log; /* lines "action name=value ...\n" */

static const struct log_event_row rig_log_rows[] = {
#define LOG_EVENT(symbol, level, action, message) {level, action, message},
#include <eventbox/tbl/log_events.h>
#undef LOG_EVENT
};

const struct log_event_row *log_event_row_get(enum log_event event) {
    return &rig_log_rows[event];
}

bool log_enabled(const struct logger *logger, enum log_level level) {
    return level >= LOG_LEVEL_INFO;
}

void log_write(struct logger *logger, enum log_event event, const struct trace *trace,
               const struct log_field *fields, size_t field_count) {
    char trace_id[TRACE_ID_SIZE];
    text_append_str(&rig_log, rig_log_rows[event].action);
    for (size_t i = 0; i < field_count; i++) {
        if (fields[i].type == LOG_FIELD_TEXT) {
            text_printf(&rig_log, " %s=%.*s", fields[i].name, (int)fields[i].text.size,
                        (const char *)fields[i].text.data);
        } else {
            text_printf(&rig_log, " %s=%lld", fields[i].name,
                        fields[i].type == LOG_FIELD_BOOL ? (long long)fields[i].boolean
                                                         : (long long)fields[i].integer);
        }
    }
    if (trace) {
        trace_format_id(trace, trace_id);
        text_printf(&rig_log, " trace=%s", trace_id);
    }
    text_append_char(&rig_log, '\n');
}

static inline _unused_ bool rig_logged(const char *part) {
    return rig_log.data && strstr(rig_log.data, part);
}

/* ---- topics in memory ---- */

enum { RIG_TOPICS_MAX = 8, RIG_MESSAGES_MAX = 256 };

struct rig_topic {
    char name[32];
    struct uuid id;
    struct topic_message messages[RIG_MESSAGES_MAX];
    struct topic_header headers[RIG_MESSAGES_MAX][8];
    int64_t count, log_start, committed;
};

struct rig_topics {
    struct topic_port port;
    struct loop *loop;
    struct rig_topic topics[RIG_TOPICS_MAX];
    size_t topic_count;
    struct rig_subscription *subscriptions[RIG_TOPICS_MAX];
};

struct rig_subscription {
    struct topic_subscription base;
    struct rig_topics *owner;
    struct rig_topic *topic;
    struct topic_subscription_config config;
    int64_t position;
    bool wanted;
    struct timer deliver;
};

static inline struct rig_topic *rig_topic(struct rig_topics *topics, const char *name) {
    for (size_t i = 0; i < topics->topic_count; i++) {
        if (!strcmp(topics->topics[i].name, name)) {
            return &topics->topics[i];
        }
    }
    struct rig_topic *topic = &topics->topics[topics->topic_count++];
    snprintf(topic->name, sizeof topic->name, "%s", name);
    uuid_v4(random_system(), &topic->id);
    topic->committed = -1;
    return topic;
}

static void rig_deliver(struct timer *timer) {
    struct rig_subscription *subscription = container_of(timer, struct rig_subscription, deliver);
    struct rig_topic *topic = subscription->topic;
    if (!subscription->wanted) {
        return;
    }
    if (subscription->position < topic->log_start) {
        subscription->wanted = false;
        subscription->config.on_error(subscription->config.userdata, TOPIC_E_OUT_OF_RANGE);
    } else if (subscription->position < topic->count) {
        size_t count =
            MIN((size_t)(topic->count - subscription->position), subscription->config.max_records);
        subscription->wanted = false;
        subscription->config.on_records(subscription->config.userdata,
                                        &topic->messages[subscription->position], count);
    }
}

static int rig_subscribe(struct topic_port *port, const struct topic_subscription_config *config,
                         struct topic_subscription **ret_subscription) {
    struct rig_topics *topics = container_of(port, struct rig_topics, port);
    struct rig_subscription *subscription = calloc(1, sizeof *subscription);
    subscription->base.port = port;
    subscription->owner = topics;
    subscription->topic = rig_topic(topics, config->topic);
    subscription->config = *config;
    subscription->position = config->offset;
    subscription->wanted = true;
    timer_init(&subscription->deliver, topics->loop, rig_deliver);
    timer_start(&subscription->deliver, 0);
    for (size_t i = 0; i < RIG_TOPICS_MAX; i++) {
        if (!topics->subscriptions[i]) {
            topics->subscriptions[i] = subscription;
            break;
        }
    }
    *ret_subscription = &subscription->base;
    return 0;
}

static void rig_next(struct topic_subscription *base, int64_t offset) {
    struct rig_subscription *subscription = container_of(base, struct rig_subscription, base);
    subscription->position = offset;
    subscription->wanted = true;
    timer_start(&subscription->deliver, 0);
}

static void rig_unsubscribe(struct topic_subscription *base) {
    struct rig_subscription *subscription = container_of(base, struct rig_subscription, base);
    for (size_t i = 0; i < RIG_TOPICS_MAX; i++) {
        if (subscription->owner->subscriptions[i] == subscription) {
            subscription->owner->subscriptions[i] = NULL;
        }
    }
    timer_stop(&subscription->deliver);
    free(subscription);
}

static int rig_info(struct topic_port *port, const char *name, int32_t partition,
                    struct topic_info *ret_info) {
    struct rig_topic *topic = rig_topic(container_of(port, struct rig_topics, port), name);
    *ret_info = (struct topic_info){.id = topic->id,
                                    .partition_count = 1,
                                    .log_start_offset = topic->log_start,
                                    .high_watermark = topic->count};
    return 0;
}

static int rig_commit(struct topic_port *port, const char *group, const char *name,
                      int32_t partition, int64_t offset) {
    rig_topic(container_of(port, struct rig_topics, port), name)->committed = offset;
    return 0;
}

static const struct topic_port_ops rig_topic_ops = {
    .subscribe = rig_subscribe,
    .next = rig_next,
    .unsubscribe = rig_unsubscribe,
    .info = rig_info,
    .commit = rig_commit,
};

/* Appends one record; everything is borrowed and must outlive the rig. */
static inline _unused_ void rig_publish(struct rig_topics *topics, const char *name,
                                        const char *key, const char *value,
                                        const char *const *headers) {
    struct rig_topic *topic = rig_topic(topics, name);
    struct topic_message *message = &topic->messages[topic->count];
    *message = (struct topic_message){
        .offset = topic->count, .key = span_text(key), .value = span_text(value)};
    message->headers = topic->headers[topic->count];
    for (; headers && headers[0]; headers += 2) {
        topic->headers[topic->count][message->header_count++] =
            (struct topic_header){span_text(headers[0]), span_text(headers[1])};
    }
    topic->count++;
    for (size_t i = 0; i < RIG_TOPICS_MAX; i++) {
        if (topics->subscriptions[i] && topics->subscriptions[i]->topic == topic) {
            timer_start(&topics->subscriptions[i]->deliver, 0);
        }
    }
}

/* ---- the rig ---- */

struct rig {
    const struct module *module;
    char folder[64], url[160];
    struct loop *loop;
    struct store *store;
    struct rig_topics topics;
    struct module_context context;
    struct metric metrics[64];
    void *state;
    struct http_service service;
    struct http_server *server;
    struct http_client *client;
    bool flag;
    int status;
    const char *message;
};

static void rig_flag(void *userdata) {
    ((struct rig *)userdata)->flag = true;
    loop_stop(((struct rig *)userdata)->loop);
}

static void rig_done(void *userdata, int status) {
    ((struct rig *)userdata)->status = status;
    rig_flag(userdata);
}

static inline void rig_wait_flag(struct rig *rig) {
    while (!rig->flag) {
        loop_run(rig->loop);
    }
    rig->flag = false;
}

struct rig_tick {
    struct timer timer;
};

static void rig_on_tick(struct timer *timer) {
    loop_stop(timer->loop);
}

/* Runs the loop until @condition holds; fails after ten seconds. */
static inline _unused_ void rig_wait(struct rig *rig, bool (*condition)(struct rig *rig)) {
    int64_t until_ns = clock_mono_ns(clock_system()) + 10 * NS_PER_SEC;
    struct timer tick;
    timer_init(&tick, rig->loop, rig_on_tick);
    while (!condition(rig)) {
        if (clock_mono_ns(clock_system()) > until_ns) {
            fail_msg("the condition did not come; log:\n%s", rig_log.data ? rig_log.data : "");
        }
        timer_start_ms(&tick, 2);
        loop_run(rig->loop);
    }
    timer_stop(&tick);
}

static inline void rig_set_default(void *state, const struct conf_row *row) {
    char *field = (char *)state + row->offset;
    char *unit = NULL;
    int64_t number = row->default_text ? strtoll(row->default_text, &unit, 10) : 0;
    switch (row->type) {
    case CONF_STRING:
        *(char **)(void *)field = strdup(row->default_text ? row->default_text : "");
        break;
    case CONF_DURATION:
        number *= !strcmp(unit, "s")   ? 1000
                  : !strcmp(unit, "m") ? 60000
                  : !strcmp(unit, "h") ? 3600000
                  : !strcmp(unit, "d") ? 86400000
                                       : 1;
        *(int64_t *)(void *)field = number;
        break;
    case CONF_INT:
    case CONF_SIZE:
        *(int64_t *)(void *)field = number;
        break;
    case CONF_BOOL:
        *(bool *)(void *)field = !strcmp(row->default_text, "yes");
        break;
    case CONF_ENUM:
        while (strcmp(row->choices[number], row->default_text) != 0) {
            number++;
        }
        *(int *)(void *)field = (int)number;
        break;
    }
}

static inline void rig_string(char **field, const char *value) {
    free(*field);
    *field = strdup(value);
}

static inline _unused_ void rig_init(struct rig *rig, const struct module *module) {
    memset(rig, 0, sizeof *rig);
    rig->module = module;
    snprintf(rig->folder, sizeof rig->folder, "/tmp/eventbox-rig-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->url, sizeof rig->url, "sqlite:///%s/x.db", rig->folder);
    assert_int_equal(loop_new(clock_system(), &rig->loop), 0);
    rig->topics.port.ops = &rig_topic_ops;
    rig->topics.loop = rig->loop;
    text_init(&rig_log);
}

static inline void rig_open_store(struct rig *rig) {
    const struct store_migration_set sets[] = {*outbox_migrations(),
                                               {rig->module->name, rig->module->migrations}};
    const struct store_config config = {.loop = rig->loop,
                                        .work = work_port_threads(),
                                        .random = random_system(),
                                        .clock = clock_system(),
                                        .url = rig->url,
                                        .migrations = sets,
                                        .migration_count = 2};
    assert_int_equal(store_open(&config, &rig->store, &rig->message), 0);
}

/* Settings are defaults, then what @configure says; returns what init() says. */
static inline int rig_start(struct rig *rig, void (*configure)(struct rig *rig)) {
    rig_open_store(rig);
    rig->state = calloc(1, rig->module->state_size);
    for (const struct conf_row *row = rig->module->conf; row->name; row++) {
        rig_set_default(rig->state, row);
    }
    if (configure) {
        configure(rig);
    }
    memset(rig->metrics, 0, sizeof rig->metrics);
    rig->context = (struct module_context){.loop = rig->loop,
                                           .clock = clock_system(),
                                           .random = random_system(),
                                           .work = work_port_threads(),
                                           .store = rig->store,
                                           .topics = &rig->topics.port,
                                           .metrics = rig->metrics,
                                           .cluster_id = "aBcDeFgHiJkLmNoPqRsTuV",
                                           .drain_ms = 5000};
    int status = rig->module->check ? rig->module->check(rig->state, &rig->message) : 0;
    status = status ? status : rig->module->init(rig->state, &rig->context, &rig->message);
    if (status) {
        return status;
    }
    rig->module->start(rig->state, rig_done, rig);
    rig_wait_flag(rig);
    assert_int_equal(rig->status, 0);
    rig->service = (struct http_service){.name = rig->module->http.service,
                                         .title = rig->module->http.title,
                                         .version = "test",
                                         .routes = rig->module->http.routes,
                                         .schemas = rig->module->http.schemas,
                                         .userdata = rig->state};
    const struct listener_config listen = {.host = "127.0.0.1", .port = 0, .backlog = 16};
    assert_int_equal(http_server_open(rig->loop, random_system(), &rig->service, &listen,
                                      &HTTP_LIMITS_DEFAULT, &rig->server),
                     0);
    assert_int_equal(http_client_new(rig->loop, &rig->client), 0);
    return 0;
}

static inline _unused_ void rig_close_store(struct rig *rig) {
    if (rig->store) {
        store_close(rig->store, rig_flag, rig);
        rig_wait_flag(rig);
    }
    rig->store = NULL;
}

static inline _unused_ void rig_stop(struct rig *rig) {
    http_client_free(rig->client);
    rig->client = NULL;
    if (rig->server) {
        http_server_stop(rig->server, 1000, rig_flag, rig);
        rig_wait_flag(rig);
        rig->server = NULL;
        rig->module->stop(rig->state, rig_done, rig);
        rig_wait_flag(rig);
    }
    if (rig->state) {
        if (rig->module->fini) {
            rig->module->fini(rig->state);
        }
        for (const struct conf_row *row = rig->module->conf; row->name; row++) {
            if (row->type == CONF_STRING) {
                free(*(char **)(void *)((char *)rig->state + row->offset));
            }
        }
        free(rig->state);
        rig->state = NULL;
    }
    rig_close_store(rig);
}

static inline _unused_ void rig_deinit(struct rig *rig) {
    char command[128];
    rig_stop(rig);
    loop_free(rig->loop);
    text_deinit(&rig_log);
    snprintf(command, sizeof command, "rm -rf %s", rig->folder);
    assert_int_equal(system(command), 0);
}

/* ---- requests ---- */

struct rig_call {
    struct rig *rig;
    unsigned *waiting; /* calls under way; the loop stops at 0 */
    int status;
    char body[KIB(64)];
};

static void rig_on_answer(void *userdata, const struct http_client_answer *answer) {
    struct rig_call *call = userdata;
    call->status = answer->outcome == HTTP_CLIENT_ANSWERED ? answer->status : -(int)answer->outcome;
    snprintf(call->body, sizeof call->body, "%.*s", (int)answer->body.size,
             (const char *)answer->body.data);
    if (--*call->waiting == 0) {
        rig_flag(call->rig);
    }
}

static inline _unused_ void rig_send(struct rig_call *call, struct rig *rig, unsigned *waiting,
                                     const char *method, const char *path, const char *token,
                                     const char *body) {
    char url[256], authorization[128];
    struct http_client_header headers[2] = {{"Content-Type", "application/json"}};
    struct http_client_call *handle;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(rig->server), path);
    snprintf(authorization, sizeof authorization, "Bearer %s", token ? token : "");
    headers[1] = (struct http_client_header){"Authorization", authorization};
    const struct http_client_request request = {.method = method,
                                                .url = url,
                                                .headers = body || token ? headers + !body : NULL,
                                                .header_count = (body != NULL) + (token != NULL),
                                                .body = body ? span_text(body) : SPAN_NULL,
                                                .connect_ms = 5000,
                                                .total_ms = 20000,
                                                .done = rig_on_answer,
                                                .userdata = call};
    call->rig = rig;
    call->waiting = waiting;
    ++*waiting;
    assert_int_equal(http_client_send(rig->client, &request, &handle), 0);
}

/* One request and its answer; @ret_body stays valid until the next call. */
static inline _unused_ int rig_request(struct rig *rig, const char *method, const char *path,
                                       const char *token, const char *body, const char **ret_body) {
    static struct rig_call call;
    unsigned waiting = 0;
    rig_send(&call, rig, &waiting, method, path, token, body);
    rig_wait_flag(rig);
    if (ret_body) {
        *ret_body = call.body;
    }
    return call.status;
}

/* ---- looking into the store ---- */

struct rig_query {
    struct store_job job;
    struct rig *rig;
    const char *sql;
    int64_t number;
    char text[512];
};

static int rig_query_body(struct store_tx *tx, struct store_job *job) {
    struct rig_query *query = container_of(job, struct rig_query, job);
    struct store_stmt *stmt;
    int status = store_prepare(tx, query->sql, &stmt);
    if (status) {
        return status;
    }
    query->text[0] = 0;
    query->number = 0;
    while ((status = store_step(stmt)) == STORE_ROW) {
        struct span text = store_column_text(stmt, 0);
        query->number = store_column_int(stmt, 0);
        snprintf(query->text + strlen(query->text), sizeof query->text - strlen(query->text),
                 "%s%.*s", query->text[0] ? "," : "", (int)text.size, (const char *)text.data);
    }
    return status;
}

static void rig_query_done(struct store_job *job, int status) {
    rig_done(container_of(job, struct rig_query, job)->rig, status);
}

/* The first column of all rows, with commas between them. @sql must be a literal. */
static inline _unused_ const char *rig_text(struct rig *rig, const char *sql) {
    static struct rig_query query;
    query = (struct rig_query){.rig = rig, .sql = sql};
    query.job.body = rig_query_body;
    query.job.done = rig_query_done;
    assert_int_equal(store_write(rig->store, &query.job), 0);
    rig_wait_flag(rig);
    assert_int_equal(rig->status, 0);
    return query.text;
}

static inline _unused_ int64_t rig_number(struct rig *rig, const char *sql) {
    return strtoll(rig_text(rig, sql), NULL, 10);
}

/* Runs a transaction of a test and returns what it came to. */
static void rig_job_done(struct store_job *job, int status);
struct rig_job {
    struct store_job *job;
    struct rig *rig;
};
static struct rig_job rig_running;
static void rig_job_done(struct store_job *job, int status) {
    rig_done(rig_running.rig, status);
}
static inline _unused_ int rig_write(struct rig *rig, struct store_job *job) {
    rig_running = (struct rig_job){job, rig};
    job->done = rig_job_done;
    assert_int_equal(store_write(rig->store, job), 0);
    rig_wait_flag(rig);
    return rig->status;
}
