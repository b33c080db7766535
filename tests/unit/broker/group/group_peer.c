#include "group_peer.h"

static void on_persist(struct group *group, uint64_t ticket) {
    struct solo *solo = group->owner;
    solo->persists++;
    if (ticket) {
        solo->ticket = ticket;
    }
    assert_true(group->generation >= solo->persisted_generation);
    solo->persisted_generation = group->generation;
}
static const struct group_hooks hooks = {on_persist, NULL};

void solo_init(struct solo *solo) {
    memset(solo, 0, sizeof *solo);
    clock_manual_init(&solo->clock, 1000 * NS_PER_SEC);
    random_seeded_init(&solo->random, 7);
    assert_int_equal(loop_new_simulated(&solo->clock.clock, &solo->loop), 0);
    solo->limits = GROUP_LIMITS_DEFAULT;
    solo->budget.max_bytes = 1 << 20;
    assert_int_equal(group_new(solo->loop, &solo->random.random, &solo->limits, &solo->budget,
                               &hooks, solo, SPAN_LITERAL("g"), &solo->group),
                     0);
}

void solo_deinit(struct solo *solo) {
    group_free(solo->group);
    assert_int_equal(solo->budget.used_bytes, 0);
    loop_free(solo->loop);
}

void solo_pass_ms(struct solo *solo, int64_t ms) {
    while (ms > 0) { /* in small steps, so that a timer that starts another does so in time */
        int64_t step_ms = MIN(ms, (int64_t)10);
        clock_manual_advance(&solo->clock, step_ms * NS_PER_MS);
        while (loop_step(solo->loop)) {
        }
        ms -= step_ms;
    }
}

void solo_persisted(struct solo *solo) {
    group_persisted(solo->group, solo->ticket, 0);
}

static void on_answer(struct group_call *call, enum kafka_error error) {
    struct peer *peer = container_of(call, struct peer, call);
    assert_true(peer->parked); /* exactly one answer to each request */
    assert_null(call->parked_at);
    peer->parked = false;
    peer->answered = true;
    peer->answers++;
    peer->error = error;
    if (call->member_id[0]) {
        snprintf(peer->member_id, sizeof peer->member_id, "%s", call->member_id);
    }
    if (error == KAFKA_NONE) {
        assert_true(call->member->group->generation >= peer->generation);
        peer->generation = call->member->group->generation;
        peer->leads = group_member_leads(call->member);
    }
}

void peer_join(struct solo *solo, struct peer *peer) {
    const char *metadata = peer->metadata ? peer->metadata : "m";
    struct group_protocol protocol = {SPAN_LITERAL("range"), span_text(metadata)};
    struct group_join join = {
        .member_id = span_text(peer->member_id),
        .instance_id = span_text(peer->instance_id),
        .client_id = SPAN_LITERAL("client"),
        .client_host = SPAN_LITERAL("/127.0.0.1"),
        .protocol_type = SPAN_LITERAL("consumer"),
        .session_timeout_ms = peer->session_ms ? peer->session_ms : 10000,
        .rebalance_timeout_ms = peer->rebalance_ms ? peer->rebalance_ms : 30000,
        .require_member_id = peer->require_id,
        .protocols = &protocol,
        .protocol_count = 1,
    };
    peer->parked = true;
    peer->answered = false;
    peer->call.answer = on_answer;
    group_handle_join(solo->group, &join, &peer->call);
}

void peer_sync(struct solo *solo, struct peer *peer) {
    struct group_sync sync = {.member_id = span_text(peer->member_id),
                              .instance_id = span_text(peer->instance_id),
                              .generation = peer->generation};
    peer->parked = true;
    peer->answered = false;
    peer->call.answer = on_answer;
    group_handle_sync(solo->group, &sync, &peer->call);
}

enum kafka_error peer_heartbeat(struct solo *solo, const struct peer *peer) {
    return group_handle_heartbeat(solo->group, span_text(peer->member_id),
                                  span_text(peer->instance_id), peer->generation);
}

void peer_stable(struct solo *solo, struct peer *peer) {
    peer_join(solo, peer);
    assert_true(peer->answered && peer->error == KAFKA_NONE && peer->leads);
    peer_sync(solo, peer);
    solo_persisted(solo);
    assert_true(peer->answered && peer->error == KAFKA_NONE);
    assert_int_equal(solo->group->state, GROUP_STABLE);
}
