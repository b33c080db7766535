/* The coordinator over a real log in simulation: what is durable, what a restart finds, what
 * expires, what is refused (G43, G45, G49, G62). */
#include "group_fixture.h"

#include <string.h>

static struct world *set_up(void) {
    struct world *w = malloc(sizeof *w);
    world_init(w);
    world_start(w);
    world_topic(w, "t");
    return w;
}

static void tear_down(struct world *w) {
    world_deinit(w);
    free(w);
}

static const int64_t DAY_MS = 86400000;

/* ConsumerProtocolSubscription 0 of one topic. */
#define SUBSCRIBED_TO_U span_of("\0\0\0\0\0\1\0\1u\377\377\377\377", 13)

/* ---- durable before answered, there after a power cut ---- */

static void test_commit__is_there_after_a_power_cut(void **state) {
    struct world *w = set_up();
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    assert_int_equal(world_commit(w, "g", "t", 6), KAFKA_NONE);
    assert_int_equal(world_fetch(w, "g", "t"), 6);
    world_crash(w);
    world_start(w);
    assert_int_equal(world_fetch(w, "g", "t"), 6);
    assert_int_equal(world_group(w, "g")->state, GROUP_EMPTY);
    tear_down(w);
}

static void test_member__g45_goes_on_within_a_heartbeat_after_a_power_cut(void **state) {
    struct world *w = set_up();
    char member[100] = "", fixed[100] = "";
    world_join(w, "g", NULL, SPAN_LITERAL("m"), member);
    world_join(w, "s", "i", SPAN_LITERAL("m"), fixed);
    assert_int_equal(world_commit_as(w, "g", member, 1, "t", 5), KAFKA_NONE);
    world_crash(w);
    world_start(w);
    assert_int_equal(world_heartbeat(w, "g", member, 1), KAFKA_NONE);
    assert_int_equal(world_commit_as(w, "g", member, 1, "t", 6), KAFKA_NONE);
    assert_int_equal(world_heartbeat(w, "s", fixed, 1), KAFKA_NONE);
    const struct group *group = world_group(w, "s");
    assert_int_equal(group->state, GROUP_STABLE);
    assert_string_equal(group->protocol_type, "consumer");
    assert_string_equal(group->leader->instance_id, "i");
    assert_true(span_equal(group_member_assignment(group->leader), SPAN_LITERAL("everything")));
    tear_down(w);
}

static void test_leader__is_the_same_after_a_power_cut(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "g", NULL, SPAN_LITERAL("m"), member);
    struct group *group = group_entry_find(w->coordinator, SPAN_LITERAL("g"))->group;
    struct group_protocol protocol = {SPAN_LITERAL("range"), SPAN_LITERAL("m")};
    struct group_join join = {.member_id = SPAN_LITERAL("second"),
                              .protocol_type = SPAN_LITERAL("consumer"),
                              .session_timeout_ms = 10000,
                              .rebalance_timeout_ms = 30000,
                              .protocols = &protocol,
                              .protocol_count = 1};
    group->leader = group_restore_member(group, &join, SPAN_LITERAL("p"));
    group->hooks->persist(group, 0);
    world_crash(w);
    world_start(w);
    assert_string_equal(world_group(w, "g")->leader->member_id, "second");
    assert_int_equal(world_group(w, "g")->member_count, 2);
    tear_down(w);
}

static void test_commit__larger_than_a_batch_may_be_is_refused(void **state) {
    struct world *w = set_up();
    enum { COUNT = 400 };
    static char metadata[4096];
    struct ask ask;
    ask_init(&ask);
    memset(metadata, 'm', sizeof metadata);
    struct offset_commit_request *body = KAFKA_NEW(&ask.arena, offset_commit_request, 1);
    body->group_id = SPAN_LITERAL("g");
    body->generation_id_or_member_epoch = -1;
    body->topics = KAFKA_NEW(&ask.arena, offset_commit_request_topic, 1);
    body->topics_count = 1;
    body->topics->name = SPAN_LITERAL("t");
    body->topics->partitions = KAFKA_NEW(&ask.arena, offset_commit_request_partition, COUNT);
    body->topics->partitions_count = COUNT;
    for (int i = 0; i < COUNT; i++) {
        body->topics->partitions[i].committed_metadata = span_of(metadata, sizeof metadata);
    }
    ask_send(w, &ask, 8, 8, body);
    fixture_until(&w->f, ask.answer);
    const struct offset_commit_response *answer = ask.answer;
    assert_int_equal(answer->topics->partitions[0].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    ask_end(&ask);
    tear_down(w);
}

static void test_member__silent_after_a_restart_is_out_after_its_session(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "g", NULL, SPAN_LITERAL("m"), member);
    world_crash(w);
    world_start(w);
    world_pass(w, 9000);
    assert_int_equal(world_group(w, "g")->state, GROUP_STABLE);
    world_pass(w, 1000);
    assert_int_equal(world_group(w, "g")->state, GROUP_EMPTY);
    int32_t generation = world_group(w, "g")->generation;
    assert_true(generation > 1);
    world_crash(w);
    world_start(w);
    assert_int_equal(world_group(w, "g")->generation, generation);
    tear_down(w);
}

