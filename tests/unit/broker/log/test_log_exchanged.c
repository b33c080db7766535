/* Two blocks of a segment that have changed places, as where a disk writes to the wrong one: the
 * batches in them are right, and in the wrong order. What lies between must not go with them. Some
 * are zeroed or cut besides. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START_MS INT64_C(1700000000000) /* of the fixture's clock */

enum { BATCHES = 400, BLOCK = 4096, SEGMENT_BYTES = 64 << 10, LATE = 5, LATE_MS = 1000 };

static const unsigned pairs[][2] = {{0, 3}, {2, 9}, {4, 5}, {1, 14}, {5, 7}};
static const char path[] = "topics/1-0/00000000000000000000.log";

struct place {
    uint64_t from, to; /* bytes of a batch in the segment */
};

static int64_t first_more; /* bytes that the first batch has beyond what it should */

static struct batch_spec spec_of(int64_t offset) {
    return (struct batch_spec){
        .records = 1,
        .value_bytes = (size_t)(150 + offset * offset % 90 + (offset == 0 ? first_more : 0)),
        .tag = (uint64_t)offset,
        .timestamp_ms = START_MS + (offset == LATE ? LATE_MS : 0),
        .producer_id = -1};
}

static void begin(struct fixture *f, uint64_t seed, int64_t scrub_interval_ms) {
    const struct topic_config_entry configs[] = {
        {"segment.bytes", "65536"}, {"retention.ms", "-1"}, {0}};
    fixture_init(f, seed);
    f->limits.scrub_interval_ms = scrub_interval_ms;
    f->limits.journal_first_bytes = 16 << 10; /* so that it has nothing of the first segment */
    f->limits.journal_max_bytes = 128 << 10;
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, configs)->partitions[0];
    for (int64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n);
    }
    fixture_stop(f);
}

/* Where the batches of the first segment are; how many. */
static unsigned find_batches(struct fixture *f, struct place *places) {
    struct disk_file *file;
    uint64_t size, at = 0;
    unsigned count = 0;
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    assert_true(size > SEGMENT_BYTES - BLOCK);
    while (at < size) {
        uint8_t header[12];
        size_t got;
        assert_int_equal(disk_pread(file, header, sizeof header, at, &got), 0);
        assert_int_equal(get_be64(header), count);
        places[count].from = at;
        at += sizeof header + get_be32(header + 8);
        places[count++].to = at;
    }
    disk_close(file);
    return count;
}

static void exchange(struct fixture *f, const unsigned pair[2]) {
    uint8_t first[BLOCK], second[BLOCK];
    struct disk_file *file;
    size_t got;
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, first, BLOCK, pair[0] * BLOCK, &got), 0);
    assert_int_equal(disk_pread(file, second, BLOCK, pair[1] * BLOCK, &got), 0);
    assert_int_equal(disk_pwrite(file, second, BLOCK, pair[0] * BLOCK), 0);
    assert_int_equal(disk_pwrite(file, first, BLOCK, pair[1] * BLOCK), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

static uint64_t cut_at = UINT64_MAX; /* where the segment was cut short, too */

static void cut(struct fixture *f, uint64_t size) {
    struct disk_file *file;
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, size), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
    cut_at = size;
}

static bool is_hit(const struct place *place, const unsigned pair[2]) {
    if (place->to > cut_at) {
        return true;
    }
    for (unsigned n = 0; n < 2; n++) {
        if (place->from < (pair[n] + 1) * BLOCK && place->to > pair[n] * BLOCK) {
            return true;
        }
    }
    return false;
}

/* All that is in neither block can be read, and nothing reads as something else. */
static void look(struct fixture *f, const struct place *places, unsigned count,
                 const unsigned pair[2]) {
    struct partition *partition = fixture_partition(f, "t", 0);
    for (int64_t n = 0; n < BATCHES; n++) {
        uint8_t *data = NULL;
        ssize_t size = fixture_read(f, partition, n, 1, &data);
        if (size < 0) {
            assert_int_equal(size, -BROKER_E_CORRUPT);
            if (n >= count || !is_hit(&places[n], pair)) {
                fail_msg("blocks %u and %u cost offset %lld", pair[0], pair[1], (long long)n);
            }
            continue;
        }
        struct batch_spec spec = spec_of(n);
        struct buf *expected = fixture_batch(&spec);
        assert_int_equal(get_be64(data), n);
        assert_int_equal(size, expected->size);
        assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
        buf_unref(expected);
        free(data);
    }
}

