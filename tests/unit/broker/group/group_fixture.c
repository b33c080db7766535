#include "group_fixture.h"

#include <string.h>

/* ---- the world ---- */

void world_init(struct world *w) {
    memset(w, 0, sizeof *w);
    fixture_init(&w->f, 11);
    w->config = (struct coordinator_config){
        .random = &w->f.random.random,
        .limits = GROUP_LIMITS_DEFAULT,
        .offsets_partitions = 50,
        .metadata_max = 4096,
        .memory_bytes = MIB(4),
        .retention_ms = INT64_C(7) * 86400 * 1000,
        .retention_check_ms = 600000,
    };
}

void world_start_loading(struct world *w) {
    assert_int_equal(fixture_start(&w->f), 0);
    w->config.loop = w->f.loop;
    w->config.log = w->f.log;
    assert_int_equal(coordinator_new(&w->config, &w->coordinator), 0);
    coordinator_start(w->coordinator);
}

void world_start(struct world *w) {
    world_start_loading(w);
    fixture_until(&w->f, !w->coordinator->load);
    assert_false(w->coordinator->load_failed);
    assert_int_equal(coordinator_prepare(w->coordinator), 0);
    world_quiet(w);
}

void world_crash(struct world *w) {
    world_quiet(w);
    coordinator_free(w->coordinator);
    w->coordinator = NULL;
    fixture_crash(&w->f, true);
}

void world_deinit(struct world *w) {
    world_quiet(w);
    coordinator_free(w->coordinator);
    fixture_stop(&w->f);
    fixture_deinit(&w->f);
}

static bool writing(struct world *w) {
    size_t position = 0;
    struct group_entry *entry;
    while ((entry = hashmap_next(&w->coordinator->groups, &position))) {
        if (entry->writes > 0) {
            return true;
        }
    }
    struct topic_log_stats stats;
    topic_log_stats(w->f.log, &stats);
    return stats.queued_appends > 0;
}

void world_quiet(struct world *w) {
    fixture_until(&w->f, !writing(w));
}

void world_pass(struct world *w, int64_t ms) {
    clock_manual_advance(&w->f.clock, ms * NS_PER_MS);
    fixture_run_ms(&w->f, 200);
    world_quiet(w);
}

struct change {
    struct topic_log_request request;
    bool done;
};
static void on_changed(struct topic_log_request *request, int status) {
    assert_int_equal(status, 0);
    container_of(request, struct change, request)->done = true;
}

void world_topic(struct world *w, const char *name) {
    struct change change = {.request.done = on_changed};
    struct topic_spec spec = {.name = span_text(name), .partition_count = 2};
    assert_int_equal(topic_log_create(w->f.log, &spec, &change.request), 0);
    fixture_until(&w->f, change.done);
}

void world_delete_topic(struct world *w, const char *name, bool tell_coordinator) {
    struct change change = {.request.done = on_changed};
    struct topic *topic = topic_log_find(w->f.log, span_text(name));
    assert_int_equal(topic_log_delete(w->f.log, topic, &change.request), 0);
    fixture_until(&w->f, change.done);
    if (tell_coordinator) {
        coordinator_drop_topic(w->coordinator, span_text(name));
        world_quiet(w);
    }
}

const struct group *world_group(struct world *w, const char *group) {
    struct group_entry *entry = group_entry_find(w->coordinator, span_text(group));
    return entry ? entry->group : NULL;
}

/* ---- one request ---- */

static int on_respond(struct kafka_request *request, const void *body) {
    struct ask *ask = container_of(request, struct ask, request);
    assert_null(ask->answer);
    ask->answer = body;
    return 0;
}
static void on_respond_none(struct kafka_request *request) {
    container_of(request, struct ask, request)->closed = true;
}
static void on_close(struct kafka_request *request, const char *reason) {
    fail_msg("closed: %s", reason);
}
static const struct kafka_request_ops ops = {
    .respond = on_respond, .respond_none = on_respond_none, .close = on_close};

void ask_init(struct ask *ask) {
    memset(ask, 0, sizeof *ask);
    arena_init(&ask->arena, MIB(16));
}

void ask_send(struct world *w, struct ask *ask, int16_t key, int16_t version, const void *body) {
    ask->request = (struct kafka_request){.version = version,
                                          .client_id = SPAN_LITERAL("client"),
                                          .peer_host = "127.0.0.1",
                                          .body = body,
                                          .arena = &ask->arena,
                                          .userdata = w->coordinator,
                                          .ops = &ops};
    for (size_t i = 0; i < coordinator_handler_count; i++) {
        if (coordinator_handler_rows[i].key == key) {
            coordinator_handler_rows[i].handle(&ask->request);
            return;
        }
    }
    fail_msg("no handler of %d", key);
}

