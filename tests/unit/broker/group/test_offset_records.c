/* The records of __consumer_offsets against bytes that Kafka 4.3.1 wrote. */
#include "offset_records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct span hex(const char *text, uint8_t *out) {
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return span_of(out, size);
}

static const char commit_key[] = "0001000973742d343631643461000c746f7069632d343631643461"
                                 "00000000";
static const char commit_value[] = "00040000000000000005ffffffff0668656c6c6f000001a21f159a7d"
                                   "010010a309ddd5119a4681a21f707ccdf2a47d";
static const char expiring_value[] = "000100000000000000050001"
                                     "6d000001a21f13ee65000001a21f157505";

static void test_commit__is_what_kafka_writes(void **state) {
    uint8_t key_bytes[100], value_bytes[100];
    struct span key = hex(commit_key, key_bytes), value = hex(commit_value, value_bytes);
    struct offset_record_key parsed;
    struct committed_offset committed;
    struct text out;
    assert_int_equal(offset_record_get_key(key, &parsed), 0);
    assert_int_equal(parsed.kind, OFFSET_RECORD_COMMIT);
    assert_true(span_equal(parsed.group, SPAN_LITERAL("st-461d4a")));
    assert_int_equal(offset_record_get_commit(value, &committed), 0);
    assert_int_equal(committed.offset, 5);
    assert_int_equal(committed.leader_epoch, -1);
    assert_int_equal(committed.expire_ms, -1);
    assert_true(span_equal(committed.metadata, SPAN_LITERAL("hello")));
    assert_int_equal(committed.topic_id.bytes[0], 0xa3);
    text_init(&out);
    offset_record_put_commit_key(&out, parsed.group, parsed.topic, parsed.partition);
    assert_true(span_equal(text_span(&out), key));
    text_clear(&out);
    offset_record_put_commit_value(&out, &committed);
    assert_true(span_equal(text_span(&out), value));
    text_deinit(&out);
}

static void test_commit__with_a_time_to_expire_is_what_kafka_writes(void **state) {
    uint8_t bytes[100];
    struct span value = hex(expiring_value, bytes);
    struct committed_offset committed;
    struct text out;
    assert_int_equal(offset_record_get_commit(value, &committed), 0);
    assert_int_equal(committed.expire_ms - committed.commit_ms, 100000);
    text_init(&out);
    offset_record_put_commit_value(&out, &committed);
    assert_true(span_equal(text_span(&out), value));
    text_deinit(&out);
}

static void test_commit__older_versions_are_read(void **state) {
    static const char *const values[] = {
        "0000"
        "0000000000000005"
        "00016d"
        "000001a21f13ee65",
        "0002"
        "0000000000000005"
        "00016d"
        "000001a21f13ee65",
        "0003"
        "0000000000000005"
        "00000007"
        "00016d"
        "000001a21f13ee65",
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        uint8_t bytes[100];
        struct committed_offset committed;
        assert_int_equal(offset_record_get_commit(hex(values[i], bytes), &committed), 0);
        assert_int_equal(committed.offset, 5);
        assert_int_equal(committed.commit_ms, INT64_C(0x1a21f13ee65));
        assert_int_equal(committed.leader_epoch, i == 2 ? 7 : -1);
        assert_true(uuid_is_zero(&committed.topic_id));
    }
}

static void test_commit__cut_or_unknown_is_corrupt(void **state) {
    uint8_t bytes[100];
    struct committed_offset committed;
    struct span value = hex(commit_value, bytes);
    for (size_t size = 0; size < value.size; size++) {
        assert_int_not_equal(offset_record_get_commit(span_of(bytes, size), &committed), 0);
    }
    bytes[1] = 5;
    assert_int_not_equal(offset_record_get_commit(value, &committed), 0);
}

/* ---- what Kafka writes of a group with one member ---- */

static const char group_value[] =
    "00030008636f6e73756d65720000000100"
    "0572616e67650029706565722d32346534316161312d343839632d346431322d383239652d6638313232383731"
    "3565316600000"
    "1a21f159a67000000010029706565722d32346534316161312d343839632d346431322d383239652d6638313232"
    "38373135653166ffff000470656572000a2f3132372e302e302e3100007530000027100000"
    "00016d000000026173";

static void test_group__is_read_as_kafka_wrote_it(void **state) {
    uint8_t bytes[300];
    struct group_metadata_value group;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(offset_record_get_group(hex(group_value, bytes), &arena, &group), 0);
    assert_true(span_equal(group.protocol_type, SPAN_LITERAL("consumer")));
    assert_true(span_equal(group.protocol, SPAN_LITERAL("range")));
    assert_int_equal(group.generation, 1);
    assert_int_equal(group.members_count, 1);
    const struct group_metadata_value_member *member = group.members;
    assert_true(span_equal(member->member_id, group.leader));
    assert_null(member->group_instance_id.data);
    assert_true(span_equal(member->client_host, SPAN_LITERAL("/127.0.0.1")));
    assert_int_equal(member->rebalance_timeout, 30000);
    assert_int_equal(member->session_timeout, 10000);
    assert_true(span_equal(member->subscription, SPAN_LITERAL("m")));
    assert_true(span_equal(member->assignment, SPAN_LITERAL("as")));
    arena_deinit(&arena);
}

