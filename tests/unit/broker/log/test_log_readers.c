/* Readers beside each other: one far behind takes nothing from those at the end, nor from writers.
 */
#include "append/tail.h"
#include "log_fixture.h"
#include "read/reader.h"

#include <eventbox/base/crc32c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 400, VALUE_BYTES = 1000, TAIL_BYTES = 64 << 10, BEHIND = 200 };

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = VALUE_BYTES,
                               .tag = n,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

/* Six times what memory may hold. */
static struct partition *fill(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.tail_bytes = TAIL_BYTES;
    assert_int_equal(fixture_start(f), 0);
    struct partition *partition = fixture_topic(f, "t", 1, NULL)->partitions[0];
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition, &spec), n);
    }
    fixture_until(f, f->log->unwritten_count == 0);
    return partition;
}

static int64_t first_in_memory(const struct partition *partition) {
    return tail_at((const struct log_partition *)partition, 0)->base_offset;
}

static void read_one(struct fixture *f, struct partition *partition, int64_t offset) {
    uint8_t *data;
    assert_true(fixture_read(f, partition, offset, 1, &data) > 0);
    free(data);
}

static uint64_t reads_elsewhere(const struct fixture *f) {
    return f->log->stats.reads_cache + f->log->stats.reads_disk;
}

static void test_log_readers__one_far_behind_pushes_nothing_out_of_memory(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 71);
    int64_t first = first_in_memory(partition);
    uint64_t cost = f.log->tail_cost, memory = f.log->stats.reads_memory;
    assert_in_range(first, BEHIND, BATCHES - 20);
    for (int64_t offset = 0; offset < BEHIND; offset++) {
        read_one(&f, partition, offset);
        if (offset % 10 == 0) {
            read_one(&f, partition, first); /* the oldest that memory has */
        }
    }
    assert_int_equal(reads_elsewhere(&f), BEHIND);
    assert_int_equal(f.log->stats.reads_memory, memory + BEHIND / 10);
    assert_int_equal(first_in_memory(partition), first);
    assert_int_equal(f.log->tail_cost, cost);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* As a codec would leave it: what is behind the header is nobody's business here. */
static struct buf *compressed_batch(size_t bytes) {
    const struct batch_spec spec = {.records = 1, .value_bytes = bytes, .producer_id = -1};
    struct buf *buf = fixture_batch(&spec);
    put_be16(buf->data + RECORD_BATCH_AT_ATTRIBUTES, 3); /* lz4 */
    for (size_t i = RECORD_BATCH_HEADER_BYTES; i < buf->size; i++) {
        buf->data[i] = (uint8_t)(i * 131);
    }
    put_be32(buf->data + RECORD_BATCH_AT_CRC, crc32c(0, buf->data + RECORD_BATCH_AT_ATTRIBUTES,
                                                     buf->size - RECORD_BATCH_AT_ATTRIBUTES));
    return buf;
}

/* A read of what is in memory gives that memory, and the records as they came, whatever they are.
 */
