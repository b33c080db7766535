/*
 * The figures of the broker at /metrics: a table, and where each value comes from. The table in the
 * README is printed from it by scripts/tables.
 */
#include "broker.h"

#include <eventbox/base/buf.h>

enum broker_metric {
    BROKER_M_REQUESTS,
    BROKER_M_BYTES_IN,
    BROKER_M_BYTES_OUT,
    BROKER_M_CONNECTIONS,
    BROKER_M_CONNECTIONS_REFUSED,
    BROKER_M_BAD_PEERS,
    BROKER_M_FETCHES_PARKED,
    BROKER_M_FETCH_SESSIONS,
    BROKER_M_FETCH_SESSION_PARTITIONS,
    BROKER_M_FETCH_SESSIONS_EVICTED,
    BROKER_M_REQUEST_MEMORY,
    BROKER_M_PARKED_MEMORY,
    BROKER_M_KEPT_MEMORY,
    BROKER_M_TOPICS,
    BROKER_M_PARTITIONS,
    BROKER_M_SEGMENTS,
    BROKER_M_OPEN_FILES,
    BROKER_M_SEGMENTS_REMOVED,
    BROKER_M_REMOVALS_FAILED,
    BROKER_M_CHECKPOINTS_FULL,
    BROKER_M_CHECKPOINTS_INCREMENT,
    BROKER_M_CHECKPOINT_BYTES,
    BROKER_M_HELD_BYTES,
    BROKER_M_PRODUCERS,
    BROKER_M_PRODUCERS_FORGOTTEN,
    BROKER_M_SNAPSHOTS,
    BROKER_M_SNAPSHOTS_DROPPED,
    BROKER_M_APPENDS,
    BROKER_M_APPEND_BYTES,
    BROKER_M_FRAMES,
    BROKER_M_FRAME_BYTES,
    BROKER_M_GROUP_BYTES,
    BROKER_M_GROUP_SECONDS,
    BROKER_M_SYNC_SECONDS,
    BROKER_M_JOURNAL_BYTES,
    BROKER_M_QUEUED_APPENDS,
    BROKER_M_QUEUED_BYTES,
    BROKER_M_THROTTLED_BYTES,
    BROKER_M_REFUSED,
    BROKER_M_DUPLICATES,
    BROKER_M_READS_MEMORY,
    BROKER_M_READS_CACHE,
    BROKER_M_READS_DISK,
    BROKER_M_READ_BYTES_MEMORY,
    BROKER_M_READ_BYTES_CACHE,
    BROKER_M_READ_BYTES_DISK,
    BROKER_M_READS_REFUSED,
    BROKER_M_RECOVERY,
    BROKER_M_COMPACTIONS,
    BROKER_M_COMPACTIONS_FAILED,
    BROKER_M_COMPACTION_BEFORE,
    BROKER_M_COMPACTION_AFTER,
    BROKER_M_COMPACTION_REMOVED,
    BROKER_M_COMPACTION_TIME,
    BROKER_M_COMPACTION_KEYS,
    BROKER_M_COMPACTION_MEMORY,
    BROKER_M_SCRUB_SEGMENTS,
    BROKER_M_SCRUB_BYTES,
    BROKER_M_SCRUB_DAMAGED,
    BROKER_M_SCRUB_UNREADABLE,
    BROKER_M_SCRUB_ENDED,
    BROKER_M_GROUPS,
    BROKER_M_COMMITS,
    BROKER_M_REBALANCES,
    BROKER_M_GROUPS_REFUSED,
    BROKER_M_GROUP_MEMORY,
    BROKER_M_OFFSETS_EXPIRED,
};

