/* Where small batches live, when that memory goes, and what of it the bound of the tail counts. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL = 200, BLOCK_HAS_MORE_THAN = 40, MANY = 5000, UNITS_KEPT = 4096 };

static struct buf *bytes_of(size_t size, unsigned n) {
    struct buf *buf = buf_new(size);

    memset(buf->data, (int)n, size);
    return buf;
}

static struct tail_batch *make(struct tail_blocks *blocks, size_t size, unsigned n) {
    struct buf *buf = bytes_of(size, n);
    const struct slice slice = slice_of(buf, 0, size);
    struct tail_batch *batch = tail_batch_new(blocks, &slice);

    buf_unref(buf);
    return batch;
}

static void test_tail_block__small_batches_lie_one_behind_the_other(void **state) {
    struct tail_blocks blocks = {0};
    struct tail_batch *batches[20];

    for (unsigned i = 0; i < 20; i++) {
        batches[i] = make(&blocks, SMALL, i);
    }
    assert_int_equal(blocks.count, 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(batches[i]->batch.size, SMALL);
        assert_int_equal(batches[i]->batch.data[0], i);
        assert_int_equal(batches[i]->batch.data[SMALL - 1], i);
        assert_ptr_equal(batches[i]->batch.data, batches[0]->batch.data + (size_t)i * SMALL);
    }
    for (unsigned i = 0; i < 20; i++) {
        tail_batch_free(&blocks, batches[i]);
    }
    tail_blocks_deinit(&blocks);
    assert_int_equal(blocks.count, 0);
    assert_int_equal(blocks.dead_cost, 0);
}

static void test_tail_block__a_larger_batch_keeps_its_buf(void **state) {
    struct tail_blocks blocks = {0};
    struct buf *buf = bytes_of(TAIL_SMALL_BYTES + 1, 7);
    const struct slice with_buf = slice_of(buf, 0, buf->size);
    const struct slice without = {NULL, buf->data, buf->size};
    struct tail_batch *first = tail_batch_new(&blocks, &with_buf);
    struct tail_batch *second = tail_batch_new(&blocks, &without);

    assert_ptr_equal(first->batch.data, buf->data);
    assert_int_equal(buf->refs, 2);
    assert_ptr_not_equal(second->batch.data, buf->data);
    assert_memory_equal(second->batch.data, buf->data, buf->size);
    tail_batch_free(&blocks, first);
    tail_batch_free(&blocks, second);
    assert_int_equal(buf->refs, 1);
    assert_int_equal(blocks.count, 0);
    assert_int_equal(blocks.dead_cost, 0);
    buf_unref(buf);
}

static void test_tail_block__a_block_goes_with_its_last_batch(void **state) {
    struct tail_blocks blocks = {0};
    struct tail_batch *first[1000];
    struct buf *read;
    unsigned n = 0;

    do {
        first[n++] = make(&blocks, SMALL, 1);
    } while (blocks.count == 1);
    n--; /* which is the first one of the second block */
    assert_true(n > BLOCK_HAS_MORE_THAN);
    read = buf_ref(first[0]->batch.buf);
    for (unsigned i = 1; i < n; i++) {
        tail_batch_free(&blocks, first[i]);
    }
    assert_int_equal(blocks.count, 2);
    assert_int_equal(blocks.dead_cost, (n - 1) * tail_batch_cost(first[0]));
    tail_batch_free(&blocks, first[0]);
    assert_int_equal(blocks.count, 1);
    assert_int_equal(blocks.dead_cost, 0);
    assert_int_equal(read->data[0], 1); /* a reader has it still */
    buf_unref(read);
    tail_batch_free(&blocks, first[n]);
    tail_blocks_deinit(&blocks);
    assert_int_equal(blocks.count, 0);
}

static struct batch_spec spec_of(uint64_t tag) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = 100,
                               .tag = tag,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

/* Every tenth batch stays, and with it the block that nine of a deleted topic were in. */
static void test_tail_block__what_a_deleted_topic_leaves_counts_as_memory(void **state) {
    struct fixture f;

    fixture_init(&f, 5);
    f.limits.tail_bytes = 256 << 10;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *stays = fixture_topic(&f, "stays", 1, NULL)->partitions[0];
    for (unsigned round = 0; round < 5; round++) {
        char name[] = "goes0";
        name[4] = (char)('0' + round);
        struct topic *goes = fixture_topic(&f, name, 1, NULL);
        for (uint64_t n = 0; n < 500; n++) {
            struct batch_spec spec = spec_of(n);
            struct partition *to = n % 10 == 0 ? stays : goes->partitions[0];
            assert_true(fixture_append(&f, to, &spec) >= 0);
        }
        assert_int_equal(fixture_delete(&f, goes), 0);
        fixture_run_ms(&f, 1500);
        assert_true(f.log->blocks.dead_cost > 0);
    }
    struct batch_spec spec = spec_of(1);
    assert_true(fixture_append(&f, stays, &spec) >= 0);
    fixture_until(&f, f.log->unwritten_count == 0);
    assert_true(f.log->tail_cost + f.log->blocks.dead_cost <= f.limits.tail_bytes);
    assert_true((uint64_t)f.log->blocks.count * (16 << 10) <= 2 * f.limits.tail_bytes);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_append_units__are_kept_up_to_a_bound_and_until_it_is_quiet(void **state) {
    struct fixture f;
    static struct one ones[MANY];

    fixture_init(&f, 6);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (unsigned i = 0; i < MANY; i++) {
        struct batch_spec spec = spec_of(i);
        assert_int_equal(one_start(&f, &ones[i], partition, &spec), 0);
    }
    fixture_until(&f, ones[MANY - 1].done);
    assert_int_equal(f.log->free_unit_count, UNITS_KEPT);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(ones[i].part.base_offset, i);
        one_free(&ones[i]);
    }
    fixture_until(&f, f.log->trimmed);
    assert_int_equal(f.log->free_unit_count, 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail_block__small_batches_lie_one_behind_the_other),
        cmocka_unit_test(test_tail_block__a_larger_batch_keeps_its_buf),
        cmocka_unit_test(test_tail_block__a_block_goes_with_its_last_batch),
        cmocka_unit_test(test_tail_block__what_a_deleted_topic_leaves_counts_as_memory),
        cmocka_unit_test(test_append_units__are_kept_up_to_a_bound_and_until_it_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