static void test_load__answers_that_it_is_in_progress(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "g", NULL, SPAN_LITERAL("m"), member);
    world_crash(w);
    world_start_loading(w);
    assert_non_null(w->coordinator->load);
    assert_int_equal(coordinator_check(w->coordinator), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    assert_int_equal(world_commit_as(w, "g", member, 1, "t", 5),
                     KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    /* A member does not lose heart over it. */
    assert_int_equal(world_heartbeat(w, "g", member, 1), KAFKA_NONE);
    fixture_until(&w->f, !w->coordinator->load);
    assert_int_equal(world_commit_as(w, "g", member, 1, "t", 5), KAFKA_NONE);
    tear_down(w);
}

/* ---- retention (G49, KIP-211) ---- */

static void test_expiry__g49_counts_from_when_the_group_became_empty(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "g", NULL, SUBSCRIBED_TO_U, member);
    world_topic(w, "u");
    assert_int_equal(world_commit_as(w, "g", member, 1, "u", 5), KAFKA_NONE);
    for (int day = 0; day < 10; day++) { /* alive: an old commit stays */
        for (int i = 0; i < 3; i++) {
            assert_int_equal(world_heartbeat(w, "g", member, 1), KAFKA_NONE);
            w->f.clock.wall_ns += 8 * 3600 * NS_PER_SEC;
            world_pass(w, 9000);
        }
        expiry_check_group(group_entry_find(w->coordinator, SPAN_LITERAL("g")));
        world_quiet(w);
    }
    assert_int_equal(world_fetch(w, "g", "u"), 5);
    assert_int_equal(world_leave(w, "g", member), KAFKA_NONE);
    world_pass(w, 6 * DAY_MS);
    assert_int_equal(world_fetch(w, "g", "u"), 5);
    world_pass(w, DAY_MS);
    world_pass(w, 600000);
    assert_int_equal(world_fetch(w, "g", "u"), -1);
    assert_null(world_group(w, "g")); /* nothing left of it */
    assert_int_equal(w->coordinator->stats.expired, 1);
    world_crash(w); /* and for good */
    world_start(w);
    assert_null(world_group(w, "g"));
    tear_down(w);
}

static void test_expiry__g49_of_a_simple_consumer_counts_from_each_commit(void **state) {
    struct world *w = set_up();
    world_topic(w, "u");
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    world_pass(w, 4 * DAY_MS);
    assert_int_equal(world_commit(w, "g", "u", 6), KAFKA_NONE);
    world_pass(w, 3 * DAY_MS);
    world_pass(w, 600000);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    assert_int_equal(world_fetch(w, "g", "u"), 6);
    world_crash(w);
    world_start(w);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    assert_int_equal(world_fetch(w, "g", "u"), 6);
    tear_down(w);
}

static void test_expiry__g49_topic_that_no_member_reads_any_more(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    w->config.limits.session_max_ms = INT32_MAX;
    world_topic(w, "u");
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    assert_int_equal(world_commit(w, "g", "u", 6), KAFKA_NONE);
    world_join(w, "g", NULL, SUBSCRIBED_TO_U, member);
    w->f.clock.wall_ns += 8 * DAY_MS * NS_PER_MS; /* without the session's end */
    for (int i = 0; i < 70; i++) {
        world_pass(w, 9000);
        assert_int_equal(world_heartbeat(w, "g", member, 1), KAFKA_NONE);
    }
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    assert_int_equal(world_fetch(w, "g", "u"), 6);
    tear_down(w);
}

