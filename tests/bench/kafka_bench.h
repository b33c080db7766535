/* What the two halves of the measuring client share: kafka_bench.c (librdkafka), kafka_raw.c (a
 * socket). */
#pragma once

#include <stddef.h>
#include <stdint.h>

double now_s(void);
_Noreturn void die(const char *what, const char *why);
void fill_random(char *out, size_t size);

/* One Produce request after the other on one connection, each with one batch for one partition, in
 * turns. */
struct raw_load {
    const char *bootstrap, *topic;
    long count;   /* requests */
    long depth;   /* requests in flight */
    long records; /* of a batch */
    size_t size;  /* of a record */
    long partitions;
};
int run_raw(const struct raw_load *load);
/** run_first_answer() - ask until one record is acknowledged; the driver takes the time */
int run_first_answer(const char *bootstrap, const char *topic, long seconds);
