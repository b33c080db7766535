/* The group state machine on a simulated loop: barriers, votes, fencing, sessions
 * (G40 to G47). */
#include "group.h"

#include <eventbox/base/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct clock_manual clock;
    struct random_seeded random;
    struct loop *loop;
    struct group_limits limits;
    struct group_budget budget;
    struct group *group;
    uint64_t ticket; /* of the last persist with somebody waiting */
    unsigned persists;
};

static void on_persist(struct group *group, uint64_t ticket) {
    struct world *world = group->owner;
    world->persists++;
    if (ticket) {
        world->ticket = ticket;
    }
}
static const struct group_hooks hooks = {on_persist, NULL};

static void world_init(struct world *world) {
    memset(world, 0, sizeof *world);
    clock_manual_init(&world->clock, 1000 * NS_PER_SEC);
    random_seeded_init(&world->random, 7);
    assert_int_equal(loop_new_simulated(&world->clock.clock, &world->loop), 0);
    world->limits = GROUP_LIMITS_DEFAULT;
    world->budget.max_bytes = 1 << 20;
    assert_int_equal(group_new(world->loop, &world->random.random, &world->limits, &world->budget,
                               &hooks, world, SPAN_LITERAL("g"), &world->group),
                     0);
}
static void world_deinit(struct world *world) {
    group_free(world->group);
    loop_free(world->loop);
}
static void pass_ms(struct world *world, int64_t ms) {
    clock_manual_advance(&world->clock, ms * NS_PER_MS);
    while (loop_step(world->loop)) {
    }
}

/* A client's request and its answer. */
struct peer {
    struct group_call call;
    bool answered;
    enum kafka_error error;
    char member_id[100];
    int32_t generation;
    bool leads;
};
static void on_answer(struct group_call *call, enum kafka_error error) {
    struct peer *peer = container_of(call, struct peer, call);
    assert_false(peer->answered);
    peer->answered = true;
    peer->error = error;
    if (call->member_id[0]) {
        snprintf(peer->member_id, sizeof peer->member_id, "%s", call->member_id);
    }
    if (error == KAFKA_NONE) {
        peer->generation = call->member->group->generation;
        peer->leads = group_member_leads(call->member);
    }
}

static void join_with(struct world *world, struct peer *peer, const char *instance,
                      const char *first, const char *second, const char *metadata,
                      bool require_id) {
    struct group_protocol protocols[2] = {{span_text(first), span_text(metadata)},
                                          {span_text(second), span_text(metadata)}};
    struct group_join join = {
        .member_id = span_text(peer->member_id),
        .instance_id = span_text(instance),
        .client_id = SPAN_LITERAL("client"),
        .client_host = SPAN_LITERAL("/127.0.0.1"),
        .protocol_type = SPAN_LITERAL("consumer"),
        .session_timeout_ms = 10000,
        .rebalance_timeout_ms = 30000,
        .require_member_id = require_id,
        .protocols = protocols,
        .protocol_count = second ? 2 : 1,
    };
    peer->answered = false;
    peer->call.answer = on_answer;
    group_handle_join(world->group, &join, &peer->call);
}
static void join(struct world *world, struct peer *peer) {
    join_with(world, peer, NULL, "range", NULL, "m", false);
}
static void sync_as(struct world *world, struct peer *peer,
                    const struct group_assignment *assignments, size_t count) {
    struct group_sync sync = {.member_id = span_text(peer->member_id),
                              .generation = peer->generation,
                              .assignments = assignments,
                              .assignment_count = count};
    peer->answered = false;
    peer->call.answer = on_answer;
    group_handle_sync(world->group, &sync, &peer->call);
}
static enum kafka_error heartbeat(struct world *world, const struct peer *peer) {
    return group_handle_heartbeat(world->group, span_text(peer->member_id), SPAN_NULL,
                                  peer->generation);
}
static void make_stable(struct world *world, struct peer *leader) {
    join(world, leader);
    assert_true(leader->answered && leader->error == KAFKA_NONE && leader->leads);
    sync_as(world, leader, NULL, 0);
    group_persisted(world->group, world->ticket, 0);
    assert_true(leader->answered);
    assert_int_equal(world->group->state, GROUP_STABLE);
}

static void test_join__requires_member_id_first(void **state) {
    struct world world;
    struct peer peer = {0};
    world_init(&world);
    join_with(&world, &peer, NULL, "range", NULL, "m", true);
    assert_int_equal(peer.error, KAFKA_MEMBER_ID_REQUIRED);
    assert_true(strncmp(peer.member_id, "client-", 7) == 0);
    assert_int_equal(world.group->member_count, 0);
    join_with(&world, &peer, NULL, "range", NULL, "m", true);
    assert_int_equal(peer.error, KAFKA_NONE);
    assert_int_equal(peer.generation, 1);
    world_deinit(&world);
}

static void test_join__unknown_member_id_is_refused(void **state) {
    struct world world;
    struct peer peer = {.member_id = "made-up"};
    world_init(&world);
    join(&world, &peer);
    assert_int_equal(peer.error, KAFKA_UNKNOWN_MEMBER_ID);
    world_deinit(&world);
}

