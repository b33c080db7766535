/* Which segments the writer holds open: when files that take turns fit, when they do not, when
 * others take over, and after a roll. */
#include "log_fixture.h"
#include "segment/segment.h"

#include <eventbox/loop/disk_sim.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CACHE = 8 };

static struct {
    struct disk *disk;
    struct disk_ops ops; /* the simulated disk's, but counting */
    const struct disk_ops *real;
    struct segment_writer *writer;
    unsigned opened, open;
} w;

static int counting_open(struct disk *disk, const char *path, unsigned flags,
                         struct disk_file **ret_file) {
    int r = w.real->open(disk, path, flags, ret_file);
    w.opened += r == 0;
    w.open += r == 0;
    return r;
}

static void counting_close(struct disk_file *file) {
    w.open -= file != NULL;
    w.real->close(file);
}

static int begin(void **state) {
    memset(&w, 0, sizeof w);
    assert_int_equal(disk_sim_new(1, &w.disk), 0);
    assert_int_equal(disk_mkdir(w.disk, "topics"), 0);
    w.real = w.disk->ops;
    w.ops = *w.disk->ops;
    w.ops.open = counting_open;
    w.ops.close = counting_close;
    w.disk->ops = &w.ops;
    assert_int_equal(segment_writer_new(w.disk, CACHE, &w.writer), 0);
    return 0;
}

static int end(void **state) {
    segment_writer_free(w.writer);
    assert_int_equal(w.open, 0);
    disk_free(w.disk);
    return 0;
}

/* A batch at the front of the segment of @partition: again and again the same one. */
static void write_first(int32_t partition, int64_t base_offset) {
    struct batch_spec spec = {.records = 1, .value_bytes = 10, .producer_id = -1};
    struct buf *batch = fixture_batch(&spec);
    struct segment_id id = {7, partition, base_offset};
    struct segment_piece piece = {span_of(batch->data, batch->size), 0, base_offset, 1000};
    struct segment_file *file;
    assert_int_equal(segment_writer_write(w.writer, &id, &piece, 1, &file), 0);
    segment_file_unref(file);
    buf_unref(batch);
}

/* Once round @count partitions; how many files were opened for it. */
static unsigned turn(int32_t first, int32_t count) {
    unsigned before = w.opened;
    for (int32_t i = 0; i < count; i++) {
        write_first(first + i, 0);
        assert_in_range(w.open, 1, CACHE);
    }
    return w.opened - before;
}

static void test_segment_writer__files_that_fit_are_opened_once(void **state) {
    assert_int_equal(turn(0, CACHE), CACHE);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(turn(0, CACHE), 0);
    }
    assert_int_equal(w.open, CACHE);
}

static void test_segment_writer__of_more_than_fit_most_stay_open(void **state) {
    turn(0, CACHE + 3);
    for (unsigned i = 0; i < 5; i++) {
        assert_in_range(turn(0, CACHE + 3), 3, 5);
    }
}

static void test_segment_writer__others_take_the_place_of_unused_ones(void **state) {
    turn(0, CACHE);
    for (unsigned i = 0; i < 20; i++) {
        turn(CACHE, CACHE);
    }
    assert_int_equal(turn(CACHE, CACHE), 0);
}

static void test_segment_writer__a_roll_closes_the_segment_before(void **state) {
    turn(0, 3);
    write_first(1, 100);
    assert_int_equal(w.open, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_segment_writer__files_that_fit_are_opened_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_segment_writer__of_more_than_fit_most_stay_open, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_segment_writer__others_take_the_place_of_unused_ones,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_segment_writer__a_roll_closes_the_segment_before,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
