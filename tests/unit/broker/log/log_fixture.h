/*
 * A topic log in simulation: one thread, a manual clock, seeded workers, a simulated disk. Steps
 * run until a condition holds; crash() ends the process or the power and starts again on what is
 * left.
 */
#pragma once

#include "inspect/inspect.h"
#include "log_private.h"

#include <assert.h>
#include <eventbox/loop/disk_sim.h>
#include <eventbox/loop/op.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    uint64_t first_seed;
    uint64_t seed;
    struct clock_manual clock;
    struct random_seeded random;
    struct loop *loop;
    struct work_port *work;
    struct disk *disk;
    struct topic_log_limits limits;
    struct topic_log *log;
    int start_status;
    unsigned started_count; /* of the last start: more than one would be a fault */
    bool started, stopped;
    unsigned events[TOPIC_LOG_HELD + 1];
    char last_event[400], last_damage[400];
    char all_damage[4000];  /* a line each, as many as there is room for */
    unsigned scrub_refused; /* what the scrub told of a disk that was to fail; not in @events */
    bool verbose, expect_failures, real_disk;
};

void fixture_init(struct fixture *f, uint64_t seed);
/** fixture_use_real_disk() - @root in place of the simulated disk, before the start: no power cuts
 */
void fixture_use_real_disk(struct fixture *f, const char *root);
/** fixture_open() - loop, workers and log over the disk; fixture_start() waits for recovery too */
void fixture_open(struct fixture *f);
int fixture_start(struct fixture *f);
/** fixture_step() - one step of loop or workers; moves the clock when nothing else is to do */
void fixture_step(struct fixture *f);
void fixture_run_ms(struct fixture *f, int64_t ms);
void fixture_stop(struct fixture *f); /* cleanly; keeps the disk */
/** fixture_crash() - drop everything in memory; the disk goes on as after a kill or a power cut */
void fixture_crash(struct fixture *f, bool power_cut);
/** fixture_abandon() - drop everything in memory, as a kill does */
void fixture_abandon(struct fixture *f);
void fixture_deinit(struct fixture *f);

/** fixture_limit_room() - the simulated disk is full but for @bytes; disk_sim_limit() lifts it */
void fixture_limit_room(struct fixture *f, uint64_t bytes);

#define fixture_until(f, condition)                                                                \
    do {                                                                                           \
        unsigned steps_ = 0;                                                                       \
        while (!(condition)) {                                                                     \
            fixture_step(f);                                                                       \
            if (++steps_ > 2000000) {                                                              \
                fprintf(stderr, "%s:%d: seed %llu: never: %s\n", __FILE__, __LINE__,               \
                        (unsigned long long)(f)->first_seed, #condition);                          \
                abort();                                                                           \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* One append of one batch. */
struct one {
    struct append append;
    struct append_part part;
    struct buf *buf;
    bool done;
    int status;
};
struct batch_spec {
    unsigned records;
    size_t value_bytes;
    uint64_t tag; /* begins each value, so that batches differ */
    int64_t timestamp_ms;
    int64_t producer_id; /* below 0: none */
    int16_t epoch;
    int32_t sequence;
    unsigned keys;   /* of so many, by tag; 0: records without key */
    bool tombstones; /* a part of the records of each key has no value */
};
static inline bool fixture_is_tombstone(const struct batch_spec *spec, uint64_t tag) {
    return spec->tombstones && tag / spec->keys % 3 == 0;
}
struct buf *fixture_batch(const struct batch_spec *spec);
/** one_start() - append; frees itself never: one_free() after done */
int one_start(struct fixture *f, struct one *one, struct partition *partition,
              const struct batch_spec *spec);
int one_start_as(struct fixture *f, struct one *one, enum append_class class,
                 struct partition *partition, const struct batch_spec *spec);
void one_free(struct one *one);
/** fixture_append() - append and wait; the offset, or the negated error */
int64_t fixture_append(struct fixture *f, struct partition *partition,
                       const struct batch_spec *spec);
/** fixture_append_buf() - the same of a batch as it is; takes over the reference */
int64_t fixture_append_buf(struct fixture *f, struct partition *partition, struct buf *buf);

struct topic *fixture_topic(struct fixture *f, const char *name, int32_t partitions,
                            const struct topic_config_entry *configs);
int fixture_delete(struct fixture *f, struct topic *topic);
int fixture_add_partitions(struct fixture *f, struct topic *topic, int32_t count);
int fixture_delete_records(struct fixture *f, struct partition *partition, int64_t offset);
struct partition *fixture_partition(struct fixture *f, const char *name, int32_t index);
/** fixture_verify() - log verify over the disk as it is now; its events are told to nobody */
void fixture_verify(struct fixture *f,
                    void (*on_finding)(void *userdata, const struct log_finding *finding),
                    void *userdata);
/** fixture_findings() - how many of @level or worse it has */
unsigned fixture_findings(struct fixture *f, enum finding_level level);
/** fixture_lookup_all() - partition_lookup() and wait; its status, and all that it tells */
int fixture_lookup_all(struct fixture *f, struct partition *partition, int64_t timestamp_ms,
                       struct partition_lookup *ret_lookup);
/** fixture_lookup() - the offset of partition_lookup(), or the negated error; -1: none */
int64_t fixture_lookup(struct fixture *f, struct partition *partition, int64_t timestamp_ms);
/** fixture_has_file() - of a segment */
bool fixture_has_file(struct fixture *f, uint32_t topic, int32_t partition, int64_t base_offset,
                      enum segment_kind kind);
/** fixture_segment_path() - of a .log of partition 0 of "t" */
void fixture_segment_path(struct fixture *f, int64_t base_offset, char path[SEGMENT_NAME_SIZE]);
/** fixture_find_batch() - where the @index-th batch of the .log at @path begins */
uint64_t fixture_find_batch(struct fixture *f, const char *path, unsigned index);
/** fixture_forget_memory() - of batches that are in their segments */
void fixture_forget_memory(struct fixture *f);
/** fixture_put_byte() - another byte in a file of the first segment of topic 1; what was there */
uint8_t fixture_put_byte(struct fixture *f, enum segment_kind kind, uint64_t at, uint8_t byte);
/** fixture_flip() - another bit in it; the byte that was there */
uint8_t fixture_flip(struct fixture *f, enum segment_kind kind, uint64_t at, unsigned bit);

/** fixture_read() - whole batches at @offset into new memory; bytes, or the negated error */
ssize_t fixture_read(struct fixture *f, struct partition *partition, int64_t offset, size_t max,
                     uint8_t **ret_data);
