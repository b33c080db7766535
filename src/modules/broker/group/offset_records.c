/* Encoding and decoding of __consumer_offsets; the layouts are listed at each pair. */
#include "offset_records.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <string.h>

/* ---- primitives ---- */

static void put_i16(struct text *out, int16_t value) {
    uint8_t bytes[2];
    put_be16(bytes, (uint16_t)value);
    text_append(out, bytes, sizeof bytes);
}

static void put_i32(struct text *out, int32_t value) {
    uint8_t bytes[4];
    put_be32(bytes, (uint32_t)value);
    text_append(out, bytes, sizeof bytes);
}

static void put_i64(struct text *out, int64_t value) {
    uint8_t bytes[8];
    put_be64(bytes, (uint64_t)value);
    text_append(out, bytes, sizeof bytes);
}

static void put_string(struct text *out, struct span value) {
    put_i16(out, (int16_t)value.size);
    text_append(out, value.data, value.size);
}

static void put_nullable_string(struct text *out, const char *value) {
    if (value) {
        put_string(out, span_text(value));
    } else {
        put_i16(out, -1);
    }
}

static void put_bytes(struct text *out, struct span value) {
    put_i32(out, (int32_t)value.size);
    text_append(out, value.data, value.size);
}

static void put_varint(struct text *out, uint64_t value) {
    uint8_t bytes[10];
    size_t size = 0;
    for (; value > 127; value >>= 7) {
        bytes[size++] = (uint8_t)(value | 128);
    }
    bytes[size++] = (uint8_t)value;
    text_append(out, bytes, size);
}

/* A reader over @rest; once it fails it stays failed and gives zeros. */
struct reader {
    struct span rest;
    bool failed;
};

static const uint8_t *take(struct reader *reader, size_t size) {
    const uint8_t *data = reader->rest.data;
    if (reader->failed || reader->rest.size < size) {
        reader->failed = true;
        return NULL;
    }
    reader->rest = span_of(data + size, reader->rest.size - size);
    return data;
}

static int16_t get_i16(struct reader *reader) {
    const uint8_t *data = take(reader, 2);
    return data ? (int16_t)get_be16(data) : 0;
}

static int32_t get_i32(struct reader *reader) {
    const uint8_t *data = take(reader, 4);
    return data ? (int32_t)get_be32(data) : 0;
}

static int64_t get_i64(struct reader *reader) {
    const uint8_t *data = take(reader, 8);
    return data ? (int64_t)get_be64(data) : 0;
}

static uint64_t get_varint(struct reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t *data = take(reader, 1);
        if (!data) {
            return 0;
        }
        value |= (uint64_t)(*data & 127) << shift;
        if (*data < 128) {
            return value;
        }
    }
    reader->failed = true;
    return 0;
}

static struct span get_sized(struct reader *reader, int64_t size) {
    if (size < 0) {
        return SPAN_NULL;
    }
    const uint8_t *data = take(reader, (size_t)size);
    return data ? span_of(data, (size_t)size) : SPAN_NULL;
}

static struct span get_string(struct reader *reader) {
    return get_sized(reader, get_i16(reader));
}

static struct span get_bytes(struct reader *reader) {
    return get_sized(reader, get_i32(reader));
}

static int reader_end(const struct reader *reader) {
    return reader->failed ? err_origin(BROKER_E_CORRUPT) : 0;
}

/* ---- offset commit ----
 *
 * key:      int16 1, group, topic, int32 partition
 * value 0:  int64 offset, metadata, int64 commit time
 * value 1:  int64 offset, metadata, int64 commit time, int64 expire time
 * value 2:  as 0
 * value 3:  int64 offset, int32 leader epoch, metadata, int64 commit time
 * value 4:  as 3 with a compact string, then tagged fields: 0 is the topic's id
 */

enum {
    COMMIT_KEY_VERSION = 1,
    GROUP_KEY_VERSION = 2,
    COMMIT_VALUE_EXPIRING = 1,
    COMMIT_VALUE_VERSION = 4,
    GROUP_VALUE_VERSION = 3,
    TOPIC_ID_TAG = 0,
    TOPIC_ID_BYTES = 16,
};

void offset_record_put_commit_key(struct text *out, struct span group, struct span topic,
                                  int32_t partition) {
    put_i16(out, COMMIT_KEY_VERSION);
    put_string(out, group);
    put_string(out, topic);
    put_i32(out, partition);
}

static void put_topic_id(struct text *out, const struct uuid *id) {
    bool known = !uuid_is_zero(id);
    put_varint(out, known);
    if (known) {
        put_varint(out, TOPIC_ID_TAG);
        put_varint(out, TOPIC_ID_BYTES);
        text_append(out, id->bytes, TOPIC_ID_BYTES);
    }
}

void offset_record_put_commit_value(struct text *out, const struct committed_offset *committed) {
    if (committed->expire_ms >= 0) {
        put_i16(out, COMMIT_VALUE_EXPIRING);
        put_i64(out, committed->offset);
        put_string(out, committed->metadata);
        put_i64(out, committed->commit_ms);
        put_i64(out, committed->expire_ms);
        return;
    }
    put_i16(out, COMMIT_VALUE_VERSION);
    put_i64(out, committed->offset);
    put_i32(out, committed->leader_epoch);
    put_varint(out, committed->metadata.size + 1);
    text_append(out, committed->metadata.data, committed->metadata.size);
    put_i64(out, committed->commit_ms);
    put_topic_id(out, &committed->topic_id);
}

