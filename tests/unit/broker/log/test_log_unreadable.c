/* Blocks that the disk refuses to read: they cost the batches that are in them, an index nothing.
 */
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 300, VALUE_BYTES = 1000, OPEN_MAX = 16, ALL = 1 << 20 };
enum { REFUSED_AT = 2 * DISK_ALIGN, REFUSED_TO = 3 * DISK_ALIGN };

/* ---- a disk with a bad block ---- */

static struct {
    struct disk_ops ops;
    const struct disk_ops *below;
    enum segment_kind kind; /* of the only segment */
    uint64_t from, to;      /* these bytes of it */
    struct disk_file *open[OPEN_MAX];
    unsigned refused;
} bad;

static int bad_open(struct disk *disk, const char *path, unsigned flags,
                    struct disk_file **ret_file) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(&(struct segment_id){1, 0, 0}, bad.kind, name);
    int r = bad.below->open(disk, path, flags, ret_file);
    for (int i = 0; r == 0 && strcmp(path, name) == 0; i++) {
        assert_in_range(i, 0, OPEN_MAX - 1);
        if (!bad.open[i]) {
            bad.open[i] = *ret_file;
            break;
        }
    }
    return r;
}

static void bad_close(struct disk_file *file) {
    for (int i = 0; i < OPEN_MAX; i++) {
        bad.open[i] = bad.open[i] == file ? NULL : bad.open[i];
    }
    bad.below->close(file);
}

static int bad_pread(struct disk_file *file, void *data, size_t size, uint64_t offset,
                     size_t *ret_size) {
    for (int i = 0; i < OPEN_MAX; i++) {
        if (file && bad.open[i] == file && offset < bad.to && offset + size > bad.from) {
            bad.refused++;
            return -EIO;
        }
    }
    return bad.below->pread(file, data, size, offset, ret_size);
}

/* All batches in the one closed log, and the disk refuses from @from up to @to of a file of it. */
static void start_on_bad_disk(struct fixture *f, enum segment_kind kind, uint64_t from,
                              uint64_t to) {
    fixture_init(f, 11);
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, NULL);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = VALUE_BYTES,
                                  .tag = n,
                                  .timestamp_ms = 1700000000000 + (int64_t)n,
                                  .producer_id = -1};
        assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), n);
    }
    fixture_stop(f);
    memset(&bad, 0, sizeof bad);
    bad.below = f->disk->ops;
    bad.ops = *bad.below;
    bad.ops.open = bad_open;
    bad.ops.close = bad_close;
    bad.ops.pread = bad_pread;
    bad.kind = kind;
    bad.from = from;
    bad.to = to;
    f->disk->ops = &bad.ops;
}

static uint64_t batch_bytes(struct partition *partition) {
    return log_partition_of(partition)->segments[0].bytes / BATCHES;
}

/* How many batches a large read from @offset brings, or the error. */
static int64_t read_from(struct fixture *f, struct partition *partition, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t bytes = fixture_read(f, partition, offset, ALL, &data);
    if (bytes > 0) {
        assert_int_equal(get_be64(data), offset);
    }
    free(data);
    return bytes < 0 ? bytes : bytes / (int64_t)batch_bytes(partition);
}

/* ---- reads ---- */