static void test_expiry__g49_commit_under_way_is_not_lost(void **state) {
    struct world *w = set_up();
    struct group_entry *entry;
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    world_pass(w, 7 * DAY_MS - 5000);
    entry = group_entry_find(w->coordinator, SPAN_LITERAL("g"));
    assert_int_equal(coordinator_commit(w->coordinator, SPAN_LITERAL("g"), SPAN_LITERAL("t"), 0, 9),
                     0);
    clock_manual_advance(&w->f.clock, 10000 * NS_PER_MS);
    expiry_check_group(entry);
    world_quiet(w);
    assert_int_equal(world_fetch(w, "g", "t"), 9);
    world_crash(w);
    world_start(w);
    assert_int_equal(world_fetch(w, "g", "t"), 9);
    tear_down(w);
}

static void test_expiry__time_that_the_client_asked_for(void **state) {
    struct world *w = set_up();
    struct ask ask;
    ask_init(&ask);
    struct offset_commit_request *body = KAFKA_NEW(&ask.arena, offset_commit_request, 1);
    body->group_id = SPAN_LITERAL("g");
    body->generation_id_or_member_epoch = -1;
    body->retention_time_ms = DAY_MS;
    body->topics = KAFKA_NEW(&ask.arena, offset_commit_request_topic, 1);
    body->topics_count = 1;
    body->topics->name = SPAN_LITERAL("t");
    body->topics->partitions = KAFKA_NEW(&ask.arena, offset_commit_request_partition, 1);
    body->topics->partitions_count = 1;
    body->topics->partitions->committed_offset = 5;
    ask_send(w, &ask, 8, 2, body);
    fixture_until(&w->f, ask.answer);
    ask_end(&ask);
    world_crash(w); /* the record knows it, too */
    world_start(w);
    world_pass(w, DAY_MS - 3600000);
    assert_int_equal(world_fetch(w, "g", "t"), 5);
    world_pass(w, 3600000);
    world_pass(w, 600000);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    tear_down(w);
}

/* ---- topics that go (G62) ---- */

static void test_topic_deletion__g62_drops_offsets_for_good(void **state) {
    struct world *w = set_up();
    world_topic(w, "u");
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    assert_int_equal(world_commit(w, "g", "u", 6), KAFKA_NONE);
    world_delete_topic(w, "t", true);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    world_topic(w, "t");
    world_crash(w);
    world_start(w);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    assert_int_equal(world_fetch(w, "g", "u"), 6);
    tear_down(w);
}

static void test_topic_deletion__g62_and_a_crash_before_the_tombstones(void **state) {
    struct world *w = set_up();
    world_topic(w, "u");
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    assert_int_equal(world_commit(w, "g", "u", 6), KAFKA_NONE);
    world_delete_topic(w, "t", false);
    world_topic(w, "t"); /* the same name, another topic */
    world_crash(w);
    world_start(w);
    world_quiet(w);
    assert_int_equal(world_fetch(w, "g", "t"), -1);
    assert_int_equal(world_fetch(w, "g", "u"), 6);
    tear_down(w);
}

/* ---- bounds ---- */

static void test_memory__new_offsets_are_refused_and_known_ones_go_on(void **state) {
    struct world *w = set_up();
    uint64_t refused = 0;
    world_topic(w, "u");
    assert_int_equal(world_commit(w, "g", "t", 5), KAFKA_NONE);
    struct coordinator_stats stats;
    coordinator_stats(w->coordinator, &stats);
    assert_true(stats.memory_bytes > 0);
    w->coordinator->budget.max_bytes = stats.memory_bytes;
    refused = stats.refused;
    assert_int_equal(world_commit(w, "g", "u", 5), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(world_commit(w, "g", "t", 6), KAFKA_NONE);
    coordinator_stats(w->coordinator, &stats);
    assert_true(stats.refused > refused);
    assert_int_equal(world_fetch(w, "g", "t"), 6);
    tear_down(w);
}

static void test_memory__is_given_back(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "g", NULL, SPAN_LITERAL("metadata"), member);
    assert_int_equal(world_commit_as(w, "g", member, 1, "t", 5), KAFKA_NONE);
    assert_int_equal(world_leave(w, "g", member), KAFKA_NONE);
    world_pass(w, 8 * DAY_MS);
    world_pass(w, 600000);
    assert_null(world_group(w, "g"));
    assert_int_equal(w->coordinator->budget.used_bytes, 0);
    tear_down(w);
}

