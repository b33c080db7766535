/*
 * The records of __consumer_offsets, in Kafka's own format, so that Kafka's tools read them: an
 * offset commit (key version 1, value version 4, or 1 when the client said how long to keep it) and
 * a group's metadata (key version 2, value version 3): what Kafka 4.3.1 writes, byte by byte.
 * Values of an offset are read in every version from 0 to 4. A null value removes what the key
 * names. Big-endian; strings have a 16-bit length, but in version 4 of an offset, which is
 * flexible, an unsigned varint of length plus one.
 *
 * Source: Kafka's coordinator record schemas (OffsetCommitKey/Value, GroupMetadataKey/Value), and
 * the segments of a Kafka 4.3.1.
 */
#pragma once

#include "group.h"

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

/* What a restart needs of a group; spans borrow from the record. */
struct offset_record_group {
    struct span protocol_type, protocol, leader; /* data NULL: null */
    int32_t generation;
    int64_t state_since_ms;
    int32_t member_count;
    struct span members; /* encoded; walk with offset_record_member_next() */
};
struct offset_record_member {
    struct span member_id, instance_id, client_id, client_host;
    int32_t rebalance_timeout_ms, session_timeout_ms;
    struct span subscription, assignment;
};

void offset_record_put_commit_key(struct text *out, struct span group, struct span topic,
                                  int32_t partition);
void offset_record_put_commit_value(struct text *out, const struct committed_offset *committed);
void offset_record_put_group_key(struct text *out, struct span group);
void offset_record_put_group_value(struct text *out, const struct group *group);

/* Decoders return 0, or BROKER_E_CORRUPT for a form that is not ours (skip the record). */
int offset_record_get_key(struct span key, struct offset_record_key *ret_key);
int offset_record_get_commit(struct span value, struct committed_offset *ret_committed);
int offset_record_get_group(struct span value, struct offset_record_group *ret_group);
/** offset_record_member_next() - 1 and *ret_member; 0 at the end; @rest starts as group.members */
int offset_record_member_next(struct span *rest, struct offset_record_member *ret_member);