void ask_end(struct ask *ask) {
    arena_deinit(&ask->arena);
}

/* ---- whole requests ---- */

int16_t world_commit_as(struct world *w, const char *group, const char *member, int32_t generation,
                        const char *topic, int64_t offset) {
    struct ask ask;
    ask_init(&ask);
    struct offset_commit_request *body = KAFKA_NEW(&ask.arena, offset_commit_request, 1);
    body->group_id = span_text(group);
    body->member_id = span_text(member);
    body->generation_id_or_member_epoch = generation;
    body->topics = KAFKA_NEW(&ask.arena, offset_commit_request_topic, 1);
    body->topics_count = 1;
    body->topics->name = span_text(topic);
    body->topics->partitions = KAFKA_NEW(&ask.arena, offset_commit_request_partition, 1);
    body->topics->partitions_count = 1;
    body->topics->partitions->committed_offset = offset;
    ask_send(w, &ask, 8, 8, body);
    fixture_until(&w->f, ask.answer);
    const struct offset_commit_response *answer = ask.answer;
    int16_t error = answer->topics->partitions->error_code;
    ask_end(&ask);
    return error;
}

int16_t world_commit(struct world *w, const char *group, const char *topic, int64_t offset) {
    return world_commit_as(w, group, "", -1, topic, offset);
}

int64_t world_fetch(struct world *w, const char *group, const char *topic) {
    struct group_entry *entry = group_entry_find(w->coordinator, span_text(group));
    struct offset_entry *offset = entry ? offset_entry_find(entry, span_text(topic), 0) : NULL;
    return offset ? offset->committed.offset : -1;
}

int16_t world_heartbeat(struct world *w, const char *group, const char *member,
                        int32_t generation) {
    struct ask ask;
    ask_init(&ask);
    struct heartbeat_request *body = KAFKA_NEW(&ask.arena, heartbeat_request, 1);
    body->group_id = span_text(group);
    body->member_id = span_text(member);
    body->generation_id = generation;
    ask_send(w, &ask, 12, 4, body);
    int16_t error = ((const struct heartbeat_response *)ask.answer)->error_code;
    ask_end(&ask);
    return error;
}

static int32_t join_once(struct world *w, const char *group, const char *instance,
                         struct span metadata, char member[100]) {
    struct ask ask;
    ask_init(&ask);
    struct join_group_request *body = KAFKA_NEW(&ask.arena, join_group_request, 1);
    body->group_id = span_text(group);
    body->member_id = span_text(member);
    body->group_instance_id = span_text(instance);
    body->session_timeout_ms = 10000;
    body->rebalance_timeout_ms = 30000;
    body->protocol_type = SPAN_LITERAL("consumer");
    body->protocols = KAFKA_NEW(&ask.arena, join_group_request_protocol, 1);
    body->protocols_count = 1;
    body->protocols->name = SPAN_LITERAL("range");
    body->protocols->metadata = metadata;
    ask_send(w, &ask, 11, 3, body);
    fixture_until(&w->f, ask.answer);
    const struct join_group_response *answer = ask.answer;
    assert_int_equal(answer->error_code, 0);
    snprintf(member, 100, "%.*s", (int)answer->member_id.size,
             (const char *)answer->member_id.data);
    int32_t generation = answer->generation_id;
    ask_end(&ask);
    return generation;
}

void world_join(struct world *w, const char *group, const char *instance, struct span metadata,
                char member[100]) {
    struct ask ask;
    int32_t generation = join_once(w, group, instance, metadata, member);
    ask_init(&ask);
    struct sync_group_request *body = KAFKA_NEW(&ask.arena, sync_group_request, 1);
    body->group_id = span_text(group);
    body->member_id = span_text(member);
    body->generation_id = generation;
    body->assignments = KAFKA_NEW(&ask.arena, sync_group_request_assignment, 1);
    body->assignments_count = 1;
    body->assignments->member_id = span_text(member);
    body->assignments->assignment = SPAN_LITERAL("everything");
    ask_send(w, &ask, 14, 3, body);
    fixture_until(&w->f, ask.answer);
    assert_int_equal(((const struct sync_group_response *)ask.answer)->error_code, 0);
    ask_end(&ask);
}

int16_t world_leave(struct world *w, const char *group, const char *member) {
    struct ask ask;
    ask_init(&ask);
    struct leave_group_request *body = KAFKA_NEW(&ask.arena, leave_group_request, 1);
    body->group_id = span_text(group);
    body->member_id = span_text(member);
    ask_send(w, &ask, 13, 1, body);
    fixture_until(&w->f, ask.answer);
    int16_t error = ((const struct leave_group_response *)ask.answer)->error_code;
    ask_end(&ask);
    return error;
}
