/*
 * A coordinator over a real topic log on the simulated disk, called without connections: requests
 * are structs, answers are read as the handlers made them. world_crash() starts everything again on
 * what the disk has.
 */
#pragma once

#include "coordinator_private.h"
#include "kafka_messages.h"
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct world {
    struct fixture f;
    struct coordinator_config config; /* loop and log are filled in */
    struct coordinator *coordinator;
    char topics[4][20];
    unsigned topic_count;
};

void world_init(struct world *w);
/** world_start() - after world_init() or world_crash(); groups are loaded at its end */
void world_start(struct world *w);
/** world_start_loading() - the same, but the load has only begun */
void world_start_loading(struct world *w);
void world_crash(struct world *w);
void world_deinit(struct world *w);
/** world_quiet() - until no write of a group is under way */
void world_quiet(struct world *w);
/** world_pass() - the clock goes on, and everything that is due happens */
void world_pass(struct world *w, int64_t ms);
void world_topic(struct world *w, const char *name);
void world_delete_topic(struct world *w, const char *name, bool tell_coordinator);

/* One request; embed it where it lives until world_end(). */
struct ask {
    struct kafka_request request;
    struct arena arena;
    const void *answer; /* NULL: not answered yet */
    bool closed;
};
/** ask_new() - @body comes from KAFKA_NEW(&ask->arena, ...) */
void ask_init(struct ask *ask);
void ask_send(struct world *w, struct ask *ask, int16_t key, int16_t version, const void *body);
void ask_end(struct ask *ask);

/* Whole requests with one answer each. They wait for it. */
int16_t world_commit(struct world *w, const char *group, const char *topic, int64_t offset);
int16_t world_commit_as(struct world *w, const char *group, const char *member, int32_t generation,
                        const char *topic, int64_t offset);
int64_t world_fetch(struct world *w, const char *group, const char *topic); /* -1: none */
int16_t world_heartbeat(struct world *w, const char *group, const char *member, int32_t generation);
/** world_join() - join and sync: the only member of a Stable group; its id is left in @member */
void world_join(struct world *w, const char *group, const char *instance, struct span metadata,
                char member[100]);
int16_t world_leave(struct world *w, const char *group, const char *member);
const struct group *world_group(struct world *w, const char *group); /* NULL: unknown */
