/* A service with a few routes on a real loop, and a peer that speaks raw bytes to it over a socket
 * pair. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "exchange.h"

#include <eventbox/base/error.h>

struct rig {
    struct clock_manual clock;
    struct random_seeded random;
    struct loop *loop;
    struct http_server *server;
    struct http_limits limits;
    struct timer tick;
    bool stopped;
    struct http_request *parked[32]; /* requests that came to /parked */
    unsigned parked_count;
    struct http_op *operation; /* the last one of /operation */
    int cancels;               /* of operations */
    int answers;               /* on_answer calls */
    int last_status;
    int rejects;
    int last_reject;
};

struct peer {
    int fd;
    bool closed; /* the server has ended the connection */
    struct text in;
};

void rig_start(struct rig *rig, const struct http_limits *limits);
void rig_stop(struct rig *rig); /* also checks that nothing is left */
/** rig_settle() - turn the loop until nothing happens any more */
void rig_settle(struct rig *rig);

/** rig_advance() - turn the clock, run what is due */
void rig_advance(struct rig *rig, int64_t ms);

void peer_open(struct rig *rig, struct peer *peer);
void peer_close(struct rig *rig, struct peer *peer);
void peer_send(struct rig *rig, struct peer *peer, const void *data,
               size_t size); /* and settle, and receive */
void peer_send_str(struct rig *rig, struct peer *peer, const char *text);
void peer_receive(struct rig *rig, struct peer *peer);
/** peer_responses() - how many response heads have come */
unsigned peer_responses(const struct peer *peer);
/** peer_status() - status of the n-th response (from 0), 0 when there is none */
int peer_status(const struct peer *peer, unsigned n);
/** peer_has() - whether @text occurs in what has come */
bool peer_has(const struct peer *peer, const char *text);
/** peer_body() - what follows the first head; zero-terminated */
const char *peer_body(const struct peer *peer);