static void test_join__waits_for_all_members(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    make_stable(&world, &a);
    join(&world, &b);
    assert_false(b.answered);
    assert_int_equal(heartbeat(&world, &a), KAFKA_REBALANCE_IN_PROGRESS);
    join(&world, &a);
    assert_true(a.answered && b.answered);
    assert_int_equal(a.generation, 2);
    assert_int_equal(b.generation, 2);
    assert_true(a.leads && !b.leads);
    world_deinit(&world);
}

static void test_join__barrier_ends_without_the_silent_member(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    make_stable(&world, &a);
    join(&world, &b);
    for (int i = 0; i < 4; i++) {
        pass_ms(&world, 9000);
        if (!b.answered) {
            heartbeat(&world, &a); /* alive, but never joins again */
        }
    }
    assert_true(b.answered);
    assert_int_equal(b.error, KAFKA_NONE);
    assert_true(b.leads);
    assert_int_equal(world.group->member_count, 1);
    assert_int_equal(heartbeat(&world, &a), KAFKA_UNKNOWN_MEMBER_ID);
    world_deinit(&world);
}

static void test_sync__answers_after_the_assignment_is_durable(void **state) {
    struct world world;
    struct peer a = {0};
    world_init(&world);
    join(&world, &a);
    struct group_assignment given = {span_text(a.member_id), SPAN_LITERAL("p0")};
    sync_as(&world, &a, &given, 1);
    assert_false(a.answered);
    assert_int_equal(world.group->state, GROUP_COMPLETING_REBALANCE);
    assert_int_equal(heartbeat(&world, &a), KAFKA_NONE); /* G42 */
    group_persisted(world.group, world.ticket, 0);
    assert_true(a.answered && a.error == KAFKA_NONE);
    assert_true(span_equal(group_member_assignment(a.call.member), SPAN_LITERAL("p0")));
    world_deinit(&world);
}

