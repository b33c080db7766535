/* A group alone on a simulated loop, and clients of it: for tests of the state machine. */
#pragma once

#include "group.h"

#include <eventbox/base/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct solo {
    struct clock_manual clock;
    struct random_seeded random;
    struct loop *loop;
    struct group_limits limits;
    struct group_budget budget;
    struct group *group;
    uint64_t ticket; /* of the last persist with somebody waiting */
    unsigned persists;
    int32_t persisted_generation; /* the highest that was to be made durable */
};

void solo_init(struct solo *solo);
void solo_deinit(struct solo *solo);
void solo_pass_ms(struct solo *solo, int64_t ms);
/** solo_persisted() - the last write is durable */
void solo_persisted(struct solo *solo);

/* A client's request and its answer. */
struct peer {
    struct group_call call;
    const char *instance_id;
    const char *metadata; /* "m" when NULL */
    int32_t session_ms, rebalance_ms;
    bool parked, answered, require_id;
    enum kafka_error error;
    char member_id[100];
    int32_t generation;
    bool leads;
    unsigned answers;
};
void peer_join(struct solo *solo, struct peer *peer);
void peer_sync(struct solo *solo, struct peer *peer);
enum kafka_error peer_heartbeat(struct solo *solo, const struct peer *peer);
/** peer_stable() - @peer is the only member of a Stable group */
void peer_stable(struct solo *solo, struct peer *peer);
