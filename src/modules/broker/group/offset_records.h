/*
 * The records of __consumer_offsets, in Kafka's own format, so that Kafka's tools read them: an
 * offset commit (value version 4, or 1 when the client said how long to keep it) and a group's
 * metadata (value version 3): what Kafka 4.3.1 writes, byte by byte. Values are read in every
 * version from 0 to 4. A null value removes what the key names.
 *
 * Keys and values are messages like any other: wire/schema/OffsetCommitKey.json and its sisters say
 * what is in them. tests/compat/test_messages.py holds them against Kafka's own classes.
 */
#pragma once

#include "group.h"
#include "kafka_messages.h"

#include <eventbox/base/text.h>
#include <eventbox/base/uuid.h>

struct committed_offset {
    int64_t offset;
    int32_t leader_epoch; /* -1: not said */
    int64_t commit_ms;
    int64_t expire_ms;    /* asked for by OffsetCommit 2 to 4; -1: the broker's retention */
    struct uuid topic_id; /* zero: not known (written by an older form) */
    struct span metadata; /* borrowed where this comes out of decoding */
};

enum offset_record_kind { OFFSET_RECORD_COMMIT, OFFSET_RECORD_GROUP };

struct offset_record_key {
    enum offset_record_kind kind;
    struct span group;
    struct span topic;
    int32_t partition;
};

/* A failed text says that there was no memory, or that a name is too long for a record. */
void offset_record_put_commit_key(struct text *out, struct span group, struct span topic,
                                  int32_t partition);
void offset_record_put_commit_value(struct text *out, const struct committed_offset *committed);
void offset_record_put_group_key(struct text *out, struct span group);
void offset_record_put_group_value(struct text *out, const struct group *group);

/* Decoders return 0, or BROKER_E_CORRUPT for a form that is not ours (skip the record); their spans
 * are of the record. */
int offset_record_get_key(struct span key, struct offset_record_key *ret_key);
int offset_record_get_commit(struct span value, struct committed_offset *ret_committed);
/** offset_record_get_group() - members are in @arena; -ENOMEM past its limit */
int offset_record_get_group(struct span value, struct arena *arena,
                            struct group_metadata_value *ret_group);