static void start_without_checkpoints(struct fixture *f) {
    assert_int_equal(disk_sim_corrupt(f->disk, "checkpoint.0", 70, 8, 1), 0);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 70, 8, 1);
    f->expect_failures = true;
    assert_int_equal(fixture_start(f), 0);
}

static void test_log_exchanged__a_start_without_checkpoints_keeps_what_is_between(void **state) {
    for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct fixture f;
        struct place places[BATCHES];
        begin(&f, 20 + i, 0);
        unsigned count = find_batches(&f, places);
        exchange(&f, pairs[i]);
        start_without_checkpoints(&f);
        assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
        look(&f, places, count, pairs[i]);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_exchanged__the_scrub_sets_nothing_aside_that_is_between(void **state) {
    for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct fixture f;
        struct place places[BATCHES];
        begin(&f, 30 + i, 60000);
        unsigned count = find_batches(&f, places);
        exchange(&f, pairs[i]);
        f.expect_failures = true;
        assert_int_equal(fixture_start(&f), 0);
        look(&f, places, count, pairs[i]);
        fixture_until(&f, f.log->stats.scrub_ended_s > 0);
        assert_true(f.log->stats.scrub_damaged > 0);
        look(&f, places, count, pairs[i]);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* So that block 1 begins amid the header of a batch, @before bytes behind its begin. */
static void place_header_across(struct place *places, int64_t before) {
    struct fixture f;
    unsigned at = 0;
    begin(&f, 50, 0);
    (void)find_batches(&f, places);
    fixture_deinit(&f);
    while (places[at].to <= BLOCK) {
        at++;
    }
    first_more = BLOCK - before - (int64_t)places[at].from;
}

/* What stands behind the front of such a header once that has moved may say that the batch goes on
 * for long. The way from a boundary that is known ends there; the batches behind are where they
 * were. */
static void test_log_exchanged__a_read_finds_what_its_way_leads_past(void **state) {
    struct place places[BATCHES];
    place_header_across(places, 20); /* behind its magic, before its last offset */
    for (unsigned other = 1; other < 15; other++) {
        const unsigned pair[] = {0, other};
        struct fixture f;
        begin(&f, 50, 0);
        unsigned count = find_batches(&f, places);
        exchange(&f, pair);
        f.expect_failures = true;
        assert_int_equal(fixture_start(&f), 0);
        look(&f, places, count, pair);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    first_more = 0;
}

/* The batch with the time, which is the only one so new, is readable: it is found, or it is told
 * that something stands in the way. */
static void look_up_late(struct fixture *f, struct partition *partition) {
    struct partition_lookup lookup;
    int r = fixture_lookup_all(f, partition, START_MS + LATE_MS, &lookup);
    if (r != BROKER_E_CORRUPT && (r || lookup.ret_offset != LATE)) {
        fail_msg("the lookup answers %d, offset %lld", r, (long long)lookup.ret_offset);
    }
}

/* Zeros took the base offset of a batch and nothing that its checksum covers: it is not the one at
 * offset 0, though that is lost and so explains that the next one does not follow. */
static void test_log_exchanged__a_zeroed_base_offset_is_not_offset_0(void **state) {
    static const unsigned pair[] = {0, 0};
    static const uint8_t zeros[BLOCK];
    struct fixture f;
    struct place places[BATCHES];
    struct disk_file *file;
    place_header_across(places, 10); /* its base offset, and two bytes of its length that are 0 */
    begin(&f, 50, 0);
    unsigned count = find_batches(&f, places);
    assert_int_equal(disk_open(f.disk, path, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, zeros, BLOCK, 0), 0);
    disk_close(file);
    start_without_checkpoints(&f);
    look(&f, places, count, pair);
    fixture_stop(&f);
    fixture_deinit(&f);
    first_more = 0;
}

/* What stands in the place of another may end where the segment does: what comes behind it by
 * offset stands before it. */
static void test_log_exchanged__a_boundary_at_the_end_is_not_the_end_of_all(void **state) {
    static const unsigned pair[] = {3, 14};
    const uint64_t moved = (pair[1] - pair[0]) * BLOCK;
    struct fixture f;
    struct place places[BATCHES];
    begin(&f, 50, 0);
    unsigned count = find_batches(&f, places), last = 0;
    while (places[last + 1].to <= (pair[0] + 1) * BLOCK) {
        last++;
    }
    exchange(&f, pair);
    cut(&f, places[last].to + moved);
    start_without_checkpoints(&f);
    look(&f, places, count, pair);
    fixture_stop(&f);
    fixture_deinit(&f);
    cut_at = UINT64_MAX;
}

/* A read has the indexes made anew, by a walk that does not meet it. */
static void test_log_exchanged__a_lookup_by_time_knows_what_an_index_leads_past(void **state) {
    for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct fixture f;
        struct place places[BATCHES];
        begin(&f, 70 + i, 0);
        unsigned count = find_batches(&f, places);
        exchange(&f, pairs[i]);
        f.expect_failures = true;
        assert_int_equal(fixture_start(&f), 0);
        look(&f, places, count, pairs[i]);
        fixture_until(&f, !f.log->rebuilding);
        look_up_late(&f, fixture_partition(&f, "t", 0));
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* ---- a segment of not many blocks ---- */

enum { FEW = 44 };

/* The first block to the place of the second, whose bytes are gone. */
static void shift(struct fixture *f) {
    static const uint8_t zeros[BLOCK];
    uint8_t first[BLOCK];
    struct disk_file *file;
    size_t got;
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, first, BLOCK, 0, &got), 0);
    assert_int_equal(disk_pwrite(file, first, BLOCK, BLOCK), 0);
    assert_int_equal(disk_pwrite(file, zeros, BLOCK, 0), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

/* The first two of its blocks are exchanged; no run of right batches is longer than a block, so a
 * walk takes those of the second for what comes first. */
static void exchange_first(struct fixture *f) {
    static const unsigned pair[] = {0, 1};
    exchange(f, pair);
}

/* Started without checkpoints, on what @damage has left. */
static struct partition *begin_few(struct fixture *f, uint64_t seed, bool journal_has_them,
                                   void (*damage)(struct fixture *f)) {
    fixture_init(f, seed);
    f->limits.journal_first_bytes = journal_has_them ? 1 << 20 : 16 << 10;
    f->limits.journal_max_bytes = journal_has_them ? 2 << 20 : 64 << 10;
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, NULL)->partitions[0];
    for (int64_t n = 0; n < FEW; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n);
    }
    partition = fixture_topic(f, "other", 1, NULL)->partitions[0];
    for (int64_t n = 0; n < BATCHES && !journal_has_them; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n);
    }
    fixture_stop(f);
    damage(f);
    assert_int_equal(disk_sim_corrupt(f->disk, "checkpoint.0", 70, 8, 1), 0);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 70, 8, 1);
    f->expect_failures = true;
    assert_int_equal(fixture_start(f), 0);
    return fixture_partition(f, "t", 0);
}