const struct metric_row broker_metric_rows[] = {
    [BROKER_M_REQUESTS] = {"eventbox_kafka_requests_total", METRIC_COUNTER, NULL, "Kafka requests"},
    [BROKER_M_BYTES_IN] = {"eventbox_kafka_bytes_in_total", METRIC_COUNTER, NULL,
                           "Bytes received from Kafka clients"},
    [BROKER_M_BYTES_OUT] = {"eventbox_kafka_bytes_out_total", METRIC_COUNTER, NULL,
                            "Bytes sent to Kafka clients"},
    [BROKER_M_CONNECTIONS] = {"eventbox_kafka_connections", METRIC_GAUGE, NULL,
                              "Kafka connections now"},
    [BROKER_M_CONNECTIONS_REFUSED] = {"eventbox_kafka_connections_refused_total", METRIC_COUNTER,
                                      NULL, "Kafka connections beyond the limit"},
    [BROKER_M_BAD_PEERS] = {"eventbox_kafka_bad_peers_total", METRIC_COUNTER, NULL,
                            "Connections closed for what they sent, or for how slowly"},
    [BROKER_M_FETCHES_PARKED] = {"eventbox_kafka_fetches_parked", METRIC_GAUGE, NULL,
                                 "Fetch requests waiting for data"},
    [BROKER_M_FETCH_SESSIONS] = {"eventbox_kafka_fetch_sessions", METRIC_GAUGE, NULL,
                                 "Fetch sessions remembered"},
    [BROKER_M_FETCH_SESSION_PARTITIONS] = {"eventbox_kafka_fetch_session_partitions", METRIC_GAUGE,
                                           NULL, "Partitions of all fetch sessions"},
    [BROKER_M_FETCH_SESSIONS_EVICTED] = {"eventbox_kafka_fetch_sessions_evicted_total",
                                         METRIC_COUNTER, NULL,
                                         "Fetch sessions that gave way to others"},
    [BROKER_M_REQUEST_MEMORY] = {"eventbox_kafka_request_memory_bytes", METRIC_GAUGE, NULL,
                                 "Memory of large requests in flight, bytes"},
    [BROKER_M_PARKED_MEMORY] = {"eventbox_kafka_parked_memory_bytes", METRIC_GAUGE, NULL,
                                "Memory of large requests that wait for records, bytes"},
    [BROKER_M_KEPT_MEMORY] = {"eventbox_kafka_kept_memory_bytes", METRIC_GAUGE, NULL,
                              "Memory kept for large requests to come, bytes"},
    [BROKER_M_TOPICS] = {"eventbox_log_topics", METRIC_GAUGE, NULL, "Topics"},
    [BROKER_M_PARTITIONS] = {"eventbox_log_partitions", METRIC_GAUGE, NULL, "Partitions"},
    [BROKER_M_SEGMENTS] = {"eventbox_log_segments", METRIC_GAUGE, NULL, "Segments"},
    [BROKER_M_OPEN_FILES] = {"eventbox_log_open_files", METRIC_GAUGE, NULL,
                             "Segment files that are open: written to, to be synced, or kept for "
                             "readers"},
    [BROKER_M_SEGMENTS_REMOVED] = {"eventbox_log_segments_removed_total", METRIC_COUNTER, NULL,
                                   "Segments whose files are gone"},
    [BROKER_M_REMOVALS_FAILED] = {"eventbox_log_removals_failed_total", METRIC_COUNTER, NULL,
                                  "Tries to remove files of a topic or segment that failed"},
    [BROKER_M_CHECKPOINTS_FULL] = {"eventbox_log_checkpoints_total", METRIC_COUNTER,
                                   "kind=\"full\"", "Checkpoints written"},
    [BROKER_M_CHECKPOINTS_INCREMENT] = {"eventbox_log_checkpoints_total", METRIC_COUNTER,
                                        "kind=\"increment\"", "Checkpoints written"},
    [BROKER_M_CHECKPOINT_BYTES] = {"eventbox_log_checkpoint_bytes_total", METRIC_COUNTER, NULL,
                                   "Bytes of checkpoints written"},
    [BROKER_M_HELD_BYTES] = {"eventbox_log_held_bytes", METRIC_GAUGE, NULL,
                             "Beyond retention and kept for a consumer in process, bytes"},
    [BROKER_M_PRODUCERS] = {"eventbox_log_producers", METRIC_GAUGE, NULL,
                            "Idempotent producers remembered, in each partition that they write "
                            "to"},
    [BROKER_M_PRODUCERS_FORGOTTEN] = {"eventbox_log_producers_forgotten_total", METRIC_COUNTER,
                                      NULL, "Of those, forgotten because there were too many"},
    [BROKER_M_SNAPSHOTS] = {"eventbox_log_producer_snapshots_total", METRIC_COUNTER, NULL,
                            "Snapshots of producers written"},
    [BROKER_M_SNAPSHOTS_DROPPED] = {"eventbox_log_producer_snapshots_dropped_total", METRIC_COUNTER,
                                    NULL,
                                    "Snapshots of producers given up: too many at once, or the "
                                    "disk refused"},
    [BROKER_M_APPENDS] = {"eventbox_log_appends_total", METRIC_COUNTER, NULL,
                          "Record batches appended"},
    [BROKER_M_APPEND_BYTES] = {"eventbox_log_append_bytes_total", METRIC_COUNTER, NULL,
                               "Bytes of record batches appended"},
    [BROKER_M_FRAMES] = {"eventbox_log_frames_total", METRIC_COUNTER, NULL,
                         "Journal frames, one sync each"},
    [BROKER_M_FRAME_BYTES] = {"eventbox_log_frame_bytes_total", METRIC_COUNTER, NULL,
                              "Bytes of journal frames"},
    [BROKER_M_GROUP_BYTES] = {"eventbox_log_group_bytes", METRIC_HISTOGRAM_BYTES, NULL,
                              "Size of a journal frame"},
    [BROKER_M_GROUP_SECONDS] = {"eventbox_log_group_seconds", METRIC_HISTOGRAM, NULL,
                                "From the hand-over of a frame's first append to the log writer "
                                "until the frame is durable"},
    [BROKER_M_SYNC_SECONDS] = {"eventbox_log_sync_seconds", METRIC_HISTOGRAM, NULL,
                               "Write of a journal frame with its sync"},
    [BROKER_M_JOURNAL_BYTES] = {"eventbox_log_journal_bytes", METRIC_GAUGE, NULL,
                                "Journal in use, bytes"},
    [BROKER_M_QUEUED_APPENDS] = {"eventbox_log_queued_appends", METRIC_GAUGE, NULL,
                                 "Appends waiting for the journal"},
    [BROKER_M_QUEUED_BYTES] = {"eventbox_log_queued_bytes", METRIC_GAUGE, NULL,
                               "Appends waiting for the journal, bytes"},
    [BROKER_M_THROTTLED_BYTES] = {"eventbox_log_throttled_bytes", METRIC_GAUGE, NULL,
                                  "Appends of clients that wait for room in memory or journal, "
                                  "bytes"},
    [BROKER_M_REFUSED] = {"eventbox_log_refused_total", METRIC_COUNTER, NULL,
                          "Appends refused because something was full"},
    [BROKER_M_DUPLICATES] = {"eventbox_log_duplicates_total", METRIC_COUNTER, NULL,
                             "Batches of idempotent producers that were there already"},
    [BROKER_M_READS_MEMORY] = {"eventbox_log_reads_total", METRIC_COUNTER, "source=\"memory\"",
                               "Reads by source"},
    [BROKER_M_READS_CACHE] = {"eventbox_log_reads_total", METRIC_COUNTER, "source=\"page_cache\"",
                              "Reads by source"},
    [BROKER_M_READS_DISK] = {"eventbox_log_reads_total", METRIC_COUNTER, "source=\"disk\"",
                             "Reads by source"},
    [BROKER_M_READ_BYTES_MEMORY] = {"eventbox_log_read_bytes_total", METRIC_COUNTER,
                                    "source=\"memory\"", "Bytes of record batches read, by source"},
    [BROKER_M_READ_BYTES_CACHE] = {"eventbox_log_read_bytes_total", METRIC_COUNTER,
                                   "source=\"page_cache\"",
                                   "Bytes of record batches read, by source"},
    [BROKER_M_READ_BYTES_DISK] = {"eventbox_log_read_bytes_total", METRIC_COUNTER,
                                  "source=\"disk\"", "Bytes of record batches read, by source"},
    [BROKER_M_READS_REFUSED] = {"eventbox_log_reads_refused_total", METRIC_COUNTER, NULL,
                                "Reads and lookups by time refused because too many waited for "
                                "the disk"},
    [BROKER_M_RECOVERY] = {"eventbox_log_recovery_milliseconds", METRIC_GAUGE, NULL,
                           "Recovery at the last start, ms"},
    [BROKER_M_COMPACTIONS] = {"eventbox_log_compactions_total", METRIC_COUNTER, NULL,
                              "Compactions of a partition"},
    [BROKER_M_COMPACTIONS_FAILED] = {"eventbox_log_compactions_failed_total", METRIC_COUNTER, NULL,
                                     "Compactions that met damage or a full disk"},
    [BROKER_M_COMPACTION_BEFORE] = {"eventbox_log_compaction_bytes_before_total", METRIC_COUNTER,
                                    NULL, "Bytes of segments before their compaction"},
    [BROKER_M_COMPACTION_AFTER] = {"eventbox_log_compaction_bytes_after_total", METRIC_COUNTER,
                                   NULL, "Bytes of the same segments afterwards"},
    [BROKER_M_COMPACTION_REMOVED] = {"eventbox_log_compaction_records_removed_total",
                                     METRIC_COUNTER, NULL, "Records removed by compaction"},
    [BROKER_M_COMPACTION_TIME] = {"eventbox_log_compaction_milliseconds_total", METRIC_COUNTER,
                                  NULL, "Time of compactions, ms"},
    [BROKER_M_COMPACTION_KEYS] = {"eventbox_log_compaction_keys", METRIC_GAUGE, NULL,
                                  "Keys of the last compaction"},
    [BROKER_M_COMPACTION_MEMORY] = {"eventbox_log_compaction_memory_bytes", METRIC_GAUGE, NULL,
                                    "Memory for keys in the last compaction, bytes"},
    [BROKER_M_SCRUB_SEGMENTS] = {"eventbox_log_scrub_segments_total", METRIC_COUNTER, NULL,
                                 "Closed segments that the scrub has read to their end"},
    [BROKER_M_SCRUB_BYTES] = {"eventbox_log_scrub_bytes_total", METRIC_COUNTER, NULL,
                              "Bytes that the scrub has read"},
    [BROKER_M_SCRUB_DAMAGED] = {"eventbox_log_scrub_damaged_total", METRIC_COUNTER, NULL,
                                "Ranges of offsets found damaged and set aside, by the scrub or "
                                "a read"},
    [BROKER_M_SCRUB_UNREADABLE] = {"eventbox_log_scrub_unreadable_total", METRIC_COUNTER, NULL,
                                   "Segments that the scrub left, since the disk refused to read "
                                   "on"},
    [BROKER_M_SCRUB_ENDED] = {"eventbox_log_scrub_ended_timestamp_seconds", METRIC_GAUGE, NULL,
                              "End of the last whole round of the scrub, Unix time; 0: none yet"},
    [BROKER_M_GROUPS] = {"eventbox_groups", METRIC_GAUGE, NULL, "Consumer groups"},
    [BROKER_M_COMMITS] = {"eventbox_group_commits_total", METRIC_COUNTER, NULL,
                          "Offsets committed"},
    [BROKER_M_REBALANCES] = {"eventbox_group_rebalances_total", METRIC_COUNTER, NULL,
                             "Rebalances begun"},
    [BROKER_M_GROUPS_REFUSED] = {"eventbox_group_refused_total", METRIC_COUNTER, NULL,
                                 "Groups, members and offsets refused for want of room"},
    [BROKER_M_GROUP_MEMORY] = {"eventbox_group_memory_bytes", METRIC_GAUGE, NULL,
                               "Memory of members and committed offsets"},
    [BROKER_M_OFFSETS_EXPIRED] = {"eventbox_group_offsets_expired_total", METRIC_COUNTER, NULL,
                                  "Committed offsets that outlived their retention"},
    {0},
};

