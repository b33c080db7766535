/* What no checksum of a batch covers: base offset, length, leader epoch. Each wrong bit of them
 * costs the batch that it hit, is told, and nothing else. */
#include "lost_end.h"
#include "scrub/scrub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 40, VALUE_BYTES = 300 };

/* Two records each, so that there are offsets inside of a batch. */
static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = VALUE_BYTES,
                               .tag = UINT64_C(0x7a6f6e6500000000) + n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

static void fill(struct fixture *f) {
    fixture_init(f, 17);
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, NULL);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), n * 2);
    }
    fixture_stop(f);
}

static size_t batch_bytes(void) {
    struct batch_spec spec = spec_of(0);
    struct buf *buf = fixture_batch(&spec);
    size_t bytes = buf->size;
    buf_unref(buf);
    return bytes;
}

/* Reads batch @n by the offset of record @record in it: 0 when it is what was appended. */
static int read_batch(struct fixture *f, uint64_t n, int64_t record) {
    struct batch_spec spec = spec_of(n);
    struct buf *expected = fixture_batch(&spec);
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, fixture_partition(f, "t", 0), (int64_t)n * 2 + record, 1, &data);
    int r = size < 0 ? (int)-size : 0;
    if (size >= 0) {
        assert_int_equal(size, expected->size);
        assert_int_equal(get_be64(data), n * 2);
        assert_int_equal(get_be32(data + 12), 0);
        assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
    }
    free(data);
    buf_unref(expected);
    return r;
}

/* Only batch @hit is lost, whatever is read first, and whichever index there is by then. */
static void look(struct fixture *f, uint64_t hit) {
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < BATCHES; i++) {
            uint64_t n = round == 0 ? i : BATCHES - 1 - i;
            for (int64_t record = 0; record < 2; record++) {
                assert_int_equal(read_batch(f, n, record), n == hit ? BROKER_E_CORRUPT : 0);
            }
        }
        fixture_run_ms(f, 200); /* indexes that were asked for are made */
    }
    assert_true(f->events[TOPIC_LOG_DAMAGED] > 0);
}

struct found {
    unsigned count;
    int64_t from, to;
};

static void on_finding(void *userdata, const struct log_finding *finding) {
    struct found *found = userdata;
    found->count++;
    found->from = finding->from;
    found->to = finding->to;
}

/* verify names the offsets of batch @hit, and tells nothing else. */
static void check_verify(struct fixture *f, uint64_t hit) {
    struct found found = {.count = 0};
    fixture_verify(f, on_finding, &found);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.from, hit * 2);
    assert_int_equal(found.to, hit * 2 + 1);
}

static void hit_bits(uint64_t n, unsigned from, unsigned to, unsigned step) {
    struct fixture f;
    fill(&f);
    for (unsigned at = from; at < to; at++) {
        for (unsigned bit = at % step; bit < 8; bit += step) {
            fixture_flip(&f, SEGMENT_LOG, n * batch_bytes() + at, bit);
            check_verify(&f, n);
            f.events[TOPIC_LOG_DAMAGED] = 0;
            assert_int_equal(fixture_start(&f), 0);
            look(&f, n);
            fixture_stop(&f);
            fixture_flip(&f, SEGMENT_LOG, n * batch_bytes() + at, bit);
        }
    }
    fixture_deinit(&f);
}

static void test_batch_order__a_wrong_base_offset_costs_one_batch(void **state) {
    hit_bits(17, 0, 8, 1);
    hit_bits(0, 0, 8, 3);
    hit_bits(BATCHES - 1, 0, 8, 3);
}

static void test_batch_order__a_wrong_length_costs_one_batch(void **state) {
    hit_bits(18, 8, 12, 1);
    hit_bits(0, 8, 12, 3);
    hit_bits(BATCHES - 1, 8, 12, 3);
}

static void test_batch_order__a_wrong_leader_epoch_costs_one_batch(void **state) {
    hit_bits(19, 12, 16, 1);
    hit_bits(0, 12, 16, 3);
    hit_bits(BATCHES - 1, 12, 16, 3);
}

/* Its checksum covers it, but readers that pass by headers believe it. */
static void test_batch_order__a_wrong_last_offset_delta_costs_one_batch(void **state) {
    hit_bits(17, 23, 27, 1);
    hit_bits(BATCHES - 1, 23, 27, 3);
}

