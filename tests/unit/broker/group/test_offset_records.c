/* The records of __consumer_offsets against bytes that Kafka 4.3.1 wrote, and texts as Java counts
 * them. */
#include "java_text.h"
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
    struct offset_record_group group;
    struct offset_record_member member;
    assert_int_equal(offset_record_get_group(hex(group_value, bytes), &group), 0);
    assert_true(span_equal(group.protocol_type, SPAN_LITERAL("consumer")));
    assert_true(span_equal(group.protocol, SPAN_LITERAL("range")));
    assert_int_equal(group.generation, 1);
    assert_int_equal(group.member_count, 1);
    struct span rest = group.members;
    assert_int_equal(offset_record_member_next(&rest, &member), 1);
    assert_true(span_equal(member.member_id, group.leader));
    assert_null(member.instance_id.data);
    assert_true(span_equal(member.client_host, SPAN_LITERAL("/127.0.0.1")));
    assert_int_equal(member.rebalance_timeout_ms, 30000);
    assert_int_equal(member.session_timeout_ms, 10000);
    assert_true(span_equal(member.subscription, SPAN_LITERAL("m")));
    assert_true(span_equal(member.assignment, SPAN_LITERAL("as")));
    assert_int_equal(rest.size, 0);
}

/* ---- Java ---- */

static void test_java_text__counts_utf16_units(void **state) {
    assert_int_equal(java_text_length(SPAN_LITERAL("")), 0);
    assert_int_equal(java_text_length(SPAN_LITERAL("abc")), 3);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xc3\xbc")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82\xac")), 1);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xf0\x9f\x98\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xff\x80")), 2);
    assert_int_equal(java_text_length(SPAN_LITERAL("\xe2\x82")), 2); /* cut */
}

/* "polygenelubricants".hashCode() is Integer.MIN_VALUE. */
static void test_java_text__places_as_kafka_does(void **state) {
    assert_int_equal(java_text_place(SPAN_LITERAL("polygenelubricants"), 50), 0);
    assert_int_equal(java_text_place(SPAN_LITERAL("a"), 50), 97 % 50);
    assert_int_equal(java_text_place(SPAN_LITERAL("my-group"), 50), 12); /* hash -1906497762 */
    assert_int_equal(java_text_place(SPAN_LITERAL("\xc3\xbc"), 50), 0xfc % 50);
    assert_int_equal(java_text_place(SPAN_LITERAL("\xf0\x9f\x98\x80"), 50),
                     (31 * 0xd83d + 0xde00) % 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit__is_what_kafka_writes),
        cmocka_unit_test(test_commit__with_a_time_to_expire_is_what_kafka_writes),
        cmocka_unit_test(test_commit__older_versions_are_read),
        cmocka_unit_test(test_commit__cut_or_unknown_is_corrupt),
        cmocka_unit_test(test_group__is_read_as_kafka_wrote_it),
        cmocka_unit_test(test_java_text__counts_utf16_units),
        cmocka_unit_test(test_java_text__places_as_kafka_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
