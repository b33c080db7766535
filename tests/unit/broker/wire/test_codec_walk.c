/*
 * The walker over every API and version: what is encoded comes back, what is cut or made up is
 * refused. Content is random by a fixed seed, made and compared by the same field tables.
 */
#include "kafka_messages_all.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/random.h>

#include <eventbox/base/varint.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

extern const struct kafka_api kafka_apis[];
extern const size_t kafka_api_count;

static struct random_seeded seeded;
static struct arena arena;

static uint64_t below(uint64_t limit) {
    return random_below(&seeded.random, limit);
}

static size_t stride_of(const struct kafka_field *field) {
    static const size_t strides[] = {1,
                                     1,
                                     2,
                                     2,
                                     4,
                                     4,
                                     8,
                                     8,
                                     16,
                                     sizeof(struct span),
                                     sizeof(struct span),
                                     sizeof(struct kafka_records),
                                     0,
                                     sizeof(void *)};

    return field->type == KAFKA_STRUCT ? field->of->size : strides[field->type];
}

/* Strings are ASCII: what is no UTF-8 is changed when it is read. */
static struct span random_span(const struct kafka_field *field, bool nullable) {
    size_t size = below(6) == 0 ? 200 : below(9);
    uint8_t *data;

    if (nullable && below(4) == 0) {
        return SPAN_NULL;
    }
    data = arena_alloc(&arena, size + 1);
    random_fill(&seeded.random, data, size);
    for (size_t i = 0; field->type == KAFKA_STRING && i < size; i++) {
        data[i] &= 0x7f;
    }
    return span_of(data, size);
}

static void fill_struct(const struct kafka_struct *type, int16_t version, uint8_t *body);

static void fill_value(const struct kafka_field *field, int16_t version, void *at) {
    bool nullable = !field->array && kafka_versions_has(field->nullable, version);

    switch (field->type) {
    case KAFKA_STRING:
    case KAFKA_BYTES:
        *(struct span *)at = random_span(field, nullable);
        break;
    case KAFKA_RECORDS:
        ((struct kafka_records *)at)->span = random_span(field, nullable);
        break;
    case KAFKA_STRUCT:
        fill_struct(field->of, version, at);
        break;
    case KAFKA_OPTIONAL:
        if (below(4) > 0) {
            *(void **)at = kafka_new(&arena, field->of, 1);
            fill_struct(field->of, version, *(void **)at);
        }
        break;
    case KAFKA_BOOL:
        *(bool *)at = below(2);
        break;
    default:
        random_fill(&seeded.random, at, stride_of(field));
        break;
    }
}

static void fill_struct(const struct kafka_struct *type, int16_t version, uint8_t *body) {
    kafka_init(type, body, 1);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        bool nullable = kafka_versions_has(field->nullable, version);

        if (!kafka_versions_has(field->versions, version) ||
            (below(8) == 0 && field->type != KAFKA_RECORDS)) {
            continue; /* stays at its default */
        }
        if (!field->array) {
            fill_value(field, version, body + field->offset);
        } else if (nullable && below(4) == 0) {
            *(int32_t *)(void *)(body + field->count_offset) = -1;
        } else {
            int32_t count = (int32_t)below(4);
            uint8_t *elements = arena_alloc(&arena, (size_t)count * stride_of(field) + 1);

            for (int32_t e = 0; e < count; e++) {
                fill_value(field, version, elements + (size_t)e * stride_of(field));
            }
            *(uint8_t **)(void *)(body + field->offset) = elements;
            *(int32_t *)(void *)(body + field->count_offset) = count;
        }
    }
}

static bool same_struct(const struct kafka_struct *type, const uint8_t *a, const uint8_t *b);

static bool same_value(const struct kafka_field *field, const uint8_t *a, const uint8_t *b) {
    const struct span *x = (const void *)a;
    const struct span *y = (const void *)b;

    if (field->type == KAFKA_STRING || field->type == KAFKA_BYTES || field->type == KAFKA_RECORDS) {
        return span_equal(*x, *y) &&
               !x->data == !y->data; /* a records field begins with its span */
    }
    if (field->type == KAFKA_OPTIONAL) {
        const uint8_t *left = *(uint8_t *const *)(const void *)a;
        const uint8_t *right = *(uint8_t *const *)(const void *)b;

        return left && right ? same_struct(field->of, left, right) : left == right;
    }
    return field->type == KAFKA_STRUCT ? same_struct(field->of, a, b)
                                       : memcmp(a, b, stride_of(field)) == 0;
}

