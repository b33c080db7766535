/*
 * What other programs learn of a change, written as one outbox row in the change's own transaction.
 *
 *   notification    key user_created    value "User created with ID: 1", as in the original, byte
 * for byte user_created    key 1               value the public user as JSON; one record for each
 * registration users.events    key 1               CloudEvents 1.0, binary mode: ce_ headers, value
 * the data as JSON users.snapshot  key 1               the public user, or null for a deleted one;
 * compacted
 *
 * `notification` carries registrations and nothing else unless users.notification_kinds = all. The
 * relay adds the headers traceparent and eventbox-origin, and copies `notification` to
 * `notifications`.
 */
#include "users.h"

#include <errno.h>
#include <stdio.h>

#define CE_TYPE_PREFIX "org.eventbox.users."

static const struct {
    const char *name; /* key on `notification`, and ce_type behind its prefix */
    const char *verb; /* in the original's sentence; NULL: not on `notification` */
} event_kinds[] = {
    [USERS_EVENT_CREATED] = {"user_created", "created"},
    [USERS_EVENT_UPDATED] = {"user_updated", "updated"},
    [USERS_EVENT_DELETED] = {"user_deleted", "deleted"},
    [USERS_EVENT_LOGGED_IN] = {"user_logged_in", NULL},
};

/* Compaction leaves the segment that is written alone, so it is not a large one. */
static const struct topic_config_entry compacted[] = {
    {"cleanup.policy", "compact"}, {"segment.bytes", "16777216"}, {0}};

const struct topic_declaration users_topics[] = {
    {"notification", 1, NULL, "Registrations in the original's words."},
    {"notifications", 1, NULL,
     "A copy of notification, under the name that the original's test script reads."},
    {"user_created", 1, NULL, "The public user as JSON, once for each registration."},
    {"users.events", 1, NULL, "CloudEvents of every action on a user.", .id_table = "users_user"},
    {"users.snapshot", 1, compacted, "The latest state of each user, for those who start late.",
     .id_table = "users_user"},
    {0},
};

void event_init(struct event *event, const struct users *users, enum users_event kind,
                const struct trace *trace) {
    event->kind = kind;
    event->trace = *trace;
    event->now_ms = clock_wall_ms(users->context.clock);
    event->cluster_id = users->context.cluster_id;
    event->all_kinds = users->notification_kinds == USERS_KINDS_ALL;
    uuid_v7(users->context.random, users->context.clock, &event->id);
}

static void write_data(struct text *out, const struct event *event, const struct caller *caller,
                       const struct user *user, const char *session_id, struct span changed_json,
                       const char *time) {
    json_write_object(out, NULL);
    json_write_int(out, "user_id", user->id);
    user_write_json(out, "user", user);
    json_write_object(out, "actor");
    if (caller->known) {
        json_write_int(out, "id", caller->user_id);
        json_write_string(out, "role", span_text(user_role_names[caller->role]));
    } else {
        json_write_null(out, "id");
        json_write_string(out, "role", SPAN_LITERAL("anonymous"));
    }
    json_write_string(out, "ip", span_text(caller->peer));
    json_write_object_end(out);
    if (session_id) {
        json_write_string(out, "session_id", span_text(session_id));
    }
    if (changed_json.data) {
        json_write_raw(out, "changed", changed_json);
    }
    json_write_int(out, "version", user->version);
    json_write_string(out, "at", span_text(time));
    json_write_object_end(out);
}

enum { RECORDS_MAX = 4 };

struct record_list {
    struct topic_record records[RECORDS_MAX];
    size_t count;
};

static struct topic_record *add(struct record_list *list, const struct event *event,
                                const char *topic, struct span key, struct span value) {
    struct topic_record *record = &list->records[list->count++];
    *record = (struct topic_record){
        .topic = topic, .partition = -1, .key = key, .value = value, .timestamp_ms = event->now_ms};
    return record;
}

int event_add(struct store_tx *tx, const struct event *event, const struct caller *caller,
              const struct user *user, const char *session_id, struct span changed_json) {
    const char *name = event_kinds[event->kind].name, *verb = event_kinds[event->kind].verb;
    struct record_list list = {.count = 0};
    struct text data, public_json;
    char id[UUID_TEXT_SIZE], time[CLOCK_RFC3339_SIZE], key[24];
    char sentence[64], source[64], type[64], subject[32];

    text_init(&data);
    text_init(&public_json);
    uuid_format(&event->id, id);
    clock_format_rfc3339(event->now_ms * NS_PER_MS, 3, time);
    snprintf(key, sizeof key, "%lld", (long long)user->id);
    snprintf(sentence, sizeof sentence, "User %s with ID: %lld", verb ? verb : "",
             (long long)user->id);
    snprintf(source, sizeof source, "/users-service/%s", event->cluster_id);
    snprintf(type, sizeof type, CE_TYPE_PREFIX "%s", name);
    snprintf(subject, sizeof subject, "users/%lld", (long long)user->id);
    write_data(&data, event, caller, user, session_id, changed_json, time);
    user_write_json(&public_json, NULL, user);

    const struct topic_header headers[] = {
        {SPAN_LITERAL("ce_specversion"), SPAN_LITERAL("1.0")},
        {SPAN_LITERAL("ce_id"), span_text(id)},
        {SPAN_LITERAL("ce_source"), span_text(source)},
        {SPAN_LITERAL("ce_type"), span_text(type)},
        {SPAN_LITERAL("ce_subject"), span_text(subject)},
        {SPAN_LITERAL("ce_time"), span_text(time)},
        {SPAN_LITERAL("content-type"), SPAN_LITERAL("application/json")},
    };
    if (verb && (event->kind == USERS_EVENT_CREATED || event->all_kinds)) {
        add(&list, event, "notification", span_text(name), span_text(sentence));
    }
    if (event->kind == USERS_EVENT_CREATED) {
        add(&list, event, "user_created", span_text(key), text_span(&public_json));
    }
    struct topic_record *cloud =
        add(&list, event, "users.events", span_text(key), text_span(&data));
    cloud->headers = headers;
    cloud->header_count = ARRAY_SIZE(headers);
    if (event->kind == USERS_EVENT_DELETED) {
        add(&list, event, "users.snapshot", span_text(key), SPAN_NULL);
    } else if (event->kind != USERS_EVENT_LOGGED_IN) {
        add(&list, event, "users.snapshot", span_text(key), text_span(&public_json));
    }

    int status = -ENOMEM;
    if (!text_failed(&data) && !text_failed(&public_json)) {
        status = outbox_add(tx, &event->trace, list.records, list.count, NULL);
    }
    text_deinit(&data);
    text_deinit(&public_json);
    return err_trace(status);
}