/* Kafka 0.9 to 2.2 and, flexible, what Kafka 4 reads. */
static void test_group__every_version_is_read(void **state) {
    static const char *const values[] = {
        "0000"
        "0001"
        "63"
        "00000007"
        "0001"
        "72"
        "0001"
        "6d"
        "00000001"
        "0001"
        "6d"
        "0001"
        "63"
        "0001"
        "68"
        "00002710"
        "00000001"
        "73"
        "00000001"
        "61",
        "0002"
        "0001"
        "63"
        "00000007"
        "0001"
        "72"
        "0001"
        "6d"
        "000001a21f159a67"
        "00000001"
        "0001"
        "6d"
        "0001"
        "63"
        "0001"
        "68"
        "00007530"
        "00002710"
        "00000001"
        "73"
        "00000001"
        "61",
        "0004"
        "02"
        "63"
        "00000007"
        "02"
        "72"
        "02"
        "6d"
        "000001a21f159a67"
        "02"
        "02"
        "6d"
        "02"
        "69"
        "02"
        "63"
        "02"
        "68"
        "00007530"
        "00002710"
        "02"
        "73"
        "02"
        "61"
        "00"
        "00",
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        uint8_t bytes[100];
        struct group_metadata_value group;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        assert_int_equal(offset_record_get_group(hex(values[i], bytes), &arena, &group), 0);
        assert_int_equal(group.generation, 7);
        assert_int_equal(group.current_state_timestamp, i ? INT64_C(0x1a21f159a67) : -1);
        assert_int_equal(group.members_count, 1);
        assert_true(span_equal(group.members->member_id, group.leader));
        assert_int_equal(group.members->rebalance_timeout, i ? 30000 : 10000);
        assert_int_equal(group.members->session_timeout, 10000);
        assert_true(
            span_equal(group.members->group_instance_id, i == 2 ? SPAN_LITERAL("i") : SPAN_NULL));
        assert_true(span_equal(group.members->assignment, SPAN_LITERAL("a")));
        bytes[1] = 5;
        assert_int_equal(offset_record_get_group(span_of(bytes, sizeof bytes), &arena, &group),
                         BROKER_E_CORRUPT);
        arena_deinit(&arena);
    }
}

/* A record of 20 bytes does not make us ask for 2^31 members. */
static void test_group__members_fit_the_record(void **state) {
    uint8_t bytes[100];
    struct group_metadata_value group;
    struct arena arena;
    struct span value = hex("0003"
                            "0000"
                            "00000001"
                            "ffff"
                            "ffff"
                            "000001a21f159a67"
                            "7fffffff",
                            bytes);
    arena_init(&arena, 1 << 20);
    assert_int_equal(offset_record_get_group(value, &arena, &group), BROKER_E_CORRUPT);
    arena_deinit(&arena);
}

static void test_key__of_kafka_0_8_is_read_too(void **state) {
    uint8_t bytes[100];
    struct offset_record_key parsed;
    struct span key = hex(commit_key, bytes);
    bytes[1] = 0;
    assert_int_equal(offset_record_get_key(key, &parsed), 0);
    assert_int_equal(parsed.kind, OFFSET_RECORD_COMMIT);
    bytes[1] = 3; /* of the consumer protocol */
    assert_int_equal(offset_record_get_key(key, &parsed), BROKER_E_CORRUPT);
}

/* Where a string is longer than its length can say, nothing is written at all. */
static void test_key__a_name_that_is_too_long_fails(void **state) {
    static char name[40000];
    struct text out;
    memset(name, 'n', sizeof name);
    text_init(&out);
    offset_record_put_group_key(&out, span_of(name, sizeof name));
    assert_true(text_failed(&out));
    text_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit__is_what_kafka_writes),
        cmocka_unit_test(test_commit__with_a_time_to_expire_is_what_kafka_writes),
        cmocka_unit_test(test_commit__older_versions_are_read),
        cmocka_unit_test(test_commit__cut_or_unknown_is_corrupt),
        cmocka_unit_test(test_group__is_read_as_kafka_wrote_it),
        cmocka_unit_test(test_group__every_version_is_read),
        cmocka_unit_test(test_group__members_fit_the_record),
        cmocka_unit_test(test_key__of_kafka_0_8_is_read_too),
        cmocka_unit_test(test_key__a_name_that_is_too_long_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