static void test_log_unreadable__a_block_costs_only_its_batches(void **state) {
    struct fixture f;
    start_on_bad_disk(&f, SEGMENT_LOG, REFUSED_AT, REFUSED_TO);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    int64_t first = (int64_t)(REFUSED_AT / batch_bytes(partition));
    int64_t last = (int64_t)((REFUSED_TO - 1) / batch_bytes(partition));
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(read_from(&f, partition, 0), first);
        for (int64_t offset = first; offset <= last; offset++) {
            assert_int_equal(read_from(&f, partition, offset), -EIO);
        }
        assert_true(read_from(&f, partition, last + 1) > 20);
        for (int64_t offset = 0; offset < BATCHES; offset++) {
            assert_true(read_from(&f, partition, offset) > 0 ||
                        (offset >= first && offset <= last));
        }
    }
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    assert_non_null(strstr(f.last_event, "the disk cannot read the batch at offset"));
    /* By time: what stands before the block is found; what is in it or behind may be. */
    assert_int_equal(fixture_lookup(&f, partition, 1700000000000 + first - 1), first - 1);
    assert_int_equal(fixture_lookup(&f, partition, 1700000000000 + first), -EIO);
    assert_int_equal(fixture_lookup(&f, partition, 1700000000000 + BATCHES - 1), BATCHES - 1);
    /* Another try may succeed, and then counts: nothing was set aside. */
    assert_int_equal(log_partition_of(partition)->rot_count, 0);
    assert_int_equal(f.log->stats.scrub_damaged, 0);
    bad.from = bad.to = 0;
    assert_true(read_from(&f, partition, first) > 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* It may take seconds over each, and others wait for the reader thread. */
static void test_log_unreadable__a_disk_that_refuses_everything_is_asked_few_times(void **state) {
    struct fixture f;
    start_on_bad_disk(&f, SEGMENT_LOG, 0, UINT64_MAX);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    bad.refused = 0;
    assert_int_equal(read_from(&f, partition, 0), -EIO);
    assert_in_range(bad.refused, 1, 30);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_unreadable__what_is_behind_many_blocks_is_read(void **state) {
    enum { MANY = 32 };
    struct fixture f;
    start_on_bad_disk(&f, SEGMENT_LOG, REFUSED_AT, REFUSED_AT + MANY * DISK_ALIGN);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    int64_t behind = (int64_t)(bad.to / batch_bytes(partition)) + 1;
    assert_true(read_from(&f, partition, 0) > 5); /* a boundary before them is known from now on */
    /* One beyond the first entry of the index behind them. */
    for (int64_t offset = behind + 5; offset < BATCHES; offset++) {
        assert_true(read_from(&f, partition, offset) > 0);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_unreadable__an_index_costs_nothing(void **state) {
    static const enum segment_kind kinds[] = {SEGMENT_INDEX, SEGMENT_TIMEINDEX};
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct fixture f;
        start_on_bad_disk(&f, kinds[i], 0, DISK_ALIGN);
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_partition(&f, "t", 0);
        assert_int_equal(fixture_lookup(&f, partition, 1700000000000 + 200), 200);
        for (int64_t offset = BATCHES - 1; offset >= 0; offset -= 7) {
            assert_true(read_from(&f, partition, offset) > 0);
        }
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        assert_true(bad.refused > 0);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* ---- log verify ---- */

struct found {
    struct log_finding losses[4];
    unsigned loss_count, mends_count;
};

static void on_finding(void *userdata, const struct log_finding *finding) {
    struct found *found = userdata;
    if (finding->level == FINDING_LOSS) {
        assert_in_range(found->loss_count, 0, 3);
        found->losses[found->loss_count++] = *finding;
    }
    found->mends_count += finding->level == FINDING_MENDS;
}

static void verify(struct fixture *f, struct found *found) {
    *found = (struct found){0};
    fixture_verify(f, on_finding, found);
}

/* Who goes on behind the entries that it refuses makes all of them anew. */
static void test_log_unreadable__an_index_that_goes_on_is_made_anew(void **state) {
    struct fixture f;
    start_on_bad_disk(&f, SEGMENT_INDEX, INDEX_HEADER_BYTES, DISK_ALIGN);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_partition(&f, "t", 0);
    struct batch_spec spec = {.records = 1, .value_bytes = VALUE_BYTES, .producer_id = -1};
    assert_int_equal(fixture_append(&f, partition, &spec), BATCHES);
    fixture_run_ms(&f, 5000);
    assert_true(bad.refused > 0);
    assert_int_equal(f.events[TOPIC_LOG_FAILED], 0);
    bad.to = 0; /* a disk replaces what is written anew */
    bad.refused = 0;
    fixture_stop(&f);
    struct found found;
    verify(&f, &found);
    assert_int_equal(found.loss_count + found.mends_count, 0);
    fixture_deinit(&f);
}

static void test_log_unreadable__verify_names_the_batches_of_the_block(void **state) {
    for (unsigned direct = 0; direct < 2; direct++) {
        struct fixture f;
        struct found found;
        start_on_bad_disk(&f, SEGMENT_LOG, REFUSED_AT, REFUSED_TO);
        disk_sim_refuse_direct(f.disk, direct == 0);
        verify(&f, &found);
        assert_int_equal(found.loss_count, 1);
        assert_in_range(found.losses[0].from, 5, REFUSED_AT / VALUE_BYTES);
        assert_in_range(found.losses[0].to, found.losses[0].from + 3, REFUSED_TO / VALUE_BYTES);
        fixture_deinit(&f);
    }
}

static void test_log_unreadable__verify_does_not_call_an_index_a_loss(void **state) {
    struct fixture f;
    struct found found;
    start_on_bad_disk(&f, SEGMENT_TIMEINDEX, 0, DISK_ALIGN);
    verify(&f, &found);
    assert_int_equal(found.loss_count, 0);
    assert_int_equal(found.mends_count, 1);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_unreadable__a_block_costs_only_its_batches),
        cmocka_unit_test(test_log_unreadable__a_disk_that_refuses_everything_is_asked_few_times),
        cmocka_unit_test(test_log_unreadable__what_is_behind_many_blocks_is_read),
        cmocka_unit_test(test_log_unreadable__an_index_costs_nothing),
        cmocka_unit_test(test_log_unreadable__an_index_that_goes_on_is_made_anew),
        cmocka_unit_test(test_log_unreadable__verify_names_the_batches_of_the_block),
        cmocka_unit_test(test_log_unreadable__verify_does_not_call_an_index_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