static void test_sync__failed_write_rebalances(void **state) {
    struct world world;
    struct peer a = {0};
    world_init(&world);
    join(&world, &a);
    sync_as(&world, &a, NULL, 0);
    group_persisted(world.group, world.ticket, TOPIC_E_FAILED);
    assert_true(a.answered);
    assert_int_equal(a.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(world.group->state, GROUP_PREPARING_REBALANCE);
    world_deinit(&world);
}

static void test_sync__late_write_of_an_old_generation_is_ignored(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    join(&world, &a);
    sync_as(&world, &a, NULL, 0);
    uint64_t old = world.ticket;
    join(&world, &b);
    assert_true(a.answered);
    assert_int_equal(a.error, KAFKA_REBALANCE_IN_PROGRESS);
    group_persisted(world.group, old, 0);
    assert_int_equal(world.group->state, GROUP_PREPARING_REBALANCE);
    world_deinit(&world);
}

static void test_generation__old_one_is_refused(void **state) {
    struct world world;
    struct peer a = {0};
    world_init(&world);
    make_stable(&world, &a);
    a.generation--;
    assert_int_equal(heartbeat(&world, &a), KAFKA_ILLEGAL_GENERATION);
    assert_int_equal(
        group_check_commit(world.group, span_text(a.member_id), SPAN_NULL, a.generation),
        KAFKA_ILLEGAL_GENERATION);
    world_deinit(&world);
}

static void test_session__silent_member_leaves_and_group_becomes_empty(void **state) {
    struct world world;
    struct peer a = {0};
    world_init(&world);
    make_stable(&world, &a);
    int32_t generation = world.group->generation;
    pass_ms(&world, 9000);
    assert_int_equal(heartbeat(&world, &a), KAFKA_NONE);
    pass_ms(&world, 9000);
    assert_int_equal(world.group->member_count, 1);
    pass_ms(&world, 1001);
    assert_int_equal(world.group->state, GROUP_EMPTY);
    assert_true(world.group->generation > generation);
    world_deinit(&world);
}

static void test_commit__rules_by_state(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    assert_int_equal(group_check_commit(world.group, SPAN_LITERAL(""), SPAN_NULL, -1), KAFKA_NONE);
    join(&world, &a);
    assert_int_equal(group_check_commit(world.group, span_text(a.member_id), SPAN_NULL, 1),
                     KAFKA_REBALANCE_IN_PROGRESS);
    sync_as(&world, &a, NULL, 0);
    group_persisted(world.group, world.ticket, 0);
    assert_int_equal(group_check_commit(world.group, SPAN_LITERAL(""), SPAN_NULL, -1),
                     KAFKA_UNKNOWN_MEMBER_ID);
    join(&world, &b); /* preparing: commit on revoke must work */
    assert_int_equal(group_check_commit(world.group, span_text(a.member_id), SPAN_NULL, 1),
                     KAFKA_NONE);
    world_deinit(&world);
}

static void test_protocol__vote_and_mismatch(void **state) {
    struct world world;
    struct peer a = {0}, b = {0}, c = {0};
    world_init(&world);
    join_with(&world, &a, NULL, "range", "sticky", "m", false);
    sync_as(&world, &a, NULL, 0);
    group_persisted(world.group, world.ticket, 0);
    join_with(&world, &b, NULL, "sticky", NULL, "m", false);
    join_with(&world, &a, NULL, "range", "sticky", "m", false);
    assert_string_equal(world.group->protocol, "sticky");
    join_with(&world, &c, NULL, "roundrobin", NULL, "m", false);
    assert_int_equal(c.error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    world_deinit(&world);
}

static void test_stable__follower_with_same_metadata_does_not_rebalance(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    make_stable(&world, &a);
    join(&world, &b);
    join(&world, &a);
    sync_as(&world, &a, NULL, 0);
    sync_as(&world, &b, NULL, 0);
    group_persisted(world.group, world.ticket, 0);
    join(&world, &b);
    assert_true(b.answered && b.generation == 2 && world.group->state == GROUP_STABLE);
    join_with(&world, &b, NULL, "range", NULL, "other",
              false); /* cooperative: owned partitions changed */
    assert_int_equal(world.group->state, GROUP_PREPARING_REBALANCE);
    world_deinit(&world);
}

static void test_static_member__replaces_and_fences(void **state) {
    struct world world;
    struct peer a = {0}, again = {0};
    world_init(&world);
    join_with(&world, &a, "i1", "range", NULL, "m", true);
    assert_int_equal(a.error, KAFKA_NONE); /* no MEMBER_ID_REQUIRED for static members */
    sync_as(&world, &a, NULL, 0);
    group_persisted(world.group, world.ticket, 0);
    join_with(&world, &again, "i1", "range", NULL, "m", true);
    assert_false(
        again.answered); /* the old id is fenced for good, so the new one must be durable */
    group_persisted(world.group, world.ticket, 0);
    assert_true(again.answered && again.error == KAFKA_NONE);
    assert_int_equal(again.generation, 1);
    assert_string_not_equal(again.member_id, a.member_id);
    assert_int_equal(
        group_handle_heartbeat(world.group, span_text(a.member_id), SPAN_LITERAL("i1"), 1),
        KAFKA_FENCED_INSTANCE_ID);
    assert_int_equal(
        group_handle_heartbeat(world.group, span_text(again.member_id), SPAN_LITERAL("i1"), 1),
        KAFKA_NONE);
    world_deinit(&world);
}

static void test_leave__last_member_empties_the_group(void **state) {
    struct world world;
    struct peer a = {0};
    world_init(&world);
    make_stable(&world, &a);
    assert_int_equal(group_handle_leave(world.group, span_text(a.member_id), SPAN_NULL),
                     KAFKA_NONE);
    assert_int_equal(world.group->state, GROUP_EMPTY);
    assert_int_equal(group_handle_leave(world.group, span_text(a.member_id), SPAN_NULL),
                     KAFKA_UNKNOWN_MEMBER_ID);
    world_deinit(&world);
}

static void test_session_timeout__bounds(void **state) {
    struct group_limits limits = GROUP_LIMITS_DEFAULT;
    struct group_join join = {.session_timeout_ms = 6000};
    assert_int_equal(group_join_check(&limits, &join), KAFKA_NONE);
    limits.session_min_ms = 6001;
    assert_int_equal(group_join_check(&limits, &join), KAFKA_INVALID_SESSION_TIMEOUT);
    limits.session_min_ms = 1;
    limits.session_max_ms = 5999;
    assert_int_equal(group_join_check(&limits, &join), KAFKA_INVALID_SESSION_TIMEOUT);
}

static void test_cancel__member_of_a_gone_peer_still_counts(void **state) {
    struct world world;
    struct peer a = {0}, b = {0};
    world_init(&world);
    make_stable(&world, &a);
    join(&world, &b);
    group_cancel_call(&b.call);
    join(&world, &a);
    assert_true(a.answered && !b.answered);
    assert_int_equal(world.group->member_count, 2);
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__requires_member_id_first),
        cmocka_unit_test(test_join__unknown_member_id_is_refused),
        cmocka_unit_test(test_join__waits_for_all_members),
        cmocka_unit_test(test_join__barrier_ends_without_the_silent_member),
        cmocka_unit_test(test_sync__answers_after_the_assignment_is_durable),
        cmocka_unit_test(test_sync__failed_write_rebalances),
        cmocka_unit_test(test_sync__late_write_of_an_old_generation_is_ignored),
        cmocka_unit_test(test_generation__old_one_is_refused),
        cmocka_unit_test(test_session__silent_member_leaves_and_group_becomes_empty),
        cmocka_unit_test(test_commit__rules_by_state),
        cmocka_unit_test(test_protocol__vote_and_mismatch),
        cmocka_unit_test(test_stable__follower_with_same_metadata_does_not_rebalance),
        cmocka_unit_test(test_static_member__replaces_and_fences),
        cmocka_unit_test(test_leave__last_member_empties_the_group),
        cmocka_unit_test(test_session_timeout__bounds),
        cmocka_unit_test(test_cancel__member_of_a_gone_peer_still_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