static int16_t ask_to_join(struct world *w, const char *group) {
    struct ask ask;
    ask_init(&ask);
    struct join_group_request *body = KAFKA_NEW(&ask.arena, join_group_request, 1);
    struct join_group_request_protocol range = {SPAN_LITERAL("range"), SPAN_LITERAL("m")};
    body->group_id = span_text(group);
    body->session_timeout_ms = body->rebalance_timeout_ms = 10000;
    body->member_id = span_of("", 0);
    body->protocol_type = SPAN_LITERAL("consumer");
    body->protocols = &range;
    body->protocols_count = 1;
    ask_send(w, &ask, 11, 5, body);
    fixture_until(&w->f, ask.answer);
    int16_t error = ((const struct join_group_response *)ask.answer)->error_code;
    ask_end(&ask);
    return error;
}

/* Kafka knows no number of groups that is too many. A console consumer leaves one each time. */
static void test_groups__as_many_as_fit_into_the_memory(void **state) {
    struct world *w = set_up();
    char group[30];
    for (int i = 0; i < 2500; i++) {
        snprintf(group, sizeof group, "console-consumer-%d", i);
        assert_int_equal(world_commit(w, group, "t", i), KAFKA_NONE);
    }
    world_crash(w);
    world_start(w);
    for (int i = 0; i < 2500; i++) {
        snprintf(group, sizeof group, "console-consumer-%d", i);
        assert_int_equal(world_fetch(w, group, "t"), i);
    }
    tear_down(w);
}

