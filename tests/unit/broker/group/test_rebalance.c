/* Barriers, timeouts, bounds and churn of one group with a clock that only the test moves
 * (G40, G41, G44 to G47). */
#include "group_peer.h"

/* ---- the first barrier (G41, KIP-134) ---- */

static void test_initial_delay__g41_grows_while_members_arrive(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {0};
    solo_init(&solo);
    solo.limits.initial_rebalance_delay_ms = 3000;
    peer_join(&solo, &a);
    solo_pass_ms(&solo, 2000);
    peer_join(&solo, &b);
    solo_pass_ms(&solo, 2000);
    assert_false(a.answered || b.answered); /* b has extended it */
    solo_pass_ms(&solo, 1999);
    assert_false(a.answered);
    solo_pass_ms(&solo, 1);
    assert_true(a.answered && b.answered);
    assert_int_equal(a.generation, 1);
    assert_int_equal(b.generation, 1);
    solo_deinit(&solo);
}

static void test_initial_delay__g41_ends_with_the_rebalance_timeout(void **state) {
    struct solo solo;
    struct peer peers[12] = {0};
    solo_init(&solo);
    solo.limits.initial_rebalance_delay_ms = 3000;
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        peers[i].rebalance_ms = 7000;
        if (!peers[0].answered) {
            peer_join(&solo, &peers[i]);
            solo_pass_ms(&solo, 1000);
        }
    }
    assert_true(peers[0].answered);
    assert_int_equal(solo.group->state, GROUP_COMPLETING_REBALANCE);
    assert_true(solo.group->member_count >= 7 && solo.group->member_count <= 10);
    solo_deinit(&solo);
}

/* ---- ids that were given out (G40, KIP-394) ---- */

static void test_pending__g40_flood_without_ids_is_bounded(void **state) {
    struct solo solo;
    solo_init(&solo);
    solo.limits.members_max = 10;
    unsigned required = 0, refused = 0;
    for (int i = 0; i < 1000; i++) {
        struct peer peer = {.require_id = true};
        peer_join(&solo, &peer);
        required += peer.error == KAFKA_MEMBER_ID_REQUIRED;
        refused += peer.error == KAFKA_GROUP_MAX_SIZE_REACHED;
    }
    assert_int_equal(required, 10);
    assert_int_equal(refused, 990);
    assert_int_equal(solo.group->pending_count, 10);
    solo_pass_ms(&solo, 10000); /* their sessions */
    assert_int_equal(solo.group->pending_count, 0);
    assert_int_equal(solo.budget.used_bytes, 0);
    solo_deinit(&solo);
}

static void test_pending__g40_barrier_waits_for_them_as_long_as_their_session(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {.require_id = true}, c = {0};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    assert_int_equal(b.error, KAFKA_MEMBER_ID_REQUIRED);
    peer_join(&solo, &c);
    peer_join(&solo, &a);
    assert_false(a.answered);
    solo_pass_ms(&solo, 9999);
    assert_false(a.answered);
    solo_pass_ms(&solo, 1);
    assert_true(a.answered && c.answered);
    peer_join(&solo, &b);
    assert_int_equal(b.error, KAFKA_UNKNOWN_MEMBER_ID);
    solo_deinit(&solo);
}

/* ---- who does not come, who does not sync ---- */

/* Time passes while one or two members send heartbeats, whatever they are told. */
static void pass_alive(struct solo *solo, int64_t ms, const struct peer *one,
                       const struct peer *two) {
    while (ms > 0) {
        (void)peer_heartbeat(solo, one);
        if (two) {
            (void)peer_heartbeat(solo, two);
        }
        solo_pass_ms(solo, MIN(ms, (int64_t)5000));
        ms -= MIN(ms, (int64_t)5000);
    }
}

static void test_new_member__is_let_go_after_five_minutes_without_an_answer(void **state) {
    struct solo solo;
    struct peer a = {.rebalance_ms = 900000}, b = {0};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    pass_alive(&solo, 299999, &a, NULL);
    assert_int_equal(peer_heartbeat(&solo, &a), KAFKA_REBALANCE_IN_PROGRESS);
    assert_false(b.answered);
    solo_pass_ms(&solo, 1);
    assert_true(b.answered);
    assert_int_equal(b.error, KAFKA_UNKNOWN_MEMBER_ID);
    solo_deinit(&solo);
}

