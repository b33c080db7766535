/* The records of __consumer_offsets, by the schemas of wire/schema. In front of a key stands what
 * it is of, in front of a value its version, each with two bytes. */
#include "offset_records.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

enum {
    KEY_OF_COMMIT_ONCE = 0, /* before Kafka 0.9; the same bytes */
    KEY_OF_COMMIT = 1,
    KEY_OF_GROUP = 2,
    KEY_VERSION = 0,
    COMMIT_EXPIRING = 1, /* the one version with a time to expire */
    COMMIT_WRITTEN = 4,
    COMMIT_FLEXIBLE = 4,
    COMMIT_LAST = 4,
    GROUP_WRITTEN = 3, /* what Kafka 4.3 writes, although it reads 4 */
    GROUP_FLEXIBLE = 4,
    GROUP_LAST = 4,
};

/* Appends @prefix and @body to @out; a string that is too long fails the text. */
static void put(struct text *out, int16_t prefix, const struct kafka_struct *type, int16_t version,
                bool flexible, const void *body) {
    struct kafka_encoded encoded = {.text = *out};
    uint8_t bytes[2];
    put_be16(bytes, (uint16_t)prefix);
    text_append(&encoded.text, bytes, sizeof bytes);
    if (kafka_encode(type, version, flexible, body, &encoded) != 0) {
        encoded.text.failed = true;
    }
    *out = encoded.text;
}

/* The two bytes in front of @bytes; -1 where there are none. */
static int16_t prefix_of(struct span bytes, struct span *ret_rest) {
    if (!bytes.data || bytes.size < 2) {
        return -1;
    }
    *ret_rest = span_of((const uint8_t *)bytes.data + 2, bytes.size - 2);
    return (int16_t)get_be16(bytes.data);
}

static int get(struct span in, const struct kafka_struct *type, int16_t version, bool flexible,
               struct arena *arena, void *body) {
    int r = kafka_decode(type, version, flexible, in, arena, body, NULL);
    return r > 0 ? err_origin(BROKER_E_CORRUPT) : err_trace(r);
}

/* ---- offsets ---- */

void offset_record_put_commit_key(struct text *out, struct span group, struct span topic,
                                  int32_t partition) {
    struct offset_commit_key key = {.group = group, .topic = topic, .partition = partition};
    put(out, KEY_OF_COMMIT, &kafka_offset_commit_key_type, KEY_VERSION, false, &key);
}

void offset_record_put_commit_value(struct text *out, const struct committed_offset *committed) {
    int16_t version = committed->expire_ms >= 0 ? COMMIT_EXPIRING : COMMIT_WRITTEN;
    struct offset_commit_value value = {.offset = committed->offset,
                                        .leader_epoch = committed->leader_epoch,
                                        .metadata = committed->metadata,
                                        .commit_timestamp = committed->commit_ms,
                                        .expire_timestamp = committed->expire_ms,
                                        .topic_id = committed->topic_id};
    put(out, version, &kafka_offset_commit_value_type, version, version >= COMMIT_FLEXIBLE, &value);
}

int offset_record_get_commit(struct span value, struct committed_offset *ret_committed) {
    struct offset_commit_value body;
    struct arena arena; /* for arrays, of which there are none */
    struct span rest;
    int16_t version = prefix_of(value, &rest);
    if (version < 0 || version > COMMIT_LAST) {
        return err_origin(BROKER_E_CORRUPT);
    }
    arena_init(&arena, 0);
    int r = get(rest, &kafka_offset_commit_value_type, version, version >= COMMIT_FLEXIBLE, &arena,
                &body);
    if (r == 0) {
        *ret_committed = (struct committed_offset){.offset = body.offset,
                                                   .leader_epoch = body.leader_epoch,
                                                   .commit_ms = body.commit_timestamp,
                                                   .expire_ms = body.expire_timestamp,
                                                   .topic_id = body.topic_id,
                                                   .metadata = body.metadata};
    }
    return r;
}

/* ---- groups ---- */

void offset_record_put_group_key(struct text *out, struct span group) {
    struct group_metadata_key key = {.group = group};
    put(out, KEY_OF_GROUP, &kafka_group_metadata_key_type, KEY_VERSION, false, &key);
}

static struct group_metadata_value_member member_row(const struct group_member *member) {
    return (struct group_metadata_value_member){
        .member_id = span_text(member->member_id),
        .group_instance_id = span_text(member->instance_id),
        .client_id = span_text(member->client_id),
        .client_host = span_text(member->client_host),
        .rebalance_timeout = member->rebalance_timeout_ms,
        .session_timeout = member->session_timeout_ms,
        .subscription = group_member_metadata(member),
        .assignment = group_member_assignment(member),
    };
}

void offset_record_put_group_value(struct text *out, const struct group *group) {
    struct group_metadata_value_member *rows = calloc(MAX(group->member_count, 1U), sizeof *rows);
    if (!rows) {
        out->failed = true;
        return;
    }
    struct group_metadata_value value = {
        .protocol_type = span_text(group->protocol_type ? group->protocol_type : ""),
        .generation = group->generation,
        .protocol = span_text(group->protocol),
        .leader = span_text(group->leader ? group->leader->member_id : NULL),
        .current_state_timestamp = group->state_since_ms,
        .members = rows,
    };
    list_for_each(link, &group->members) {
        rows[value.members_count++] = member_row(list_entry(link, struct group_member, link));
    }
    put(out, GROUP_WRITTEN, &kafka_group_metadata_value_type, GROUP_WRITTEN,
        GROUP_WRITTEN >= GROUP_FLEXIBLE, &value);
    free(rows);
}

int offset_record_get_group(struct span value, struct arena *arena,
                            struct group_metadata_value *ret_group) {
    struct span rest;
    int16_t version = prefix_of(value, &rest);
    if (version < 0 || version > GROUP_LAST) {
        return err_origin(BROKER_E_CORRUPT);
    }
    int r = get(rest, &kafka_group_metadata_value_type, version, version >= GROUP_FLEXIBLE, arena,
                ret_group);
    for (int32_t i = 0; r == 0 && i < ret_group->members_count; i++) {
        struct group_metadata_value_member *member = &ret_group->members[i];
        if (member->rebalance_timeout < 0) { /* version 0 has none: it was the session's */
            member->rebalance_timeout = member->session_timeout;
        }
    }
    return r;
}

/* ---- either ---- */

int offset_record_get_key(struct span key, struct offset_record_key *ret_key) {
    struct offset_commit_key commit;
    struct group_metadata_key group;
    struct arena arena; /* for arrays, of which there are none */
    struct span rest;
    int r;
    arena_init(&arena, 0);
    switch (prefix_of(key, &rest)) {
    case KEY_OF_COMMIT_ONCE:
    case KEY_OF_COMMIT:
        r = get(rest, &kafka_offset_commit_key_type, KEY_VERSION, false, &arena, &commit);
        if (r == 0) {
            *ret_key = (struct offset_record_key){OFFSET_RECORD_COMMIT, commit.group, commit.topic,
                                                  commit.partition};
        }
        return r;
    case KEY_OF_GROUP:
        r = get(rest, &kafka_group_metadata_key_type, KEY_VERSION, false, &arena, &group);
        if (r == 0) {
            *ret_key =
                (struct offset_record_key){.kind = OFFSET_RECORD_GROUP, .group = group.group};
        }
        return r;
    default:
        return err_origin(BROKER_E_CORRUPT);
    }
}