static void get_topic_id(struct reader *reader, struct uuid *ret_id) {
    uint64_t count = get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        uint64_t tag = get_varint(reader), size = get_varint(reader);
        const uint8_t *data = size <= reader->rest.size ? take(reader, (size_t)size) : NULL;
        reader->failed |= data == NULL;
        if (data && tag == TOPIC_ID_TAG && size == TOPIC_ID_BYTES) {
            memcpy(ret_id->bytes, data, TOPIC_ID_BYTES);
        }
    }
}

int offset_record_get_commit(struct span value, struct committed_offset *ret_committed) {
    struct reader reader = {value, false};
    struct committed_offset committed = {.leader_epoch = -1, .expire_ms = -1};
    int16_t version = get_i16(&reader);
    if (reader.failed || version < 0 || version > COMMIT_VALUE_VERSION) {
        return err_origin(BROKER_E_CORRUPT);
    }
    committed.offset = get_i64(&reader);
    if (version >= 3) {
        committed.leader_epoch = get_i32(&reader);
    }
    committed.metadata =
        version >= 4 ? get_sized(&reader, (int64_t)get_varint(&reader) - 1) : get_string(&reader);
    committed.commit_ms = get_i64(&reader);
    if (version == COMMIT_VALUE_EXPIRING) {
        committed.expire_ms = get_i64(&reader);
    }
    if (version >= 4) {
        get_topic_id(&reader, &committed.topic_id);
    }
    if (!reader.failed) {
        *ret_committed = committed;
    }
    return reader_end(&reader);
}

/* ---- group: key (int16 2, group), value (int16 3, protocol type, int32 generation, protocol,
 * leader, int64 state time, array of members) ---- */

void offset_record_put_group_key(struct text *out, struct span group) {
    put_i16(out, GROUP_KEY_VERSION);
    put_string(out, group);
}

void offset_record_put_group_value(struct text *out, const struct group *group) {
    put_i16(out, GROUP_VALUE_VERSION);
    put_string(out, span_text(group->protocol_type ? group->protocol_type : ""));
    put_i32(out, group->generation);
    put_nullable_string(out, group->protocol);
    put_nullable_string(out, group->leader ? group->leader->member_id : NULL);
    put_i64(out, group->state_since_ms);
    put_i32(out, (int32_t)group->member_count);
    list_for_each(link, &group->members) {
        const struct group_member *member = list_entry(link, struct group_member, link);
        put_string(out, span_text(member->member_id));
        put_nullable_string(out, member->instance_id);
        put_string(out, span_text(member->client_id));
        put_string(out, span_text(member->client_host));
        put_i32(out, member->rebalance_timeout_ms);
        put_i32(out, member->session_timeout_ms);
        put_bytes(out, group_member_metadata(member));
        put_bytes(out, group_member_assignment(member));
    }
}

int offset_record_get_group(struct span value, struct offset_record_group *ret_group) {
    struct reader reader = {value, false};
    struct offset_record_group group = {0};
    if (get_i16(&reader) != GROUP_VALUE_VERSION) {
        return err_origin(BROKER_E_CORRUPT);
    }
    group.protocol_type = get_string(&reader);
    group.generation = get_i32(&reader);
    group.protocol = get_string(&reader);
    group.leader = get_string(&reader);
    group.state_since_ms = get_i64(&reader);
    group.member_count = get_i32(&reader);
    group.members = reader.rest;
    if (!reader.failed) {
        *ret_group = group;
    }
    return reader_end(&reader);
}

int offset_record_member_next(struct span *rest, struct offset_record_member *ret_member) {
    struct reader reader = {*rest, false};
    struct offset_record_member member;
    if (rest->size == 0) {
        return 0;
    }
    member.member_id = get_string(&reader);
    member.instance_id = get_string(&reader);
    member.client_id = get_string(&reader);
    member.client_host = get_string(&reader);
    member.rebalance_timeout_ms = get_i32(&reader);
    member.session_timeout_ms = get_i32(&reader);
    member.subscription = get_bytes(&reader);
    member.assignment = get_bytes(&reader);
    if (reader.failed) {
        return 0;
    }
    *ret_member = member;
    *rest = reader.rest;
    return 1;
}

int offset_record_get_key(struct span key, struct offset_record_key *ret_key) {
    struct reader reader = {key, false};
    struct offset_record_key parsed = {0};
    switch (get_i16(&reader)) {
    case COMMIT_KEY_VERSION:
        parsed.kind = OFFSET_RECORD_COMMIT;
        parsed.group = get_string(&reader);
        parsed.topic = get_string(&reader);
        parsed.partition = get_i32(&reader);
        break;
    case GROUP_KEY_VERSION:
        parsed.kind = OFFSET_RECORD_GROUP;
        parsed.group = get_string(&reader);
        break;
    default:
        return err_origin(BROKER_E_CORRUPT);
    }
    if (!reader.failed) {
        *ret_key = parsed;
    }
    return reader_end(&reader);
}