static bool same_struct(const struct kafka_struct *type, const uint8_t *a, const uint8_t *b) {
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct kafka_field *field = &type->fields[i];
        int32_t count =
            field->array ? *(const int32_t *)(const void *)(a + field->count_offset) : 0;

        if (!field->array) {
            if (!same_value(field, a + field->offset, b + field->offset)) {
                print_error("%s.%s differs\n", type->name, field->name);
                return false;
            }
            continue;
        }
        if (count != *(const int32_t *)(const void *)(b + field->count_offset)) {
            print_error("%s.%s differs in count\n", type->name, field->name);
            return false;
        }
        for (int32_t e = 0; e < count; e++) {
            const uint8_t *x = *(uint8_t *const *)(const void *)(a + field->offset);
            const uint8_t *y = *(uint8_t *const *)(const void *)(b + field->offset);

            if (!same_value(field, x + (size_t)e * stride_of(field),
                            y + (size_t)e * stride_of(field))) {
                return false;
            }
        }
    }
    return true;
}

typedef void (*each_fn)(const struct kafka_struct *type, int16_t version, bool flexible);

static void for_each_message(each_fn each) {
    for (size_t i = 0; i < kafka_api_count; i++) {
        const struct kafka_api *api = &kafka_apis[i];

        for (int16_t v = api->versions.first; v <= api->versions.last; v++) {
            each(api->request, v, v >= api->flexible_first);
            each(api->response, v, v >= api->flexible_first);
        }
    }
}

static void *random_body(const struct kafka_struct *type, int16_t version) {
    void *body = arena_alloc(&arena, type->size);

    fill_struct(type, version, body);
    return body;
}

static void check_round_trip(const struct kafka_struct *type, int16_t version, bool flexible) {
    for (int round = 0; round < 20; round++) {
        struct kafka_encoded out;
        size_t size;
        void *body = random_body(type, version);
        void *back = arena_alloc(&arena, type->size);

        kafka_encoded_init(&out);
        assert_int_equal(kafka_encode(type, version, flexible, body, &out), 0);
        assert_int_equal(
            kafka_decode(type, version, flexible, text_span(&out.text), &arena, back, &size), 0);
        assert_int_equal(size, out.text.size);
        if (!same_struct(type, body, back)) {
            fail_msg("%s version %d", type->name, version);
        }
        kafka_encoded_deinit(&out);
        arena_deinit(&arena);
    }
}

static void test_kafka_decode__gives_back_what_was_encoded(void **state) {
    for_each_message(check_round_trip);
}

static void check_truncated(const struct kafka_struct *type, int16_t version, bool flexible) {
    struct kafka_encoded out;
    void *body = random_body(type, version);

    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(type, version, flexible, body, &out), 0);
    for (size_t size = 0; size < out.text.size; size++) {
        /* A copy of that size, so that the sanitizer sees a byte read behind it. */
        _cleanup_(buf_unrefp) struct buf *cut = buf_copy(out.text.data, size);
        void *back;

        arena_deinit(&arena);
        back = arena_alloc(&arena, type->size);
        assert_int_equal(
            kafka_decode(type, version, flexible, span_of(cut->data, size), &arena, back, NULL),
            BROKER_E_MALFORMED);
    }
    kafka_encoded_deinit(&out);
    arena_deinit(&arena);
}

static void test_kafka_decode__refuses_every_truncation(void **state) {
    for_each_message(check_truncated);
}

static void check_mutated(const struct kafka_struct *type, int16_t version, bool flexible) {
    struct kafka_encoded out;
    void *body = random_body(type, version);
    void *back = arena_alloc(&arena, type->size);

    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(type, version, flexible, body, &out), 0);
    for (int round = 0; out.text.size && round < 50; round++) {
        _cleanup_(buf_unrefp) struct buf *bad = buf_copy(out.text.data, out.text.size);
        int r;

        bad->data[below(bad->size)] = (uint8_t)below(256);
        bad->data[below(bad->size)] = 0xff;
        r = kafka_decode(type, version, flexible, span_of(bad->data, bad->size), &arena, back,
                         NULL);
        assert_true(r == 0 || r == BROKER_E_MALFORMED);
    }
    kafka_encoded_deinit(&out);
    arena_deinit(&arena);
}

static void test_kafka_decode__survives_changed_bytes(void **state) {
    for_each_message(check_mutated);
}