static void test_log_readers__memory_is_given_as_it_is(void **state) {
    static const size_t sizes[] = {100, 5000, 40000, 900000};
    struct fixture f;
    fixture_init(&f, 77);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct buf *sent = compressed_batch(sizes[i]);
        struct slice kept = slice_of(buf_ref(sent), 0, sent->size);
        struct partition_read read = {
            .partition = partition, .offset = i, .max_bytes = MIB(1), .min_one_batch = true};
        assert_int_equal(fixture_append_buf(&f, partition, sent), i);
        assert_int_equal(partition_read(f.log, &read), 0);
        const struct tail_batch *batch =
            tail_at(log_partition_of(partition), log_partition_of(partition)->tail_count - 1);
        assert_int_equal(read.chunk_count, 1);
        assert_ptr_equal(read.chunks[0].slice.data, batch->batch.data);
        assert_ptr_equal(read.chunks[0].slice.buf, batch->batch.buf);
        assert_int_equal(read.bytes, kept.size);
        assert_memory_equal(read.chunks[0].slice.data + RECORD_BATCH_AT_MAGIC,
                            kept.data + RECORD_BATCH_AT_MAGIC, kept.size - RECORD_BATCH_AT_MAGIC);
        if (sizes[i] > f.limits.gather_bytes) { /* it lies where it was received */
            assert_ptr_equal(read.chunks[0].slice.data, kept.data);
        }
        partition_read_release(&read);
        buf_unref(kept.buf);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

struct slow_read {
    struct partition_read read;
    bool done;
    unsigned *left;
};

static void on_read(struct partition_read *read, int status) {
    struct slow_read *slow = container_of(read, struct slow_read, read);
    assert_int_equal(status, 0);
    partition_read_release(read);
    slow->done = true;
    --*slow->left;
}

/* The disk has all of them to do yet when the append is durable: it waited for none. */
static void test_log_readers__an_append_waits_for_no_reader(void **state) {
    struct fixture f;
    struct partition *partition = fill(&f, 72);
    struct slow_read *reads = calloc(BEHIND, sizeof *reads);
    unsigned left = 0;
    for (int64_t i = 0; i < BEHIND; i++) {
        reads[i].left = &left;
        reads[i].read = (struct partition_read){.partition = partition,
                                                .offset = i,
                                                .max_bytes = 1,
                                                .min_one_batch = true,
                                                .done = on_read};
        int r = partition_read(f.log, &reads[i].read);
        if (r == OP_WAIT) {
            left++;
        } else {
            assert_int_equal(r, 0);
            partition_read_release(&reads[i].read);
        }
    }
    unsigned waiting = left;
    assert_true(waiting > BEHIND / 2);
    for (uint64_t n = BATCHES; n < BATCHES + 5; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition, &spec), n);
    }
    assert_true(left > 0);
    print_message("%u of %u reads were left to do when five appends were durable\n", left, waiting);
    fixture_until(&f, left == 0);
    assert_int_equal(f.log->stats.refused_full, 0);
    free(reads);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* ---- how far the gate looks ahead ---- */

enum { AHEAD_BATCHES = 240, AHEAD_VALUE_BYTES = 60000 };

/* A segment of 14 MiB on a real disk, in the page cache: it was just written. */
static uint64_t write_segment(struct disk *disk, struct disk_file **ret_file) {
    uint64_t position = 0;
    assert_int_equal(disk_open(disk, "segment", DISK_READ | DISK_WRITE | DISK_CREATE, ret_file), 0);
    for (int64_t n = 0; n < AHEAD_BATCHES; n++) {
        struct batch_spec spec = {
            .records = 1, .value_bytes = AHEAD_VALUE_BYTES, .producer_id = -1};
        struct buf *batch = fixture_batch(&spec);
        record_batch_assign(batch->data, n, 0);
        assert_int_equal(disk_pwrite(*ret_file, batch->data, batch->size, position), 0);
        position += batch->size;
        buf_unref(batch);
    }
    return position;
}

/* Where the last boundary is that a read of @max_bytes at the front is told of. */
static uint64_t ahead_of(struct disk_file *file, uint64_t end, uint32_t max_bytes) {
    struct read_job job = {.file = file,
                           .end = end,
                           .next_base = INT64_MAX,
                           .max_bytes = max_bytes,
                           .min_one_batch = true,
                           .look_ahead = true,
                           .start_known = true};
    read_run(&job.job.work);
    assert_int_equal(job.status, 0);
    assert_true(job.waypoint_count > 0 && job.waypoint_count <= WAYPOINTS_MAX);
    buf_unref(job.buf);
    return job.waypoints[job.waypoint_count - 1].position;
}