static void test_sync__g44_leader_that_never_syncs_is_out_at_the_rebalance_timeout(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {0};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    peer_join(&solo, &a);
    assert_true(a.leads);
    peer_sync(&solo, &b);
    pass_alive(&solo, 29999, &a, NULL); /* alive, but idle */
    assert_int_equal(peer_heartbeat(&solo, &a), KAFKA_NONE);
    assert_false(b.answered);
    solo_pass_ms(&solo, 1);
    assert_int_equal(b.error, KAFKA_REBALANCE_IN_PROGRESS);
    assert_int_equal(peer_heartbeat(&solo, &a), KAFKA_UNKNOWN_MEMBER_ID);
    peer_join(&solo, &b);
    assert_true(b.answered && b.leads);
    solo_deinit(&solo);
}

static void test_sync__g44_follower_that_never_syncs_is_out_of_a_stable_group(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {.instance_id = "i"};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    peer_join(&solo, &a);
    peer_sync(&solo, &a);
    solo_persisted(&solo);
    assert_int_equal(solo.group->state, GROUP_STABLE);
    pass_alive(&solo, 29999, &a, &b);
    assert_int_equal(peer_heartbeat(&solo, &b), KAFKA_NONE);
    assert_int_equal(solo.group->member_count, 2);
    solo_pass_ms(&solo, 1);
    assert_int_equal(solo.group->member_count, 1);
    assert_int_equal(peer_heartbeat(&solo, &b), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(peer_heartbeat(&solo, &a), KAFKA_REBALANCE_IN_PROGRESS);
    solo_deinit(&solo);
}

static void test_static_member__g45_away_stays_until_its_session_ends(void **state) {
    struct solo solo;
    struct peer a = {.session_ms = 60000}, b = {.instance_id = "i", .session_ms = 600000};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    peer_join(&solo, &a);
    peer_sync(&solo, &b);
    peer_sync(&solo, &a);
    solo_persisted(&solo);
    peer_join(&solo, &a); /* the leader rebalances; b does not come */
    solo_pass_ms(&solo, 30000);
    assert_true(a.answered && a.error == KAFKA_NONE);
    assert_int_equal(solo.group->member_count, 2);
    solo_deinit(&solo);
}

static void test_static_member__g45_return_that_cannot_be_written_is_refused(void **state) {
    struct solo solo;
    struct peer a = {.instance_id = "i"}, b = {.instance_id = "i"};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    assert_false(b.answered);
    group_persisted(solo.group, solo.ticket, TOPIC_E_FAILED);
    assert_int_equal(b.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    peer_join(&solo, &b); /* and comes again */
    solo_persisted(&solo);
    assert_int_equal(b.error, KAFKA_NONE);
    assert_int_equal(peer_heartbeat(&solo, &b), KAFKA_NONE);
    assert_int_equal(solo.group->member_count, 1);
    solo_deinit(&solo);
}

static void test_static_member__g45_joins_the_rebalance_that_begins_meanwhile(void **state) {
    struct solo solo;
    struct peer a = {.instance_id = "i"}, again = {.instance_id = "i"}, b = {0}, c = {0};
    solo_init(&solo);
    peer_stable(&solo, &a);
    peer_join(&solo, &c);
    peer_join(&solo, &a);
    peer_sync(&solo, &a);
    peer_sync(&solo, &c);
    solo_persisted(&solo);
    peer_join(&solo, &again);
    uint64_t ticket = solo.ticket;
    peer_join(&solo, &b); /* before the new id is durable; the barrier waits for c */
    group_persisted(solo.group, ticket, 0);
    assert_false(again.answered); /* the old generation is of no use any more */
    peer_join(&solo, &c);
    assert_true(again.answered && b.answered && c.answered);
    assert_int_equal(again.generation, 3);
    assert_int_equal(b.generation, 3);
    solo_deinit(&solo);
}

static void test_sync__assignment_too_large_to_write_is_said_so(void **state) {
    struct solo solo;
    struct peer a = {0};
    solo_init(&solo);
    peer_join(&solo, &a);
    peer_sync(&solo, &a);
    group_persisted(solo.group, solo.ticket, TOPIC_E_TOO_LARGE);
    assert_int_equal(a.error, KAFKA_UNKNOWN_SERVER_ERROR);
    solo_deinit(&solo);
}

/* ---- bounds (KIP-389) ---- */

static void test_max_size__newcomers_are_refused_and_members_rejoin(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {0}, c = {0};
    solo_init(&solo);
    solo.limits.members_max = 2;
    peer_stable(&solo, &a);
    peer_join(&solo, &b);
    peer_join(&solo, &a);
    peer_join(&solo, &c);
    assert_int_equal(c.error, KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_string_equal(c.member_id, "");
    peer_join(&solo, &a);
    assert_int_equal(a.error, KAFKA_NONE);
    solo_deinit(&solo);
}

static void test_max_size__group_that_became_too_large_shrinks(void **state) {
    struct solo solo;
    struct peer peers[3] = {0};
    struct group_protocol protocol = {SPAN_LITERAL("range"), SPAN_LITERAL("m")};
    solo_init(&solo);
    for (int i = 0; i < 3; i++) {
        snprintf(peers[i].member_id, sizeof peers[i].member_id, "m%d", i);
        struct group_join join = {.member_id = span_text(peers[i].member_id),
                                  .protocol_type = SPAN_LITERAL("consumer"),
                                  .session_timeout_ms = 10000,
                                  .rebalance_timeout_ms = 30000,
                                  .protocols = &protocol,
                                  .protocol_count = 1};
        assert_non_null(group_restore_member(solo.group, &join, SPAN_LITERAL("p")));
    }
    solo.group->state = GROUP_STABLE;
    solo.group->protocol = strdup("range");
    solo.limits.members_max = 2;
    group_restored(solo.group);
    assert_int_equal(solo.group->state, GROUP_PREPARING_REBALANCE);
    for (int i = 0; i < 3; i++) {
        peer_join(&solo, &peers[i]);
    }
    assert_true(peers[0].answered && peers[0].error == KAFKA_NONE);
    assert_int_equal(peers[1].error, KAFKA_NONE);
    assert_int_equal(peers[2].error, KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_int_equal(solo.group->member_count, 2);
    solo_deinit(&solo);
}

static void test_memory__join_that_does_not_fit_is_refused_and_counted(void **state) {
    struct solo solo;
    struct peer a = {0}, b = {0};
    solo_init(&solo);
    peer_stable(&solo, &a);
    solo.budget.max_bytes = solo.budget.used_bytes;
    peer_join(&solo, &b);
    assert_int_equal(b.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_true(solo.budget.refused > 0);
    assert_int_equal(peer_heartbeat(&solo, &a), KAFKA_NONE);
    solo_deinit(&solo);
}

static void test_join_check__member_has_a_largest_size(void **state) {
    struct group_limits limits = GROUP_LIMITS_DEFAULT;
    struct group_protocol protocol = {SPAN_LITERAL("range"), span_of(NULL, 2000)};
    struct group_join join = {
        .session_timeout_ms = 10000, .protocols = &protocol, .protocol_count = 1};
    assert_int_equal(group_join_check(&limits, &join), KAFKA_NONE);
    limits.member_bytes_max = 2000;
    assert_int_equal(group_join_check(&limits, &join), KAFKA_GROUP_MAX_SIZE_REACHED);
}

static void test_five_hundred_members__one_generation(void **state) {
    struct solo solo;
    enum { COUNT = 500 };
    struct peer *peers = calloc(COUNT, sizeof *peers);
    solo_init(&solo);
    peer_stable(&solo, &peers[0]);
    for (int i = 1; i < COUNT; i++) {
        peer_join(&solo, &peers[i]);
    }
    peer_join(&solo, &peers[0]);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(peers[i].generation, 2);
        assert_int_equal(peers[i].leads, i == 0);
        peer_sync(&solo, &peers[i]);
    }
    solo_persisted(&solo);
    for (int i = 0; i < COUNT; i++) {
        assert_true(peers[i].answered && peers[i].error == KAFKA_NONE);
    }
    free(peers); /* answered: nothing of them is parked */
    solo_deinit(&solo);
}

/* ---- churn (G47) ---- */

static void check_invariants(struct solo *solo) {
    const struct group *group = solo->group;
    unsigned members = 0, awaiting = 0, owing = 0, statics = 0;
    bool leader_in_it = group->leader == NULL;
    list_for_each(link, &group->members) {
        struct group_member *member = list_entry(link, struct group_member, link);
        members++;
        awaiting += member->awaiting_join;
        owing += member->owes_sync;
        statics += member->instance_id != NULL;
        leader_in_it |= member == group->leader;
        assert_ptr_equal(group_member_find(solo->group, span_text(member->member_id)), member);
        assert_false(member->join_call && !member->awaiting_join);
        assert_false(member->sync_call && group->state != GROUP_COMPLETING_REBALANCE);
        assert_true(timer_running(&member->session));
    }
    assert_true(leader_in_it);
    assert_int_equal(group->member_count, members);
    assert_int_equal(group->members_by_id.count, members);
    assert_int_equal(group->members_by_instance.count, statics);
    assert_int_equal(group->awaiting_join_count, awaiting);
    assert_int_equal(group->owes_sync_count, owing);
    assert_true((members > 0) == (group->leader != NULL));
    assert_false(group->state == GROUP_EMPTY && members > 0);
    assert_false(group->state == GROUP_STABLE && members == 0);
    assert_false(group->state == GROUP_PREPARING_REBALANCE && !timer_running(&group->rebalance));
}

static void random_act(struct solo *solo, struct peer *peer) {
    struct random *random = &solo->random.random;
    switch (random_below(random, 9)) {
    case 0:
    case 1:
        if (!peer->parked) {
            peer->metadata = random_below(random, 4) ? "m" : "other";
            peer_join(solo, peer);
            if (peer->error == KAFKA_UNKNOWN_MEMBER_ID || peer->error == KAFKA_FENCED_INSTANCE_ID) {
                peer->member_id[0] = 0;
                peer->generation = 0;
            }
        }
        break;
    case 2:
    case 3:
        if (!peer->parked) {
            peer_sync(solo, peer);
        }
        break;
    case 4:
        if (!peer->parked) {
            (void)group_handle_leave(solo->group, span_text(peer->member_id),
                                     span_text(peer->instance_id));
            peer->member_id[0] = 0;
            peer->generation = 0;
        }
        break;
    case 5:
        (void)peer_heartbeat(solo, peer);
        break;
    case 6: /* the connection goes; the process begins anew */
        if (peer->parked) {
            group_cancel_call(&peer->call);
            peer->parked = false;
        }
        peer->member_id[0] = 0;
        peer->generation = 0;
        break;
    case 7:
        group_persisted(solo->group, solo->ticket, random_below(random, 5) == 0 ? TOPIC_E_FULL : 0);
        break;
    default:
        solo_pass_ms(solo, random_below(random, 4000));
        break;
    }
}

static void test_churn__g47_one_owner_keeps_the_group_whole(void **state) {
    struct solo solo;
    struct peer peers[12] = {0};
    static const char *const instances[] = {"i1", "i2", "i1"}; /* the third is an impostor */
    solo_init(&solo);
    solo.limits.initial_rebalance_delay_ms = 50;
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        peers[i].instance_id = i < ARRAY_SIZE(instances) ? instances[i] : NULL;
        peers[i].require_id = i % 2;
        peers[i].rebalance_ms = 2000 + (int32_t)i * 1000;
    }
    int32_t generation = 0;
    const char *count = getenv("EVENTBOX_CHURN");
    for (long i = 0; i < (count ? atol(count) : 20000); i++) {
        random_act(&solo, &peers[random_below(&solo.random.random, ARRAY_SIZE(peers))]);
        check_invariants(&solo);
        assert_true(solo.group->generation >= generation);
        generation = solo.group->generation;
    }
    assert_true(generation > 100);
    solo_deinit(&solo); /* answers who is parked */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initial_delay__g41_grows_while_members_arrive),
        cmocka_unit_test(test_initial_delay__g41_ends_with_the_rebalance_timeout),
        cmocka_unit_test(test_pending__g40_flood_without_ids_is_bounded),
        cmocka_unit_test(test_pending__g40_barrier_waits_for_them_as_long_as_their_session),
        cmocka_unit_test(test_new_member__is_let_go_after_five_minutes_without_an_answer),
        cmocka_unit_test(test_sync__g44_leader_that_never_syncs_is_out_at_the_rebalance_timeout),
        cmocka_unit_test(test_sync__g44_follower_that_never_syncs_is_out_of_a_stable_group),
        cmocka_unit_test(test_static_member__g45_away_stays_until_its_session_ends),
        cmocka_unit_test(test_static_member__g45_return_that_cannot_be_written_is_refused),
        cmocka_unit_test(test_static_member__g45_joins_the_rebalance_that_begins_meanwhile),
        cmocka_unit_test(test_sync__assignment_too_large_to_write_is_said_so),
        cmocka_unit_test(test_max_size__newcomers_are_refused_and_members_rejoin),
        cmocka_unit_test(test_max_size__group_that_became_too_large_shrinks),
        cmocka_unit_test(test_memory__join_that_does_not_fit_is_refused_and_counted),
        cmocka_unit_test(test_join_check__member_has_a_largest_size),
        cmocka_unit_test(test_five_hundred_members__one_generation),
        cmocka_unit_test(test_churn__g47_one_owner_keeps_the_group_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