static void test_groups__one_that_holds_nothing_makes_room(void **state) {
    struct world *w = set_up();
    char member[100] = "";
    world_join(w, "left", NULL, SPAN_LITERAL("metadata"), member);
    assert_int_equal(world_leave(w, "left", member), KAFKA_NONE);
    assert_int_equal(world_commit(w, "one", "t", 1), KAFKA_NONE);
    w->coordinator->budget.max_bytes = w->coordinator->budget.used_bytes + 600;
    assert_int_equal(world_commit(w, "two", "t", 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
    world_pass(w, 1);
    assert_null(world_group(w, "left"));
    assert_int_equal(world_commit(w, "two", "t", 2), KAFKA_NONE);
    assert_int_equal(world_commit(w, "three", "t", 3), KAFKA_COORDINATOR_NOT_AVAILABLE);
    world_pass(w, 10000);
    assert_int_equal(world_commit(w, "three", "t", 3), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(world_fetch(w, "one", "t"), 1);
    assert_int_equal(world_fetch(w, "two", "t"), 2);
    tear_down(w);
}

static void count_full(void *userdata) {
    ++*(unsigned *)userdata;
}

static void test_refused__leaves_no_group(void **state) {
    struct world *w = set_up();
    unsigned told = 0;
    w->coordinator->config.on_full = count_full;
    w->coordinator->config.userdata = &told;
    assert_int_equal(world_commit(w, "g", "t", 1), KAFKA_NONE);
    size_t one_bytes = w->coordinator->budget.used_bytes;
    w->coordinator->budget.max_bytes = 2 * one_bytes - 1; /* the group fits, its offset does not */
    assert_int_equal(world_commit(w, "h", "t", 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_null(world_group(w, "h"));
    w->coordinator->budget.max_bytes = one_bytes + 1000; /* the group fits, its member does not */
    assert_int_equal(ask_to_join(w, "i"), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_null(world_group(w, "i"));
    assert_int_equal(w->coordinator->budget.used_bytes, one_bytes);
    assert_int_equal(told, 2);
    assert_string_equal(coordinator_largest(w->coordinator)->id, "g");
    world_crash(w);
    world_start(w);
    assert_null(world_group(w, "h"));
    assert_null(world_group(w, "i"));
    tear_down(w);
}

/* Until the restart nothing of a group can be kept. What is known is answered, a commit is refused,
 * and so is a group that nobody knows: its members could never get an assignment. */
static void test_failed_log__is_answered_from_memory_and_makes_no_group(void **state) {
    struct world *w = set_up();
    assert_int_equal(world_commit(w, "g", "t", 7), KAFKA_NONE);
    w->f.expect_failures = true;
    disk_sim_fail_at(w->f.disk, disk_sim_calls(w->f.disk) + 1, -EIO);
    assert_int_equal(world_commit(w, "g", "t", 8), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_true(topic_log_failed(w->f.log));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(ask_to_join(w, "h"), KAFKA_COORDINATOR_NOT_AVAILABLE);
        assert_null(world_group(w, "h"));
        assert_int_equal(world_commit(w, "g", "t", 8), KAFKA_COORDINATOR_NOT_AVAILABLE);
        assert_int_equal(world_fetch(w, "g", "t"), 7);
    }
    world_crash(w);
    world_start(w);
    assert_int_equal(world_fetch(w, "g", "t"), 7);
    assert_int_equal(ask_to_join(w, "h"), KAFKA_MEMBER_ID_REQUIRED);
    tear_down(w);
}

/* As in Kafka: whoever asked for a member id has made the group; it goes with the next check. */
static void test_group__that_nobody_joined_is_there_after_a_power_cut(void **state) {
    struct world *w = set_up();
    assert_int_equal(ask_to_join(w, "g"), KAFKA_MEMBER_ID_REQUIRED);
    world_quiet(w);
    world_crash(w);
    world_start(w);
    assert_non_null(world_group(w, "g"));
    assert_int_equal(world_group(w, "g")->state, GROUP_EMPTY);
    world_pass(w, 600000);
    assert_null(world_group(w, "g"));
    world_crash(w);
    world_start(w);
    assert_null(world_group(w, "g"));
    tear_down(w);
}

static void test_tombstones__more_than_one_batch_can_hold(void **state) {
    struct world *w = set_up();
    struct group_entry *entry;
    char topic[250];
    w->coordinator->budget.max_bytes = MIB(64);
    assert_int_equal(world_commit(w, "g", "t", 1), KAFKA_NONE);
    entry = group_entry_find(w->coordinator, SPAN_LITERAL("g"));
    memset(topic, 'x', sizeof topic);
    for (int i = 0; i < 6000; i++) {
        snprintf(topic + 200, 20, "%d", i);
        struct committed_offset committed = {.offset = i, .expire_ms = -1};
        assert_int_equal(offset_entry_put(entry, span_text(topic), 0, &committed), 0);
    }
    struct ask ask;
    ask_init(&ask);
    struct delete_groups_request *body = KAFKA_NEW(&ask.arena, delete_groups_request, 1);
    struct span names[] = {SPAN_LITERAL("g")};
    body->groups_names = names;
    body->groups_names_count = 1;
    ask_send(w, &ask, 42, 2, body);
    fixture_until(&w->f, ask.answer);
    const struct delete_groups_response *answer = ask.answer;
    assert_int_equal(answer->results->error_code, KAFKA_NONE);
    ask_end(&ask);
    assert_null(world_group(w, "g"));
    world_crash(w);
    world_start(w);
    assert_null(world_group(w, "g"));
    tear_down(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit__is_there_after_a_power_cut),
        cmocka_unit_test(test_member__g45_goes_on_within_a_heartbeat_after_a_power_cut),
        cmocka_unit_test(test_leader__is_the_same_after_a_power_cut),
        cmocka_unit_test(test_commit__larger_than_a_batch_may_be_is_refused),
        cmocka_unit_test(test_member__silent_after_a_restart_is_out_after_its_session),
        cmocka_unit_test(test_load__answers_that_it_is_in_progress),
        cmocka_unit_test(test_expiry__g49_counts_from_when_the_group_became_empty),
        cmocka_unit_test(test_expiry__g49_of_a_simple_consumer_counts_from_each_commit),
        cmocka_unit_test(test_expiry__g49_topic_that_no_member_reads_any_more),
        cmocka_unit_test(test_expiry__g49_commit_under_way_is_not_lost),
        cmocka_unit_test(test_expiry__time_that_the_client_asked_for),
        cmocka_unit_test(test_topic_deletion__g62_drops_offsets_for_good),
        cmocka_unit_test(test_topic_deletion__g62_and_a_crash_before_the_tombstones),
        cmocka_unit_test(test_memory__new_offsets_are_refused_and_known_ones_go_on),
        cmocka_unit_test(test_memory__is_given_back),
        cmocka_unit_test(test_groups__as_many_as_fit_into_the_memory),
        cmocka_unit_test(test_groups__one_that_holds_nothing_makes_room),
        cmocka_unit_test(test_refused__leaves_no_group),
        cmocka_unit_test(test_failed_log__is_answered_from_memory_and_makes_no_group),
        cmocka_unit_test(test_group__that_nobody_joined_is_there_after_a_power_cut),
        cmocka_unit_test(test_tombstones__more_than_one_batch_can_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