/* A power cut may leave zeros up to the middle of a header: such a batch looks like the first. */
static void test_batch_order__zeros_for_a_base_offset_are_not_the_first_batch(void **state) {
    enum { LAST = 4 };
    char path[SEGMENT_NAME_SIZE];
    struct fixture f;
    struct disk_file *file;
    fixture_init(&f, 20);
    f.limits.checkpoint_ms = 100000;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    for (uint64_t n = 0; n <= LAST; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), n * 2);
    }
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_segment_path(&f, 0, path);
    fixture_crash(&f, false);
    lost_end_lose_checkpoints(&f);
    uint64_t end = fixture_find_batch(&f, path, LAST) + sizeof(uint64_t);
    uint8_t *zeros = calloc(1, end);
    assert_int_equal(disk_open(f.disk, path, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, zeros, end, 0), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
    free(zeros);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0); /* frames have all of it */
    for (uint64_t n = 0; n <= LAST; n++) {
        assert_int_equal(read_batch(&f, n, 0), 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Where values are batches themselves, a search behind rot must not take them for the log's: these
 * two agree with each other and begin at an offset that could follow. */
static void test_batch_order__batches_in_a_value_are_not_taken_for_the_log_s(void **state) {
    struct fixture f;
    struct record_batch_builder builder;
    struct batch_spec spec = spec_of(0);
    struct text inner;
    fixture_init(&f, 18);
    assert_int_equal(fixture_start(&f), 0);
    assert_non_null(fixture_topic(&f, "t", 1, NULL));
    text_init(&inner);
    for (int64_t offset = 4; offset < 8; offset += 2) {
        struct buf *buf = fixture_batch(&spec);
        record_batch_assign(buf->data, offset, 0);
        text_append(&inner, buf->data, buf->size);
        buf_unref(buf);
    }
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 0);
    record_batch_builder_init(&builder);
    record_batch_builder_add(&builder, 1, SPAN_NULL, SPAN_LITERAL("rot hits this one"), NULL, 0);
    record_batch_builder_add(&builder, 1, SPAN_NULL, text_span(&inner), NULL, 0);
    text_deinit(&inner);
    assert_int_equal(fixture_append_buf(&f, fixture_partition(&f, "t", 0),
                                        record_batch_builder_finish(&builder, 0)),
                     2);
    record_batch_builder_deinit(&builder);
    for (uint64_t n = 2; n < BATCHES; n++) {
        spec = spec_of(n);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), n * 2);
    }
    fixture_stop(&f);
    fixture_flip(&f, SEGMENT_LOG, batch_bytes() + 70, 3); /* in the first value */
    check_verify(&f, 1);
    assert_int_equal(fixture_start(&f), 0);
    look(&f, 1);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* ---- what rot says of a length is not what memory is asked for ---- */

static int (*pread_below)(struct disk_file *, void *, size_t, uint64_t, size_t *);
static size_t largest_read;

static int pread_noting_its_size(struct disk_file *file, void *data, size_t size, uint64_t offset,
                                 size_t *ret_size) {
    largest_read = MAX(largest_read, size);
    return pread_below(file, data, size, offset, ret_size);
}

static void read_each(struct fixture *f, int64_t count, int64_t hit) {
    for (int64_t n = 0; n < count; n++) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(f, fixture_partition(f, "t", 0), n, 1, &data);
        assert_true(n == hit ? size == -BROKER_E_CORRUPT : size > 0);
        free(data);
    }
}

/* One bit makes a batch of 1 MB one of 17: readers, the scrub and a lookup by time meet it. */
static void test_batch_order__a_wrong_length_costs_no_memory(void **state) {
    enum { LARGE = 1000000, COUNT = 26, CLOSED = 24, HIT = 3, MOST = 2 << 20 };
    const struct topic_config_entry configs[] = {{"segment.bytes", "24100000"}, {0}};
    struct fixture f;
    fixture_init(&f, 19);
    f.limits.scrub_interval_ms = 60000;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, configs);
    size_t bytes = 0;
    for (uint64_t n = 0; n < COUNT; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = LARGE,
                                  .tag = n,
                                  .timestamp_ms = 1700000000000 + (int64_t)n,
                                  .producer_id = -1};
        struct buf *buf = fixture_batch(&spec);
        bytes = buf->size;
        buf_unref(buf);
        assert_int_equal(fixture_append(&f, partition_get(topic, 0), &spec), n);
    }
    fixture_stop(&f);
    fixture_flip(&f, SEGMENT_LOG, HIT * bytes + 8, 0);
    struct disk_ops ops = *f.disk->ops;
    pread_below = ops.pread;
    ops.pread = pread_noting_its_size;
    assert_int_equal(fixture_start(&f), 0);
    const struct log_partition *partition = log_partition_of(fixture_partition(&f, "t", 0));
    assert_int_equal(partition->segments[0].bytes, CLOSED * bytes);
    f.disk->ops = &ops;
    largest_read = 0;
    read_each(&f, COUNT, HIT);
    assert_in_range(largest_read, bytes, MOST);
    (void)fixture_lookup(&f, fixture_partition(&f, "t", 0), 1700000000000 + HIT);
    assert_in_range(largest_read, bytes, MOST);
    largest_read = 0;
    fixture_until(&f, f.log->stats.scrub_ended_s > 0);
    assert_int_equal(f.log->stats.scrub_damaged, 1);
    assert_in_range(largest_read, 1, SCRUB_BUFFER_BYTES);
    read_each(&f, COUNT, HIT);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_order__a_wrong_base_offset_costs_one_batch),
        cmocka_unit_test(test_batch_order__a_wrong_length_costs_one_batch),
        cmocka_unit_test(test_batch_order__a_wrong_leader_epoch_costs_one_batch),
        cmocka_unit_test(test_batch_order__a_wrong_last_offset_delta_costs_one_batch),
        cmocka_unit_test(test_batch_order__zeros_for_a_base_offset_are_not_the_first_batch),
        cmocka_unit_test(test_batch_order__batches_in_a_value_are_not_taken_for_the_log_s),
        cmocka_unit_test(test_batch_order__a_wrong_length_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
