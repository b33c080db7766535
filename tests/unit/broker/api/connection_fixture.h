/*
 * A server over real sockets on loopback, with a log in memory, and a client that writes its bytes
 * by hand. Heartbeat stands for a handler that parks its requests.
 */
#pragma once

#include "api_private.h"
#include "fake_log.h"
#include "kafka_messages.h"
#include "kafka_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

extern struct loop *loop;
extern struct topic_log *log_;
extern struct kafka_server *server;
extern struct kafka_server_config config;
extern char last_event[300];
extern enum kafka_server_event last_kind;
extern char last_peer[64];
extern struct kafka_request *parked[4];
extern unsigned parked_count, gone_count;
extern bool stopped;

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        for (int tries = 0; !(condition); tries++) {                                               \
            assert_true(tries < 20000);                                                            \
            if (!loop_step(loop)) {                                                                \
                usleep(100);                                                                       \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/** release() - answer a parked Heartbeat */
void release(struct kafka_request *request);
/** start() - a server with @config on a port of its own */
void start(void);
int setup(void **state);
int teardown(void **state);
/** dial() - a new connection, not blocking */
int dial(void);
/** send_all() - while the loop runs */
void send_all(int fd, const void *data, size_t size);
void put_request(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
                 const void *body);
/** send_text() - and end @text */
void send_text(int fd, struct text *text);
/** receive() - all of @size, or up to an end; what came */
size_t receive(int fd, uint8_t *out, size_t size);
/** receive_answer() - the bytes behind the length */
struct buf *receive_answer(int fd);
void expect_answer(int fd, int32_t correlation_id);
void expect_end(int fd);
void put_api_versions(struct text *out, int16_t version, int32_t correlation_id);
void put_heartbeat(struct text *out, int32_t correlation_id);
unsigned requests_in_flight(void);
struct kafka_server_stats stats_now(void);
void put_produce(struct text *out, int32_t correlation_id, const void *value, size_t size);
/** put_large_fetch() - @padding: bytes more, in topics to be forgotten, at which nobody looks */
void put_large_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms, size_t padding);
void put_fetch(struct text *out, int32_t correlation_id, int32_t max_wait_ms);
/** on_topic() - nobody waits for it */
void on_topic(struct topic_log_request *request, int status);
/** make_topic() - "t", of one partition */
void make_topic(void);
/** put_frame() - of a request whose body is encoded already */
void put_frame(struct text *out, int16_t key, int16_t version, int32_t correlation_id,
               bool flexible, struct span body);
void on_stopped(void *userdata);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