/* A compact string could be longer than any of the old form; Kafka takes none that is. */
static void test_kafka_decode__takes_strings_of_32767_bytes_at_most(void **state) {
    static uint8_t in[4 + 32768 + 2];
    static const struct {
        size_t size;
        int result;
    } rows[] = {{32767, 0}, {32768, BROKER_E_MALFORMED}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_versions_request body;
        size_t size = rows[i].size;
        size_t n = varint_put_u64(in, size + 1);

        memset(in + n, 'n', size);
        memcpy(in + n + size, "\1\0", 2); /* the version is empty, there are no tags */
        assert_int_equal(kafka_decode(&kafka_api_versions_request_type, 3, true,
                                      span_of(in, n + size + 2), &arena, &body, NULL),
                         rows[i].result);
    }
}

/* Each length below 0 is null for Kafka, also one that a varint makes so. */
static void test_kafka_decode__takes_each_negative_length_as_null(void **state) {
    static const uint8_t old[] = {0xff, 0xff, 0xff, 0xf9};           /* topics of Metadata v1 */
    static const uint8_t compact[] = {0xff, 0xff, 0xff, 0xff, 0x0f,  /* of v9: 2^32 - 2 */
                                      0,    0,    0,                 /* booleans */
                                      0xff, 0xff, 0xff, 0xff, 0x0f}; /* and so many tags: none */
    static const uint8_t needed[] = {0xff, 0xfe, 0, 0, 0, 1, 0, 0};
    struct metadata_request metadata;
    struct heartbeat_request heartbeat;

    assert_int_equal(kafka_decode(&kafka_metadata_request_type, 1, false, span_of(old, sizeof old),
                                  &arena, &metadata, NULL),
                     0);
    assert_int_equal(metadata.topics_count, -1);
    assert_int_equal(kafka_decode(&kafka_metadata_request_type, 9, true,
                                  span_of(compact, sizeof compact), &arena, &metadata, NULL),
                     0);
    assert_int_equal(metadata.topics_count, -1);
    assert_int_equal(kafka_decode(&kafka_heartbeat_request_type, 0, false,
                                  span_of(needed, sizeof needed), &arena, &heartbeat, NULL),
                     BROKER_E_MALFORMED);
}

/* As Java reads them: one U+FFFD for each beginning of a character that does not go on. */
static void test_kafka_decode__reads_strings_that_are_no_utf_8(void **state) {
    static const uint8_t in[] = {0, 0, 0, 1, 0, 7, 'a', 0xff, 0xe2, 0x82, 'b', 0xc3, 0xa4};
    struct metadata_request body;

    assert_int_equal(kafka_decode(&kafka_metadata_request_type, 1, false, span_of(in, sizeof in),
                                  &arena, &body, NULL),
                     0);
    assert_true(span_equal(body.topics[0].name, SPAN_LITERAL("a\xef\xbf\xbd\xef\xbf\xbd"
                                                             "b\xc3\xa4")));
}

static void test_kafka_decode__checks_a_count_before_it_takes_memory(void **state) {
    static const uint8_t in[] = {0x7f, 0xff, 0xff, 0xff,
                                 0,    0,    0,    0}; /* Metadata v1, 2^31-1 topics */
    struct metadata_request body;
    size_t before = arena.used_bytes;

    assert_int_equal(kafka_decode(&kafka_metadata_request_type, 1, false, span_of(in, sizeof in),
                                  &arena, &body, NULL),
                     BROKER_E_MALFORMED);
    assert_int_equal(arena.used_bytes, before);
}

static void test_kafka_decode__ends_at_the_arenas_limit(void **state) {
    uint8_t in[4 + 3000] = {0, 0, 0x05, 0xdc}; /* Metadata v1, 1,500 topics of two bytes */
    struct metadata_request body;
    struct arena small;

    arena_init(&small, KIB(8));
    assert_true(kafka_decode(&kafka_metadata_request_type, 1, false, span_of(in, sizeof in), &small,
                             &body, NULL) < 0);
    arena_deinit(&small);
}

static void check_same_bytes(const struct kafka_struct *type, int16_t version, struct span in,
                             void *body) {
    struct kafka_encoded out;
    size_t size;

    assert_int_equal(kafka_decode(type, version, true, in, &arena, body, &size), 0);
    assert_int_equal(size, in.size);
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(type, version, true, body, &out), 0);
    assert_true(span_equal(text_span(&out.text), in));
    kafka_encoded_deinit(&out);
}