/* ---- collecting ---- */

static void collect_compaction(struct metric *metrics, const struct topic_log_stats *stats) {
    metric_set(&metrics[BROKER_M_COMPACTIONS], (int64_t)stats->compactions);
    metric_set(&metrics[BROKER_M_COMPACTIONS_FAILED], (int64_t)stats->compactions_failed);
    metric_set(&metrics[BROKER_M_COMPACTION_BEFORE], (int64_t)stats->compaction_bytes_before);
    metric_set(&metrics[BROKER_M_COMPACTION_AFTER], (int64_t)stats->compaction_bytes_after);
    metric_set(&metrics[BROKER_M_COMPACTION_REMOVED], (int64_t)stats->compaction_records_removed);
    metric_set(&metrics[BROKER_M_COMPACTION_TIME], (int64_t)stats->compaction_ns_total / NS_PER_MS);
    metric_set(&metrics[BROKER_M_COMPACTION_KEYS], (int64_t)stats->compaction_map_keys);
    metric_set(&metrics[BROKER_M_COMPACTION_MEMORY], (int64_t)stats->compaction_map_bytes);
}

static void collect_scrub(struct metric *metrics, const struct topic_log_stats *stats) {
    metric_set(&metrics[BROKER_M_SCRUB_SEGMENTS], (int64_t)stats->scrub_segments);
    metric_set(&metrics[BROKER_M_SCRUB_BYTES], (int64_t)stats->scrub_bytes);
    metric_set(&metrics[BROKER_M_SCRUB_DAMAGED], (int64_t)stats->scrub_damaged);
    metric_set(&metrics[BROKER_M_SCRUB_UNREADABLE], (int64_t)stats->scrub_unreadable);
    metric_set(&metrics[BROKER_M_SCRUB_ENDED], stats->scrub_ended_s);
}

