/*
 * The scrub: rot in closed segments is found before anyone asks for what it hit.
 *
 * Readers check what comes from the disk for them, but most of a log is read by nobody for weeks.
 * So in each interval (limits.scrub_interval_ms) a round reads every closed segment, one that is
 * wholly written and has another behind it, in the order of topic number, partition and base
 * offset. Each batch is held against its checksum and, for what that does not cover, against what
 * the log has given out (batch_order.h). Segments that are closed behind the round's back are the
 * next round's.
 *
 * A round is a chain of steps of at most SCRUB_BUFFER_BYTES, each a job of the log readers, and
 * between two of them so much time passes as the bound on bytes a second asks for. There is one
 * buffer, whatever the size of batches: checksums are taken piece by piece. What a step has brought
 * into the page cache it takes out again. What was there before, it checks there and leaves there:
 * that is what readers get; the disk's copy has its turn in a later round.
 *
 * Damage: the bytes are read a second time, and the next right batch behind them is looked for
 * (segment_resync.h). At the segment's end the offsets between that no other right batch of it has,
 * out of its order, are set aside for this run of the log (rot.h): reads of them get
 * BROKER_E_CORRUPT at once, what is around them stays readable, and no second line tells of them.
 * The mark itself is not written down. The bytes are what lasts, reads check them by themselves,
 * and the first round of a later run that passes them tells of them anew. Nor is it a range that a
 * start found lost (batch_order.h), which a batch may follow without a neighbour: of rot one may
 * claim just that. Where a later round finds a whole range right, since somebody has put the file
 * in order, the mark goes.
 *
 * What a disk refuses to read is told and counted; the round goes on with the next segment, and no
 * mark is left, since another try may succeed.
 *
 * Retention, deletion and compaction do not wait for the scrub. It holds a descriptor and looks
 * after each step whether its segment is still the one that the log names; if not, what the step
 * found does not count.
 *
 * Where a round is stands in the file `scrub` (scrub_place.c), at most once a minute and at a stop,
 * so that a server which is restarted daily comes to the end of a round as well. The file is a
 * hint: missing, damaged, of another log or of a newer version, a round begins anew.
 */
#pragma once

#include "record_batch.h"
#include "segment/batch_order.h"
#include "segment/segment.h"

#include <eventbox/base/uuid.h>
#include <eventbox/loop/disk.h>

struct topic_log;

enum {
    SCRUB_BUFFER_BYTES = 256 << 10,
    SCRUB_FIRST_MS = 300000, /* after a start, or the interval where that is less */
};

/* ---- one segment: scrub_walk.c ---- */

struct scrub_walk {
    struct disk_file *file; /* NULL: not yet open */
    uint8_t *buffer;        /* SCRUB_BUFFER_BYTES */
    uint64_t position, end; /* the next byte to look at; bytes of the .log that count */
    int64_t base_offset, next_base;
    int64_t expected;   /* the next batch begins here */
    int64_t solid_from; /* from here up to @expected every offset is in a right batch */
    /* The batch under way. */
    bool in_batch;
    struct record_batch batch;
    uint64_t batch_at, batch_left;
    uint32_t crc;
    bool lost; /* behind @expected comes damage; a right batch is looked for at @position */
    uint64_t lost_at;
    bool found; /* @best, and up to @look_to it is looked for one that belongs before it */
    struct segment_cursor best;
    uint64_t look_to;
    unsigned doubts; /* how often damage was none when looked at again */
    /* What was not met where it belongs; right batches with such offsets are looked for from the
     * front on once the rest is done, since blocks in each other's place lead past good ones. */
    struct offset_range *losses;
    uint32_t loss_count;
    bool strays;
};

/* What one step came to. */
struct scrub_step {
    uint64_t bytes; /* read */
    bool ended;     /* the walk's losses are what no right batch of the segment has */
};

/** scrub_walk_begin() - a segment's first @end bytes; file and buffer are the caller's */
void scrub_walk_begin(struct scrub_walk *walk, int64_t base_offset, int64_t next_base,
                      uint64_t end);
/** scrub_walk_end() - frees what it has found; file and buffer stay the caller's */
void scrub_walk_end(struct scrub_walk *walk);
/**
 * scrub_walk_step() - the next bytes of it
 * Thread: log reader. Return: 0; negative: the disk refuses, or memory lacks.
 */
int scrub_walk_step(struct scrub_walk *walk, const struct batch_order *order,
                    struct scrub_step *ret_step);

/* ---- where a round is: scrub_place.c ---- */

struct scrub_place {
    uint32_t topic; /* what comes next: the first closed segment at or behind this */
    int32_t partition;
    int64_t base_offset;
    bool under_way;
    int64_t began_ms, ended_ms; /* the newest round; the newest one that came to its end. 0: none */
};
int scrub_place_write(struct disk *disk, const struct uuid *journal,
                      const struct scrub_place *place);
/** scrub_place_read() - zeros where nothing usable is there */
void scrub_place_read(struct disk *disk, const struct uuid *journal, struct scrub_place *ret_place);

/* ---- rounds: scrub.c ---- */

/** scrub_start() - the log is ready; nothing happens where the interval is 0 */
void scrub_start(struct topic_log *log);
/** scrub_stop() - no more steps. What is under way calls log_stop_continue() when it is done */
void scrub_stop(struct topic_log *log);
bool scrub_busy(const struct topic_log *log);
void scrub_free(struct topic_log *log);