static void test_kafka_decode__lets_unknown_tagged_fields_survive(void **state) {
    /* ApiVersions v3: "a", "b", tags 77 with three bytes and 1000 with none. */
    static const uint8_t in[] = {2, 'a', 2, 'b', 2, 77, 3, 1, 2, 3, 0xe8, 7, 0};
    struct api_versions_request body;

    check_same_bytes(&kafka_api_versions_request_type, 3, span_of(in, sizeof in), &body);
    assert_true(span_equal(body.client_software_version, SPAN_LITERAL("b")));
}

static void test_kafka_encode__puts_unknown_tags_between_those_it_knows(void **state) {
    /* Fetch v18's partition with tags 0 and 1 of the schema, and 1 to 3 made up around them. */
    static const uint8_t head[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
                                   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t high_watermark[] = {1, 8, 0, 0, 0, 0, 0, 0, 0, 5};
    static const uint8_t unknown[] = {2, 1, 0xaa, 99, 0};
    struct fetch_request_partition body;
    struct text in;

    text_init(&in);
    text_append(&in, head, sizeof head);
    text_append(&in, "\4\0\20", 3); /* four tags; 0 has a uuid */
    text_append(&in, "0123456789abcdef", 16);
    text_append(&in, high_watermark, sizeof high_watermark);
    text_append(&in, unknown, sizeof unknown);
    check_same_bytes(&kafka_fetch_request_partition_type, 18, text_span(&in), &body);
    assert_int_equal(body.high_watermark, 5);

    /* The schema has tag 1 from version 18 on; before it, it is an error, as in Kafka. */
    assert_int_equal(kafka_decode(&kafka_fetch_request_partition_type, 17, true, text_span(&in),
                                  &arena, &body, NULL),
                     BROKER_E_MALFORMED);
    text_deinit(&in);
}

/* A field says itself where it ends; and what follows a size that is wrong is not kept. */
static void test_kafka_decode__does_not_mind_the_size_of_a_tag_that_it_knows(void **state) {
    /* The end of a Fetch v12: tags 0, the cluster's id, and 99; the size of the first is 2. */
    for (uint8_t size = 1; size < 4; size++) {
        uint8_t in[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0,   0,  0, 0,
                        0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 0, size, 2, 'x', 99, 1, 'y'};
        struct fetch_request body;

        assert_int_equal(kafka_decode(&kafka_fetch_request_type, 12, true, span_of(in, sizeof in),
                                      &arena, &body, NULL),
                         0);
        assert_true(span_equal(body.cluster_id, SPAN_LITERAL("x")));
        assert_int_equal(body.unknown_tags.size, size == 2 ? 8 : 0);
    }
}

static void test_kafka_decode__reads_a_struct_that_may_be_null(void **state) {
    /* DescribeTopicPartitions v0: no topics, limit 5, cursor null or "t" 3 (KIP-893, KIP-966). */
    static const uint8_t null[] = {1, 0, 0, 0, 5, 0xff, 0};
    static const uint8_t there[] = {1, 0, 0, 0, 5, 1, 2, 't', 0, 0, 0, 3, 0, 0};
    struct describe_topic_partitions_request body;

    check_same_bytes(&kafka_describe_topic_partitions_request_type, 0, span_of(null, sizeof null),
                     &body);
    assert_null(body.cursor);
    check_same_bytes(&kafka_describe_topic_partitions_request_type, 0, span_of(there, sizeof there),
                     &body);
    assert_true(span_equal(body.cursor->topic_name, SPAN_LITERAL("t")));
    assert_int_equal(body.cursor->partition_index, 3);
}

static void test_kafka_encode__leaves_tagged_fields_at_default_out(void **state) {
    struct produce_response_partition *partition = KAFKA_NEW(&arena, produce_response_partition, 1);
    struct kafka_encoded out;

    kafka_encoded_init(&out);
    assert_int_equal(
        kafka_encode(&kafka_produce_response_partition_type, 10, true, partition, &out), 0);
    assert_int_equal(out.text.data[out.text.size - 1], 0); /* no tags */
    kafka_encoded_clear(&out);
    partition->current_leader.leader_id = 5;
    assert_int_equal(
        kafka_encode(&kafka_produce_response_partition_type, 10, true, partition, &out), 0);
    /* one tag, number 0, 9 bytes: leader 5, epoch -1, no tags inside */
    static const uint8_t tail[] = {1, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0};
    assert_memory_equal(out.text.data + out.text.size - sizeof tail, tail, sizeof tail);
    kafka_encoded_deinit(&out);
}

static void test_kafka_encode__marks_where_foreign_records_belong(void **state) {
    struct fetch_response_partition *partition = KAFKA_NEW(&arena, fetch_response_partition, 1);
    struct kafka_encoded out;
    int chunk;

    partition->records.foreign = &chunk;
    partition->records.foreign_bytes = 1000;
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(&kafka_fetch_response_partition_type, 12, true, partition, &out),
                     0);
    assert_int_equal(out.splice_count, 1);
    assert_ptr_equal(out.splices[0].foreign, &chunk);
    assert_int_equal(out.splices[0].at, out.text.size - 1); /* in front of the empty tags */
    assert_int_equal(out.foreign_bytes, 1000);
    assert_int_equal((uint8_t)out.text.data[out.splices[0].at - 2], 0xe9); /* varint of 1001 */
    assert_int_equal(out.text.data[out.splices[0].at - 1], 0x07);
    kafka_encoded_deinit(&out);
}

