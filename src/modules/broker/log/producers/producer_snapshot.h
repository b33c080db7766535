/*
 * Snapshots of producer state: what a partition knew of its idempotent producers (producer_state.h)
 * when its log ended at one offset. <offset in 20 digits>.snapshot, in the partition's folder.
 *
 * They are hints for the one start that has no valid checkpoint (rebuild.c). That start reads every
 * batch of every segment anyhow and could find the windows by itself, but not those of producers
 * whose batches retention or compaction has taken, and not when a producer was last heard of. So
 * where its reading passes the offset of a snapshot, the snapshot becomes the state, and only the
 * batches behind it are added. One that is torn, of a newer format, about another place, or at odds
 * with the batches just read is told and passed over; the reading stands in for it.
 *
 * A partition with producers writes one when a segment rolls, at the base offset of the new one,
 * and at a clean stop, at the log end. The loop encodes it at that very moment, while the windows
 * stand exactly there; the segment writer's thread writes it once every batch before the offset is
 * in its segment file. Nobody syncs it: a power cut may leave it short, and then its checksum says
 * so. The newest two stay; those at or before a segment that is removed go with it.
 *
 * Little-endian:
 *
 *   header, 48 bytes      0 u32 magic "EBPS"   4 u16 version   6 u16 zero   8 u32 topic number
 *                        12 i32 partition     16 i64 offset   24 u64 body bytes
 *                        32 u32 CRC of the body               36 u32 zero    40 u32 zero
 *                        44 u32 CRC of bytes 0..43
 *   body                 u32 producers, each i64 id, i64 last used, u8 batches, each i16 epoch,
 *                        i32 first sequence, i32 last sequence, i64 base offset,
 *                        i32 last offset delta: as in a checkpoint
 */
#pragma once

#include "fields.h"
#include "log_private.h"

enum {
    PRODUCER_SNAPSHOT_MAGIC = 0x53504245, /* "EBPS" */
    PRODUCER_SNAPSHOT_VERSION = 1,
    PRODUCER_SNAPSHOT_HEADER_BYTES = 48,
    PRODUCER_SNAPSHOTS_KEPT = 2,
};

/* ---- producer_snapshot.c: the files. Any thread. ---- */

/**
 * producers_encode() - the windows of @producers as of @end, as a checkpoint holds them too;
 * accepts NULL. Return: how many have batches below @end
 */
int producers_encode(const struct producers *producers, int64_t end, struct text *out);
/** producers_decode() - what producers_encode() has written. Return: 0; BROKER_E_CORRUPT; -ENOMEM
 */
int producers_decode(struct fields *in, int64_t end, struct producer_limit *limit,
                     struct producers **producers);
/**
 * producer_snapshot_encode() - the whole file
 * @at: topic, partition, and as base offset the offset that the snapshot stands for
 * Return: producers in it; -ENOMEM
 */
int producer_snapshot_encode(const struct producers *producers, const struct segment_id *at,
                             struct text *out);
/** producer_snapshot_write() - the file, unsynced; then only the newest two up to it are left */
int producer_snapshot_write(struct disk *disk, const struct segment_id *at, struct span bytes);
/**
 * producer_snapshot_read() - NULL for one without producers
 * Return: 0; BROKER_E_CORRUPT; BROKER_E_NEWER; DISK_E_NOT_FOUND; negative.
 */
int producer_snapshot_read(struct disk *disk, const struct segment_id *at,
                           struct producers **ret_producers);
/** producer_snapshot_unfinished() - shorter than it should be: a kill in the middle of its write */
bool producer_snapshot_unfinished(struct disk *disk, const struct segment_id *at);
/** producer_snapshot_name_parse() - whether @name, without its folder, is that of a snapshot */
bool producer_snapshot_name_parse(const char *name, int64_t *ret_offset);
/**
 * producer_snapshot_list() - offsets of the newest ones of a partition at or before @through
 * @ret_offsets: rising; room for PRODUCER_SNAPSHOTS_KEPT. Return: how many; negative.
 */
int producer_snapshot_list(struct disk *disk, const struct segment_id *partition, int64_t through,
                           int64_t *ret_offsets);
/** producer_snapshot_drop() - remove those of a partition with @from <= offset <= @to */
int producer_snapshot_drop(struct disk *disk, const struct segment_id *partition, int64_t from,
                           int64_t to);

/* ---- snapshot_run.c: when. The loop's. ---- */

void producer_snapshots_init(struct topic_log *log);
void producer_snapshots_deinit(struct topic_log *log);
/** producer_snapshot_take() - @partition's durable batches end at @offset, where a segment begins
 */
void producer_snapshot_take(struct topic_log *log, struct log_partition *partition, int64_t offset);
/** producer_snapshots_go_on() - write those whose segments are; each tick */
void producer_snapshots_go_on(struct topic_log *log);
/** producer_snapshots_stop() - take one of every partition that this run has written to */
void producer_snapshots_stop(struct topic_log *log);
/** producer_snapshots_wait() - whether any is not written yet */
bool producer_snapshots_wait(const struct topic_log *log);

/* ---- snapshot_find.c: a start without checkpoint. Thread: recovery. ---- */

struct recovery;
/** snapshots_look() - remember which ones @partition has, before its segments are read */
int snapshots_look(struct recovery *recovery, struct log_partition *partition);
/**
 * snapshots_pass() - a batch at @offset comes next, or nothing more: the snapshot there, or the
 * last one before it, becomes the state
 */
void snapshots_pass(struct log_partition *partition, int64_t offset);
/** snapshots_settle() - every log end is known: pass it; what lies behind it is no part of the log,
 * but says how far that once went */
void snapshots_settle(struct recovery *recovery);
/** snapshots_drop_beyond() - remove those; not before a checkpoint says where the log goes on */
int snapshots_drop_beyond(struct recovery *recovery);
/** snapshots_forget() - accepts a partition without any */
void snapshots_forget(struct log_partition *partition);