static void test_log_readers__large_reads_are_told_of_more_that_is_cached(void **state) {
    char root[] = "/tmp/test_readers_XXXXXX", command[64];
    struct disk *disk;
    struct disk_file *file;
    assert_non_null(mkdtemp(root));
    assert_int_equal(disk_system_new(root, &disk), 0);
    uint64_t end = write_segment(disk, &file);
    assert_in_range(ahead_of(file, end, MIB(1)), MIB(12), MIB(13) + 70000);
    assert_in_range(ahead_of(file, end, 100000), MIB(4) - 70000, MIB(4) + 170000);
    disk_close(file);
    disk_free(disk);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

/* ---- what the loop sends by itself ---- */

static bool evicted; /* as if the kernel had taken the pages for something else */
bool __real_range_cached(int fd, uint64_t offset, size_t size);
bool __wrap_range_cached(int fd, uint64_t offset, size_t size);

bool __wrap_range_cached(int fd, uint64_t offset, size_t size) {
    return !evicted && __real_range_cached(fd, offset, size);
}

static int read_begin(struct fixture *f, int64_t offset, struct slow_read *slow, unsigned *left) {
    *left = 1;
    *slow = (struct slow_read){
        .read = {.partition = fixture_partition(f, "t", 0),
                 .offset = offset,
                 .max_bytes = 100000,
                 .min_one_batch = true,
                 .done = on_read},
        .left = left,
    };
    return partition_read(f->log, &slow->read);
}

/* A sendfile of what the page cache has not would stop the loop until the disk has answered. */
static void test_log_readers__what_is_not_cached_goes_through_the_gate(void **state) {
    char root[] = "/tmp/test_readers_XXXXXX", command[64];
    struct fixture f;
    struct slow_read slow;
    unsigned left;
    assert_non_null(mkdtemp(root));
    fixture_init(&f, 73);
    fixture_use_real_disk(&f, root);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    for (uint64_t n = 0; n < 20; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, partition, &spec), n);
    }
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0); /* now no memory has them */
    assert_int_equal(read_begin(&f, 0, &slow, &left), OP_WAIT);
    fixture_until(&f, left == 0); /* from now on boundaries are known */

    assert_int_equal(read_begin(&f, 0, &slow, &left), 0);
    assert_non_null(slow.read.chunks[0].file);
    partition_read_release(&slow.read);
    assert_int_equal(f.log->stats.reads_cache, 1);

    evicted = true;
    assert_int_equal(read_begin(&f, 0, &slow, &left), OP_WAIT);
    fixture_until(&f, left == 0);
    evicted = false;
    assert_int_equal(f.log->stats.reads_cache, 1);
    assert_int_equal(f.log->stats.reads_disk, 2);
    fixture_stop(&f);
    fixture_deinit(&f);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

/* Segments that are read stay open, so many and no more; what was closed is opened again. */
static void test_log_readers__so_many_segments_stay_open(void **state) {
    static const struct { uint32_t open_files_max, views; } limits[] = {{4096, 256}, {40, 10}};
    enum { PARTITIONS = 270 };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct fixture f;
        fixture_init(&f, 61);
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "wide", PARTITIONS, NULL);
        for (int32_t n = 0; n < PARTITIONS; n++) {
            struct batch_spec spec = {
                .records = 1, .value_bytes = 100, .timestamp_ms = 1, .producer_id = -1};
            assert_int_equal(fixture_append(&f, partition_get(topic, n), &spec), 0);
        }
        fixture_stop(&f); /* now no memory has them */
        f.limits.open_files_max = limits[i].open_files_max;
        assert_int_equal(fixture_start(&f), 0);
        for (int32_t n = 0; n < 2 * PARTITIONS; n++) {
            uint8_t *data = NULL;
            struct partition *partition = fixture_partition(&f, "wide", n % PARTITIONS);
            assert_true(fixture_read(&f, partition, 0, 1, &data) > 0);
            free(data);
            assert_true(f.log->view_count <= limits[i].views);
        }
        assert_int_equal(f.log->view_count, limits[i].views);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_readers__one_far_behind_pushes_nothing_out_of_memory),
        cmocka_unit_test(test_log_readers__so_many_segments_stay_open),
        cmocka_unit_test(test_log_readers__memory_is_given_as_it_is),
        cmocka_unit_test(test_log_readers__an_append_waits_for_no_reader),
        cmocka_unit_test(test_log_readers__large_reads_are_told_of_more_that_is_cached),
        cmocka_unit_test(test_log_readers__what_is_not_cached_goes_through_the_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