static bool is_readable(struct fixture *f, struct partition *partition, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, partition, offset, 1, &data);
    struct batch_spec spec = spec_of(offset);
    struct buf *expected = fixture_batch(&spec);
    bool readable = size > 0;
    if (readable) {
        assert_int_equal(get_be64(data), offset);
        assert_int_equal(size, expected->size);
        assert_memory_equal(data + 16, expected->data + 16, expected->size - 16);
        free(data);
    }
    buf_unref(expected);
    return readable;
}

/* Put back to their block, batches overwrite right ones that stand there. Those are of later frames
 * where the blocks were exchanged, of earlier ones where the first stands in the second's place. */
static void test_log_exchanged__what_is_put_back_costs_nothing_that_frames_have(void **state) {
    void (*const damages[])(struct fixture * f) = {exchange_first, shift};
    for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
        struct fixture f;
        struct partition *partition = begin_few(&f, 60 + i, true, damages[i]);
        for (int64_t n = 0; n < FEW; n++) {
            if (!is_readable(&f, partition, n)) {
                fail_msg("damage %u: offset %lld is lost", i, (long long)n);
            }
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* The walk does not meet it, so what it says of the segment's times does not count it. */
static void test_log_exchanged__a_lookup_by_time_knows_what_the_walk_leads_past(void **state) {
    struct fixture f;
    struct partition *partition = begin_few(&f, 62, false, exchange_first);
    assert_true(is_readable(&f, partition, LATE));
    look_up_late(&f, partition);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_exchanged__a_start_without_checkpoints_keeps_what_is_between),
        cmocka_unit_test(test_log_exchanged__the_scrub_sets_nothing_aside_that_is_between),
        cmocka_unit_test(test_log_exchanged__a_read_finds_what_its_way_leads_past),
        cmocka_unit_test(test_log_exchanged__a_zeroed_base_offset_is_not_offset_0),
        cmocka_unit_test(test_log_exchanged__a_boundary_at_the_end_is_not_the_end_of_all),
        cmocka_unit_test(test_log_exchanged__a_lookup_by_time_knows_what_an_index_leads_past),
        cmocka_unit_test(test_log_exchanged__what_is_put_back_costs_nothing_that_frames_have),
        cmocka_unit_test(test_log_exchanged__a_lookup_by_time_knows_what_the_walk_leads_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
