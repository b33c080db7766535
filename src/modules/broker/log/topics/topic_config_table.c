/*
 * The table of topic configs: names, types, ranges and defaults are those of Apache Kafka 4.3, the
 * sentences are ours. `acts` says what a config does here; the README prints it.
 */
#include "topic_config.h"

#define ANY_LONG         .min = INT64_MIN, .max = INT64_MAX
#define LONG_FROM(least) .type = CONFIG_TYPE_LONG, .min = (least), .max = INT64_MAX
#define INT_FROM(least)  .type = CONFIG_TYPE_INT, .min = (least), .max = INT32_MAX
#define FOREVER          "9223372036854775807"

static const char *const cleanup_words[] = {"compact", "delete", NULL};
/* In the order in which Kafka names them; topic_config_codec() knows it. */
static const char *const compression_words[] = {"uncompressed", "zstd",     "lz4", "snappy",
                                                "gzip",         "producer", NULL};
static const char *const timestamp_words[] = {"CreateTime", "LogAppendTime", NULL};

const struct topic_config_def topic_config_defs[TOPIC_CONFIG_COUNT] = {
    [TOPIC_CLEANUP_POLICY] =
        {"cleanup.policy", "log.cleanup.policy", "delete",
         .acts = "old segments go by time and size (delete), by key (compact), both, or not at all",
         .documentation =
             "How old records go: `delete` removes segments by age and size, `compact` "
             "keeps the last record of each key, both do both, none keeps everything.",
         .words = cleanup_words, .type = CONFIG_TYPE_LIST, .broker_default = true},
    [TOPIC_COMPRESSION_GZIP_LEVEL] =
        {"compression.gzip.level", "compression.gzip.level", "-1",
         .documentation = "Level for batches that the broker itself compresses with gzip: 1 to 9, "
                          "-1 is the library's default, which is what is used here.",
         INT_FROM(-1), .broker_default = true},
    [TOPIC_COMPRESSION_LZ4_LEVEL] =
        {"compression.lz4.level", "compression.lz4.level", "9",
         .documentation = "Level for batches that the broker itself compresses with lz4: 1 to 17.",
         .type = CONFIG_TYPE_INT, .min = 1, .max = 17, .broker_default = true},
    [TOPIC_COMPRESSION_TYPE] =
        {"compression.type", "compression.type", "producer",
         .acts = "batches of another codec are compressed anew before they are stored",
         .documentation = "Codec that batches are stored with: one of gzip, snappy, lz4 and zstd, "
                          "`uncompressed`, or `producer` for the one they were sent with.",
         .words = compression_words, .type = CONFIG_TYPE_STRING, .broker_default = true},
    [TOPIC_COMPRESSION_ZSTD_LEVEL] =
        {"compression.zstd.level", "compression.zstd.level", "3",
         .documentation = "Level for batches that the broker itself compresses with zstd: -131072 "
                          "to 22.",
         .type = CONFIG_TYPE_INT, .min = -131072, .max = 22, .broker_default = true},
    [TOPIC_DELETE_RETENTION_MS] =
        {"delete.retention.ms", "log.cleaner.delete.retention.ms", "86400000",
         .acts = "tombstones of a compacted topic stay so long",
         .documentation = "How long a tombstone of a compacted topic stays after compaction has "
                          "first met it. A reader that begins at the start and is done within that "
                          "time sees a complete state. That compaction writes the time into the "
                          "batch, so a change holds for tombstones met from then on.",
         LONG_FROM(0), .broker_default = true},
    [TOPIC_FILE_DELETE_DELAY_MS] =
        {"file.delete.delay.ms", "log.segment.delete.delay.ms", "60000",
         .documentation = "Pause before the files of a removed segment are unlinked. Here they go "
                          "when two checkpoints no longer need them.",
         LONG_FROM(0), .broker_default = true},
    [TOPIC_FLUSH_MESSAGES] =
        {"flush.messages", "log.flush.interval.messages", FOREVER,
         .documentation = "Sync after so many records. Here every group of appends is synced "
                          "before it is acknowledged.",
         LONG_FROM(1), .broker_default = true},
    [TOPIC_FLUSH_MS] =
        {"flush.ms", "log.flush.interval.ms", FOREVER,
         .acts = "where set, answers leave before the sync, which follows within that time",
         .documentation = "Sync at the latest after so long. Unset, an answer leaves after the "
                          "sync; set, it leaves before, and a power cut can take the records of "
                          "that time.",
         LONG_FROM(0)},
    [TOPIC_FOLLOWER_THROTTLED_REPLICAS] =
        {"follower.replication.throttled.replicas", NULL, "",
         .documentation = "Replicas whose copying is slowed down on the side that follows: "
                          "partition:broker pairs, or * for all. There is one replica here.",
         .type = CONFIG_TYPE_LIST},
    [TOPIC_INDEX_INTERVAL_BYTES] = {"index.interval.bytes", "log.index.interval.bytes", "4096",
                                    .documentation =
                                        "Bytes of records between two entries of the offset index.",
                                    INT_FROM(0), .broker_default = true},
    [TOPIC_INTERNAL_SEGMENT_BYTES] =
        {"internal.segment.bytes", NULL, "-1",
         .acts = "segment.bytes without its least value, for tests; shown where set",
         .documentation = "As segment.bytes, with any value above 0; for tests.",
         INT_FROM(INT32_MIN), .internal = true},
    [TOPIC_LEADER_THROTTLED_REPLICAS] =
        {"leader.replication.throttled.replicas", NULL, "",
         .documentation = "Replicas whose copying is slowed down on the leader's side: "
                          "partition:broker pairs, or * for all. There is one replica here.",
         .type = CONFIG_TYPE_LIST},
    [TOPIC_LOCAL_RETENTION_BYTES] =
        {"local.retention.bytes", "log.local.retention.bytes", "-2",
         .documentation = "Size of a partition's local part with tiered storage; -2 means "
                          "retention.bytes. There is no second tier here.",
         LONG_FROM(-2), .broker_default = true},
    [TOPIC_LOCAL_RETENTION_MS] =
        {"local.retention.ms", "log.local.retention.ms", "-2",
         .documentation = "Age of a partition's local part with tiered storage; -2 means "
                          "retention.ms. There is no second tier here.",
         LONG_FROM(-2), .broker_default = true},
    [TOPIC_MAX_COMPACTION_LAG_MS] =
        {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", FOREVER,
         .acts = "a record of a compacted topic waits for compaction at most so long",
         .documentation = "Longest time that a record of a compacted topic may stay out of reach "
                          "of compaction. The segment that is being written is closed for it, "
                          "although nothing more may come.",
         LONG_FROM(1), .broker_default = true},
    [TOPIC_MAX_MESSAGE_BYTES] = {"max.message.bytes", "message.max.bytes", "1048588",
                                 .acts = "larger batches are refused (error 10)",
                                 .documentation =
                                     "Largest record batch, compressed as it is stored.",
                                 INT_FROM(0), .broker_default = true},
    [TOPIC_TIMESTAMP_AFTER_MAX_MS] =
        {"message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", "3600000",
         .acts = "records further in the future are refused (error 32)",
         .documentation = "How far a record's timestamp may lie ahead of the broker's clock, where "
                          "the producer sets timestamps.",
         LONG_FROM(0), .broker_default = true},
    [TOPIC_TIMESTAMP_BEFORE_MAX_MS] =
        {"message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", FOREVER,
         .acts = "records further in the past are refused (error 32)",
         .documentation = "How far a record's timestamp may lie behind the broker's clock, where "
                          "the producer sets timestamps.",
         LONG_FROM(0), .broker_default = true},
    [TOPIC_TIMESTAMP_TYPE] = {"message.timestamp.type", "log.message.timestamp.type", "CreateTime",
                              .acts = "with LogAppendTime a batch gets the broker's time",
                              .documentation =
                                  "Whose clock timestamps show: the producer's (CreateTime) or the "
                                  "broker's at the append (LogAppendTime).",
                              .words = timestamp_words, .type = CONFIG_TYPE_STRING,
                              .broker_default = true},
    [TOPIC_MIN_CLEANABLE_RATIO] =
        {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", "0.5",
         .acts = "compaction begins when so much of a partition is not compacted",
         .documentation = "Share of a compacted partition that must be new before compaction is "
                          "worth its work, 0 to 1.",
         .type = CONFIG_TYPE_DOUBLE, .min = 0, .max = 1, .broker_default = true},
    [TOPIC_MIN_COMPACTION_LAG_MS] =
        {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", "0",
         .acts = "younger records are not compacted",
         .documentation = "Shortest time that a record of a compacted topic stays as it was "
                          "written.",
         LONG_FROM(0), .broker_default = true},
    [TOPIC_MIN_INSYNC_REPLICAS] =
        {"min.insync.replicas", "min.insync.replicas", "1",
         .documentation = "Replicas that must have a batch before acks=all is answered. There is "
                          "one replica here.",
         INT_FROM(1), .broker_default = true},
    [TOPIC_PREALLOCATE] =
        {"preallocate", "log.preallocate", "false",
         .documentation = "Allocate the file of a new segment at once. Here segments grow as they "
                          "are written; the journal in front of them is allocated ahead.",
         .type = CONFIG_TYPE_BOOLEAN, .broker_default = true},
    [TOPIC_REMOTE_COPY_DISABLE] =
        {"remote.log.copy.disable", NULL, "false",
         .documentation = "Stop copying to tiered storage. There is no second tier here.",
         .type = CONFIG_TYPE_BOOLEAN},
    [TOPIC_REMOTE_DELETE_ON_DISABLE] =
        {"remote.log.delete.on.disable", NULL, "false",
         .documentation = "Delete what tiered storage holds when it is disabled. There is no "
                          "second tier here.",
         .type = CONFIG_TYPE_BOOLEAN},
    [TOPIC_REMOTE_STORAGE_ENABLE] =
        {"remote.storage.enable", NULL, "false",
         .acts = "`true` is refused (error 40): there is no second tier",
         .documentation =
             "Use tiered storage. There is no second tier here, and `true` is refused.",
         .type = CONFIG_TYPE_BOOLEAN},
    [TOPIC_RETENTION_BYTES] = {"retention.bytes", "log.retention.bytes", "-1",
                               .acts = "beyond that size of a partition its oldest segments go",
                               .documentation =
                                   "Size of a partition beyond which its oldest segments go, with "
                                   "cleanup.policy delete; -1: no limit.",
                               LONG_FROM(INT64_MIN), .broker_default = true},
    [TOPIC_RETENTION_MS] = {"retention.ms", "log.retention.ms", "604800000",
                            .acts = "segments whose newest record is older go",
                            .documentation =
                                "Age of a segment's newest record at which the segment goes, with "
                                "cleanup.policy delete; -1: no limit.",
                            LONG_FROM(-1)},
    [TOPIC_SEGMENT_BYTES] =
        {"segment.bytes", "log.segment.bytes", "1073741824",
         .acts = "a segment that would grow larger is closed and another begun",
         .documentation = "Size of a segment file. Retention and compaction work on whole closed "
                          "segments.",
         INT_FROM(1048576), .broker_default = true},
    [TOPIC_SEGMENT_INDEX_BYTES] =
        {"segment.index.bytes", "log.index.size.max.bytes", "10485760",
         .documentation =
             "Size of a segment's offset index. Here indexes grow as they are written.",
         INT_FROM(4), .broker_default = true},
    [TOPIC_SEGMENT_JITTER_MS] =
        {"segment.jitter.ms", "log.roll.jitter.ms", "0",
         .documentation = "Random time taken off segment.ms, so that segments do not all roll at "
                          "once. Here rolling costs nothing until the next append.",
         LONG_FROM(0)},
    [TOPIC_SEGMENT_MS] = {"segment.ms", "log.roll.ms", "604800000",
                          .acts = "a segment that is older is closed and another begun",
                          .documentation =
                              "Age at which a segment is closed even when it is not full, so that "
                              "retention and compaction get to it.",
                          LONG_FROM(1)},
    [TOPIC_UNCLEAN_ELECTION] = {"unclean.leader.election.enable", "unclean.leader.election.enable",
                                "false",
                                .documentation =
                                    "Let a replica lead that is behind. There is one replica here.",
                                .type = CONFIG_TYPE_BOOLEAN, .broker_default = true},
};
