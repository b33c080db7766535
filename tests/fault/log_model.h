/*
 * What the topic log has promised, kept beside it: every batch that was handed over, where it was
 * placed, whether it was acknowledged. model_verify() holds a recovered log against it.
 */
#pragma once

#include "log_fixture.h"

enum { MODEL_TOPICS_MAX = 64, MODEL_PARTITIONS_MAX = 4, MODEL_PARTS_MAX = 3, MODEL_IN_FLIGHT = 40 };

enum model_state { MODEL_CREATING, MODEL_CREATED, MODEL_DELETING, MODEL_DELETED };

struct model_batch {
    struct batch_spec spec;
    int64_t offset;
    uint32_t unit;  /* number of its append; 0 once a restart has confirmed it */
    uint64_t frame; /* of the journal that holds it */
    bool acked;
    uint32_t bytes;
    int64_t handed_ms; /* to the log */
    /* The rot test's: what a read of it came to; that the damaged place may cost it, or is
     * somewhere in its frame; that its segment has it whole (rot_cover.h). */
    int fate;
    bool may_cost, frame_hit, header_hit, has_copy;
};

struct model_partition {
    struct model_batch *batches; /* by offset */
    size_t count, capacity;
    int32_t epoch;        /* leader epoch of the life before */
    int64_t seen;         /* high watermark that somebody may have seen */
    int64_t start_sure;   /* the log starts there or behind it */
    int64_t start_asked;  /* the furthest that DeleteRecords may have brought about */
    int64_t start_wanted; /* of the one in flight */
    bool start_in_flight;
    unsigned starts; /* confirmed since the last start of the log */
    struct topic_log_request start_change;
};

struct model_topic {
    char name[16];
    struct uuid id;
    int32_t partition_count;
    unsigned keys;                         /* of its records; above 0 its policy is compact */
    bool deletes;                          /* its policy is, or has, delete */
    int64_t retention_bytes, retention_ms; /* -1: no limit */
    int32_t sure_count;                    /* of partitions; more may have been added */
    bool is_widening;
    struct topic_log_request widening;
    enum model_state state;
    bool early;     /* flush.ms: what is acknowledged may be lost, in a new leader epoch */
    bool in_flight; /* creation or deletion was neither confirmed nor refuted */
    struct topic_log_request request;
    struct model *model;
    struct model_partition partitions[MODEL_PARTITIONS_MAX];
};

/* An append in flight. */
struct model_unit {
    struct append append;
    struct append_part parts[MODEL_PARTS_MAX];
    struct batch_spec specs[MODEL_PARTS_MAX];
    struct {
        struct model_topic *topic;
        int32_t partition;
        int64_t duplicate_of; /* -1: none */
    } at[MODEL_PARTS_MAX];
    struct model *model;
    uint32_t number;
    int64_t handed_ms;
    bool used;
};

struct model_producer {
    int64_t id;
    struct uuid topic; /* zero: unused */
    int32_t partition;
    int32_t next_sequence;
    unsigned in_flight;
};
enum { MODEL_PRODUCERS = 4 };

struct model {
    struct fixture *f;
    struct random_seeded random;
    struct model_topic *topics[MODEL_TOPICS_MAX];
    unsigned topic_count;
    struct model_unit units[MODEL_IN_FLIGHT];
    unsigned in_flight;
    uint32_t next_unit;
    uint64_t next_tag;
    int64_t largest_producer_id;
    struct model_producer producers[MODEL_PRODUCERS];
    bool early_topics;        /* some get flush.ms; set after model_init() */
    uint64_t starts, expired; /* fronts moved by DeleteRecords, by retention */
    uint64_t widened;         /* topics that got more partitions */
    uint64_t tombstones_gone;
    uint64_t compacted; /* superseded records found missing */
    uint64_t acked, appended, duplicates, verified, refused, lost_early;
    uint64_t lookups; /* by time, held against what was appended */
};

void model_init(struct model *model, struct fixture *f, uint64_t seed);
void model_deinit(struct model *model);
/** model_act() - one random act of clients against the running log */
void model_act(struct model *model);
/** model_crashed() - before the memory of the log goes: what was in flight is now of unknown
 * outcome */
void model_crashed(struct model *model);
/** model_verify() - compare with the log after its start; NULL, or what is wrong */
const char *model_verify(struct model *model);
/** model_settle() - wait until nothing is in flight */
void model_settle(struct model *model);
/* The acts one by one, for written scenarios. */
void model_create(struct model *model, const char *segment_bytes);
void model_create_compacted(struct model *model, const char *segment_bytes);
/** model_create_short_lived() - with retention by size or age, and perhaps compaction as well */
void model_create_short_lived(struct model *model, const char *segment_bytes);
void model_delete(struct model *model);
/** model_delete_records() - up to any offset of a partition, in the middle of batches as well */
void model_delete_records(struct model *model);
void model_add_partitions(struct model *model);
/** model_lookup() - by time, in any partition; ends the program where the answer is wrong */
void model_lookup(struct model *model);
/** model_append() - one unit of @parts batches on any partitions, values of @value_bytes */
void model_append(struct model *model, unsigned parts, size_t value_bytes);