/* A group that is named a thousand times costs its bytes a thousand times when they are written. */
static void test_kafka_encode__ends_where_an_answer_is_too_large(void **state) {
    enum { GROUPS = 1000, LARGE_BYTES = 1 << 20 };
    struct describe_groups_response *body = KAFKA_NEW(&arena, describe_groups_response, 1);
    struct describe_groups_response_member *member =
        KAFKA_NEW(&arena, describe_groups_response_member, 1);
    struct kafka_encoded out;

    member->member_metadata = span_of(arena_alloc(&arena, LARGE_BYTES), LARGE_BYTES);
    body->groups = KAFKA_NEW(&arena, describe_groups_response_group, GROUPS);
    body->groups_count = 90;
    for (int i = 0; i < GROUPS; i++) {
        body->groups[i].members = member;
        body->groups[i].members_count = 1;
    }
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(&kafka_describe_groups_response_type, 5, true, body, &out), 0);
    kafka_encoded_clear(&out);
    body->groups_count = GROUPS;
    assert_int_equal(kafka_encode(&kafka_describe_groups_response_type, 5, true, body, &out),
                     TOPIC_E_TOO_LARGE);
    assert_true(out.text.size <= KAFKA_ENCODED_MAX_BYTES + 2 * LARGE_BYTES);
    kafka_encoded_deinit(&out);
}

static void test_kafka_encode__refuses_a_string_that_is_too_long(void **state) {
    struct heartbeat_request *body = KAFKA_NEW(&arena, heartbeat_request, 1);
    struct kafka_encoded out;

    body->group_id = span_of(arena_alloc(&arena, 40000), 32768);
    kafka_encoded_init(&out);
    assert_int_equal(kafka_encode(&kafka_heartbeat_request_type, 0, false, body, &out),
                     TOPIC_E_TOO_LARGE);
    kafka_encoded_deinit(&out);
}

static int setup(void **state) {
    random_seeded_init(&seeded, 20261123);
    arena_init(&arena, MIB(16));
    return 0;
}

static int teardown(void **state) {
    arena_deinit(&arena);
    return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_kafka_decode__gives_back_what_was_encoded),
        TEST(test_kafka_decode__refuses_every_truncation),
        TEST(test_kafka_decode__survives_changed_bytes),
        TEST(test_kafka_decode__takes_strings_of_32767_bytes_at_most),
        TEST(test_kafka_decode__takes_each_negative_length_as_null),
        TEST(test_kafka_decode__reads_strings_that_are_no_utf_8),
        TEST(test_kafka_decode__checks_a_count_before_it_takes_memory),
        TEST(test_kafka_decode__ends_at_the_arenas_limit),
        TEST(test_kafka_decode__lets_unknown_tagged_fields_survive),
        TEST(test_kafka_encode__puts_unknown_tags_between_those_it_knows),
        TEST(test_kafka_decode__does_not_mind_the_size_of_a_tag_that_it_knows),
        TEST(test_kafka_decode__reads_a_struct_that_may_be_null),
        TEST(test_kafka_encode__leaves_tagged_fields_at_default_out),
        TEST(test_kafka_encode__marks_where_foreign_records_belong),
        TEST(test_kafka_encode__ends_where_an_answer_is_too_large),
        TEST(test_kafka_encode__refuses_a_string_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