void broker_collect_log(const struct topic_log *log, struct metric *metrics) {
    struct topic_log_stats stats;
    topic_log_stats(log, &stats);
    metric_set(&metrics[BROKER_M_TOPICS], stats.topics);
    metric_set(&metrics[BROKER_M_PARTITIONS], stats.partitions);
    metric_set(&metrics[BROKER_M_SEGMENTS_REMOVED], (int64_t)stats.segments_removed);
    metric_set(&metrics[BROKER_M_REMOVALS_FAILED], (int64_t)stats.removals_failed);
    metric_set(&metrics[BROKER_M_CHECKPOINTS_FULL],
               (int64_t)(stats.checkpoints - stats.checkpoint_increments));
    metric_set(&metrics[BROKER_M_CHECKPOINTS_INCREMENT], (int64_t)stats.checkpoint_increments);
    metric_set(&metrics[BROKER_M_CHECKPOINT_BYTES], (int64_t)stats.checkpoint_bytes);
    metric_set(&metrics[BROKER_M_HELD_BYTES], (int64_t)stats.held_bytes);
    metric_set(&metrics[BROKER_M_PRODUCERS], stats.producers);
    metric_set(&metrics[BROKER_M_PRODUCERS_FORGOTTEN], (int64_t)stats.producers_forgotten);
    metric_set(&metrics[BROKER_M_SNAPSHOTS], (int64_t)stats.snapshots_written);
    metric_set(&metrics[BROKER_M_SNAPSHOTS_DROPPED], (int64_t)stats.snapshots_dropped);
    metric_set(&metrics[BROKER_M_SEGMENTS], stats.segments);
    metric_set(&metrics[BROKER_M_OPEN_FILES], stats.open_files);
    metric_set(&metrics[BROKER_M_APPENDS], (int64_t)stats.appends);
    metric_set(&metrics[BROKER_M_APPEND_BYTES], (int64_t)stats.append_bytes);
    metric_set(&metrics[BROKER_M_FRAMES], (int64_t)stats.frames);
    metric_set(&metrics[BROKER_M_FRAME_BYTES], (int64_t)stats.frame_bytes);
    metric_set_histogram(&metrics[BROKER_M_GROUP_BYTES], &stats.group_bytes);
    metric_set_histogram(&metrics[BROKER_M_GROUP_SECONDS], &stats.group_ns);
    metric_set_histogram(&metrics[BROKER_M_SYNC_SECONDS], &stats.sync_ns);
    metric_set(&metrics[BROKER_M_JOURNAL_BYTES], (int64_t)stats.journal_bytes_in_use);
    metric_set(&metrics[BROKER_M_QUEUED_APPENDS], (int64_t)stats.queued_appends);
    metric_set(&metrics[BROKER_M_QUEUED_BYTES], (int64_t)stats.queued_bytes);
    metric_set(&metrics[BROKER_M_THROTTLED_BYTES], (int64_t)stats.throttled_bytes);
    metric_set(&metrics[BROKER_M_REFUSED], (int64_t)stats.refused_full);
    metric_set(&metrics[BROKER_M_DUPLICATES], (int64_t)stats.duplicates);
    metric_set(&metrics[BROKER_M_READS_MEMORY], (int64_t)stats.reads_memory);
    metric_set(&metrics[BROKER_M_READS_CACHE], (int64_t)stats.reads_cache);
    metric_set(&metrics[BROKER_M_READS_DISK], (int64_t)stats.reads_disk);
    metric_set(&metrics[BROKER_M_READ_BYTES_MEMORY], (int64_t)stats.read_bytes_memory);
    metric_set(&metrics[BROKER_M_READ_BYTES_CACHE], (int64_t)stats.read_bytes_cache);
    metric_set(&metrics[BROKER_M_READ_BYTES_DISK], (int64_t)stats.read_bytes_disk);
    metric_set(&metrics[BROKER_M_READS_REFUSED], (int64_t)stats.reads_refused);
    metric_set(&metrics[BROKER_M_RECOVERY], stats.recovery_ms);
    collect_compaction(metrics, &stats);
    collect_scrub(metrics, &stats);
}

void broker_collect(void *state) {
    struct broker_module *broker = state;
    struct metric *metrics = broker->context.metrics;
    if (!broker->started) {
        return;
    }
    struct kafka_server_stats server;
    struct coordinator_stats groups;
    kafka_server_stats(broker->server, &server);
    coordinator_stats(broker->coordinator, &groups);
    broker_collect_log(broker->log, metrics);
    metric_set(&metrics[BROKER_M_REQUESTS], (int64_t)server.requests_total);
    metric_set(&metrics[BROKER_M_BYTES_IN], (int64_t)server.bytes_in);
    metric_set(&metrics[BROKER_M_BYTES_OUT], (int64_t)server.bytes_out);
    metric_set(&metrics[BROKER_M_CONNECTIONS], server.connections);
    metric_set(&metrics[BROKER_M_CONNECTIONS_REFUSED], (int64_t)server.connections_refused);
    metric_set(&metrics[BROKER_M_BAD_PEERS], (int64_t)server.bad_peers);
    metric_set(&metrics[BROKER_M_FETCHES_PARKED], server.fetches_parked);
    metric_set(&metrics[BROKER_M_FETCH_SESSIONS], server.fetch_sessions);
    metric_set(&metrics[BROKER_M_FETCH_SESSION_PARTITIONS],
               (int64_t)server.fetch_session_partitions);
    metric_set(&metrics[BROKER_M_FETCH_SESSIONS_EVICTED], (int64_t)server.fetch_sessions_evicted);
    metric_set(&metrics[BROKER_M_REQUEST_MEMORY], (int64_t)server.reserved_bytes);
    metric_set(&metrics[BROKER_M_PARKED_MEMORY], (int64_t)server.parked_bytes);
    metric_set(&metrics[BROKER_M_KEPT_MEMORY], (int64_t)buf_kept_bytes());
    metric_set(&metrics[BROKER_M_GROUPS], groups.groups);
    metric_set(&metrics[BROKER_M_COMMITS], (int64_t)groups.commits);
    metric_set(&metrics[BROKER_M_REBALANCES], (int64_t)groups.rebalances);
    metric_set(&metrics[BROKER_M_GROUPS_REFUSED], (int64_t)groups.refused);
    metric_set(&metrics[BROKER_M_GROUP_MEMORY], (int64_t)groups.memory_bytes);
    metric_set(&metrics[BROKER_M_OFFSETS_EXPIRED], (int64_t)groups.expired);
}
