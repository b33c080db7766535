/* The scrub: what it finds that nobody has asked for, how slowly, and what stands in its way. */
#include "log_fixture.h"
#include "read/cached.h"
#include "scrub/scrub.h"

#include <errno.h>
#include <eventbox/base/crc32c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WEEK_MS  INT64_C(604800000)
#define START_MS INT64_C(1700000000000) /* of the fixture's clock */

enum { BATCHES = 40, A_SEGMENT = 10, CLOSED = BATCHES / A_SEGMENT - 1 };

static size_t value_size; /* of the test that runs */

/* Batches of one record, ten a segment, and nothing of them in memory. @root: NULL, or of a folder
 * on a real disk */
static void begin_on(struct fixture *f, const char *root, uint64_t seed, size_t value_bytes,
                     uint64_t rate) {
    char segment_bytes[24];
    value_size = value_bytes;
    snprintf(segment_bytes, sizeof segment_bytes, "%zu", A_SEGMENT * (value_bytes + 80));
    const struct topic_config_entry configs[] = {
        {"segment.bytes", segment_bytes}, {"retention.ms", "-1"}, {0}};
    fixture_init(f, seed);
    if (root) {
        fixture_use_real_disk(f, root);
    }
    f->limits.scrub_interval_ms = WEEK_MS;
    f->limits.scrub_bytes_per_second = rate;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, configs);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = value_bytes,
                                  .tag = n,
                                  .timestamp_ms = START_MS,
                                  .producer_id = -1};
        assert_int_equal(fixture_append(f, topic->partitions[0], &spec), n);
    }
    fixture_until(f, f->log->unwritten_count == 0 && !f->log->checkpoint.under_way &&
                         f->log->durable_sequence == f->log->newest_sequence);
    fixture_forget_memory(f);
    struct log_partition *partition = log_partition_of(topic->partitions[0]);
    assert_int_equal(partition->segment_count, CLOSED + 1);
    assert_int_equal(partition->segments[1].base_offset, A_SEGMENT);
}

static void begin_sized(struct fixture *f, uint64_t seed, size_t value_bytes, uint64_t rate) {
    begin_on(f, NULL, seed, value_bytes, rate);
}

static void begin(struct fixture *f, uint64_t seed) {
    begin_sized(f, seed, 200, MIB(4));
}

static struct log_partition *partition_of(struct fixture *f) {
    return log_partition_of(fixture_partition(f, "t", 0));
}

static const struct topic_log_stats *stats(const struct fixture *f) {
    return &f->log->stats;
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static void end_of_round(struct fixture *f) {
    int64_t before_s = stats(f)->scrub_ended_s;
    fixture_until(f, stats(f)->scrub_ended_s != before_s);
}

static void next_round(struct fixture *f) {
    clock_manual_advance(&f->clock, WEEK_MS * NS_PER_MS);
    end_of_round(f);
}

/* 0: other bytes than were appended at @offset, or another place. */
static ssize_t try_read(struct fixture *f, int64_t offset) {
    uint8_t *data = NULL;
    ssize_t size = fixture_read(f, &partition_of(f)->public, offset, 1, &data);
    struct batch_spec spec = {.records = 1,
                              .value_bytes = value_size,
                              .tag = (uint64_t)offset,
                              .timestamp_ms = START_MS,
                              .producer_id = -1};
    struct buf *expected = fixture_batch(&spec);
    if (size > 0 && ((int64_t)get_be64(data) != offset || (size_t)size != expected->size ||
                     memcmp(data + 16, expected->data + 16, expected->size - 16) != 0)) {
        size = 0;
    }
    buf_unref(expected);
    if (data) {
        free(data);
    }
    return size;
}

static void assert_reads_all_but(struct fixture *f, int64_t from, int64_t to) {
    for (int64_t n = 0; n < BATCHES; n++) {
        if (n >= from && n < to) {
            assert_int_equal(try_read(f, n), -BROKER_E_CORRUPT);
        } else {
            assert_true(try_read(f, n) > 0);
        }
    }
}

/* ---- what it finds ---- */

static void test_log_scrub__rot_that_nobody_read_is_set_aside_and_the_rest_stays(void **state) {
    /* In records, checksum, length, magic; in base offset and epoch, which no checksum covers. */
    static const unsigned places[] = {120, 18, 10, 11, 16, 7, 15};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct fixture f;
        char path[SEGMENT_NAME_SIZE];
        begin(&f, 31 + i);
        fixture_segment_path(&f, A_SEGMENT, path);
        uint64_t at = fixture_find_batch(&f, path, 3);
        assert_int_equal(disk_sim_corrupt(f.disk, path, at + places[i], 1, i), 0);
        end_of_round(&f);
        assert_int_equal(stats(&f)->reads_disk, 0);
        assert_int_equal(stats(&f)->scrub_damaged, 1);
        assert_int_equal(stats(&f)->scrub_segments, CLOSED);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
        assert_non_null(strstr(f.last_event, "t-0: the scrub found offsets 13 to 13 damaged"));
        assert_int_equal(partition_of(&f)->rot_count, 1);
        assert_int_equal(partition_of(&f)->rot[0].from, 13);
        assert_int_equal(partition_of(&f)->rot[0].to, 14);
        assert_reads_all_but(&f, 13, 14);
        end(&f);
    }
}

static void test_log_scrub__rot_is_told_once_in_a_run_and_found_again_by_the_next(void **state) {
    for (unsigned kill = 0; kill < 2; kill++) {
        struct fixture f;
        char path[SEGMENT_NAME_SIZE];
        begin(&f, 41);
        fixture_segment_path(&f, A_SEGMENT, path);
        assert_int_equal(
            disk_sim_corrupt(f.disk, path, fixture_find_batch(&f, path, 3) + 100, 1, 1), 0);
        end_of_round(&f);
        next_round(&f);
        assert_int_equal(stats(&f)->scrub_segments, 2 * CLOSED);
        assert_int_equal(stats(&f)->scrub_damaged, 1);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
        assert_int_equal(try_read(&f, 13), -BROKER_E_CORRUPT);
        assert_int_equal(stats(&f)->reads_disk, 0); /* known without a look */
        if (kill) {
            fixture_crash(&f, true);
        } else {
            fixture_stop(&f);
        }
        assert_int_equal(fixture_start(&f), 0);
        assert_reads_all_but(&f, 13, 14);
        next_round(&f);
        assert_int_equal(stats(&f)->scrub_damaged, 1);
        assert_reads_all_but(&f, 13, 14);
        end(&f);
    }
}

/* No checksum covers a base offset: this batch says that it is the next one. */
static void test_log_scrub__no_batch_is_believed_for_the_sake_of_a_mark(void **state) {
    struct fixture f;
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE];
    uint8_t next = 14;
    begin(&f, 42);
    fixture_segment_path(&f, A_SEGMENT, path);
    uint64_t at = fixture_find_batch(&f, path, 3);
    assert_int_equal(disk_open(f.disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, &next, 1, at + 7), 0);
    disk_close(file);
    for (unsigned round = 0; round < 3; round++) {
        next_round(&f);
        assert_int_equal(partition_of(&f)->rot_count, 1);
        assert_int_equal(partition_of(&f)->rot[0].from, 13);
        assert_int_equal(partition_of(&f)->rot[0].to, 14);
        assert_reads_all_but(&f, 13, 14);
    }
    end(&f);
}

static void test_log_scrub__file_without_its_end_or_gone_costs_what_it_held(void **state) {
    for (unsigned gone = 0; gone < 2; gone++) {
        struct fixture f;
        struct disk_file *file;
        char path[SEGMENT_NAME_SIZE];
        begin(&f, 51);
        fixture_segment_path(&f, A_SEGMENT, path);
        if (gone) {
            assert_int_equal(disk_unlink(f.disk, path), 0);
        } else {
            uint64_t size = fixture_find_batch(&f, path, 7) + 30;
            assert_int_equal(disk_open(f.disk, path, DISK_READ | DISK_WRITE, &file), 0);
            assert_int_equal(disk_truncate(file, size), 0);
            disk_close(file);
        }
        end_of_round(&f);
        assert_int_equal(stats(&f)->scrub_damaged, 1);
        assert_reads_all_but(&f, gone ? 10 : 17, 20);
        end(&f);
    }
}

/* Steps are smaller than these batches, and than what lies between two right ones. */
static void test_log_scrub__large_batches_are_checked_and_passed_in_many_steps(void **state) {
    enum { LARGE = 3 << 20 };
    static const unsigned places[] = {10, 2 << 20};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct fixture f;
        char path[SEGMENT_NAME_SIZE];
        const struct topic_config_entry configs[] = {{"segment.bytes", "10000000"}, {0}};
        fixture_init(&f, 55);
        f.limits.max_message_bytes = 2 * LARGE;
        f.limits.tail_bytes = 8 * LARGE;
        f.limits.scrub_interval_ms = WEEK_MS;
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", 1, configs);
        for (int64_t n = 0; n < 4; n++) {
            struct batch_spec spec = {.records = 1,
                                      .value_bytes = LARGE,
                                      .tag = (uint64_t)n,
                                      .timestamp_ms = START_MS,
                                      .producer_id = -1};
            assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), n);
        }
        fixture_until(&f, f.log->unwritten_count == 0);
        fixture_segment_path(&f, 0, path);
        uint64_t at = fixture_find_batch(&f, path, 1);
        assert_int_equal(disk_sim_corrupt(f.disk, path, at + places[i], 1, 1), 0);
        end_of_round(&f);
        assert_int_equal(partition_of(&f)->rot_count, 1);
        assert_int_equal(partition_of(&f)->rot[0].from, 1);
        assert_int_equal(partition_of(&f)->rot[0].to, 2);
        /* The pace knows what it read to check batches behind the damage. */
        assert_true(stats(&f)->scrub_bytes > 3 * LARGE + 3 * LARGE);
        assert_int_equal(stats(&f)->scrub_segments, 1);
        end(&f);
    }
}

static void test_log_scrub__range_that_is_right_again_can_be_read_again(void **state) {
    struct fixture f;
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE];
    uint8_t byte;
    size_t got;
    begin(&f, 61);
    fixture_segment_path(&f, A_SEGMENT, path);
    uint64_t at = fixture_find_batch(&f, path, 3) + 100;
    assert_int_equal(disk_open(f.disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, &byte, 1, at, &got), 0);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at, 1, 1), 0);
    end_of_round(&f);
    next_round(&f);
    assert_int_equal(try_read(&f, 13), -BROKER_E_CORRUPT);
    assert_int_equal(disk_pwrite(file, &byte, 1, at), 0);
    disk_close(file);
    assert_int_equal(try_read(&f, 13), -BROKER_E_CORRUPT);
    next_round(&f);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 1);
    assert_non_null(strstr(f.last_event, "t-0: offsets 13 to 13 were set aside and are right"));
    assert_reads_all_but(&f, 0, 0);
    end(&f);
}

static void test_log_scrub__what_memory_has_stays_readable_as_long(void **state) {
    struct fixture f;
    char path[SEGMENT_NAME_SIZE];
    begin(&f, 62);
    for (int64_t n = BATCHES; n <= BATCHES + A_SEGMENT; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 200,
                                  .tag = (uint64_t)n,
                                  .timestamp_ms = START_MS,
                                  .producer_id = -1};
        assert_int_equal(fixture_append(&f, &partition_of(&f)->public, &spec), n);
    }
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_segment_path(&f, BATCHES, path);
    assert_int_equal(disk_sim_corrupt(f.disk, path, fixture_find_batch(&f, path, 3) + 100, 1, 1),
                     0);
    end_of_round(&f);
    assert_int_equal(partition_of(&f)->rot_count, 1);
    assert_true(try_read(&f, BATCHES + 3) > 0);
    fixture_forget_memory(&f);
    assert_int_equal(try_read(&f, BATCHES + 3), -BROKER_E_CORRUPT);
    end(&f);
}

/* ---- rounds ---- */

static void test_log_scrub__clean_log_comes_to_the_end_of_a_round_each_interval(void **state) {
    struct fixture f;
    begin(&f, 71);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CLOSED; i++) {
        bytes += partition_of(&f)->segments[i].bytes;
    }
    fixture_run_ms(&f, SCRUB_FIRST_MS / 2);
    assert_int_equal(stats(&f)->scrub_bytes, 0); /* a start has enough to do */
    end_of_round(&f);
    assert_true(llabs(stats(&f)->scrub_ended_s - clock_wall_ms(&f.clock.clock) / 1000) <= 1);
    assert_int_equal(stats(&f)->scrub_segments, CLOSED);
    assert_int_equal(stats(&f)->scrub_bytes, bytes);
    assert_int_equal(stats(&f)->scrub_damaged, 0);
    assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
    clock_manual_advance(&f.clock, (WEEK_MS - SCRUB_FIRST_MS) * NS_PER_MS);
    fixture_run_ms(&f, 10000);
    assert_int_equal(stats(&f)->scrub_segments, CLOSED);
    clock_manual_advance(&f.clock, SCRUB_FIRST_MS * NS_PER_MS);
    end_of_round(&f);
    assert_int_equal(stats(&f)->scrub_segments, 2 * CLOSED);
    end(&f);
}

static void test_log_scrub__never_reads_more_in_a_time_than_its_rate(void **state) {
    enum { RATE = 100000, VALUE = 90000 }; /* segments of 900 KB: four steps each */
    struct fixture f;
    begin_sized(&f, 72, VALUE, RATE);
    fixture_until(&f, stats(&f)->scrub_bytes > 0);
    int64_t begin_ns = f.clock.mono_ns;
    uint64_t begin_bytes = stats(&f)->scrub_bytes;
    while (stats(&f)->scrub_ended_s == 0) {
        fixture_step(&f);
        uint64_t bytes = stats(&f)->scrub_bytes - begin_bytes;
        assert_true((int64_t)bytes <= (f.clock.mono_ns - begin_ns) / NS_PER_MS * RATE / 1000);
    }
    uint64_t seconds = (uint64_t)((f.clock.mono_ns - begin_ns) / NS_PER_SEC);
    assert_true(stats(&f)->scrub_bytes >= (uint64_t)CLOSED * A_SEGMENT * VALUE);
    /* Nor is it much slower than it may be. */
    assert_true(seconds <= stats(&f)->scrub_bytes / RATE + 10);
    end(&f);
}

/* Whether the page cache has all of a closed segment; @forget: it is taken out first. */
static bool is_cached(struct fixture *f, int index, bool forget) {
    const struct log_segment *segment = &partition_of(f)->segments[index];
    char path[SEGMENT_NAME_SIZE];
    struct disk_file *file;
    fixture_segment_path(f, segment->base_offset, path);
    assert_int_equal(disk_open(f->disk, path, DISK_READ | DISK_WRITE, &file), 0);
    if (forget) {
        assert_int_equal(disk_sync(file), 0);
        range_forget(disk_fd(file), 0, segment->bytes);
    }
    bool cached = range_cached(disk_fd(file), 0, segment->bytes);
    disk_close(file);
    return cached;
}

/* What readers need stays, and what nobody reads does not take its place. */
static void test_log_scrub__leaves_the_page_cache_as_it_was(void **state) {
    char root[] = "/tmp/test_scrub_XXXXXX", command[64];
    struct fixture f;
    assert_non_null(mkdtemp(root));
    begin_on(&f, root, 83, 20000, MIB(4));
    bool real = !is_cached(&f, 0, true) && !is_cached(&f, 2, true); /* else it is in memory alone */
    assert_true(is_cached(&f, 1, false));
    end_of_round(&f);
    assert_int_equal(stats(&f)->scrub_segments, CLOSED);
    assert_true(is_cached(&f, 1, false));
    if (real) {
        assert_false(is_cached(&f, 0, false));
        assert_false(is_cached(&f, 2, false));
    }
    end(&f);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
    if (!real) {
        print_message("%s is on no disk\n", root);
        skip();
    }
}

static void test_log_scrub__off_touches_no_file(void **state) {
    struct fixture f;
    begin(&f, 73);
    fixture_stop(&f);
    f.limits.scrub_interval_ms = 0;
    assert_int_equal(fixture_start(&f), 0);
    fixture_run_ms(&f, 60000);
    uint64_t calls = disk_sim_calls(f.disk);
    fixture_run_ms(&f, 2 * SCRUB_FIRST_MS);
    clock_manual_advance(&f.clock, 2 * WEEK_MS * NS_PER_MS);
    fixture_run_ms(&f, 60000);
    assert_int_equal(disk_sim_calls(f.disk), calls);
    assert_int_equal(stats(&f)->scrub_bytes, 0);
    end(&f);
}

static void test_log_scrub__round_goes_on_after_a_restart(void **state) {
    for (unsigned kill = 0; kill < 2; kill++) {
        struct fixture f;
        begin_sized(&f, 74, 60000, 13000); /* 45 s a segment */
        fixture_until(&f, stats(&f)->scrub_segments == 2);
        if (kill) { /* what has ended since the last minute is read again */
            fixture_run_ms(&f, 20000);
            fixture_crash(&f, true);
        } else {
            fixture_stop(&f);
        }
        assert_int_equal(fixture_start(&f), 0);
        end_of_round(&f);
        assert_int_equal(stats(&f)->scrub_segments, kill ? CLOSED - 1 : CLOSED - 2);
        int64_t ended_s = stats(&f)->scrub_ended_s;
        /* And one that has ended is not begun anew before its time. */
        fixture_stop(&f);
        assert_int_equal(fixture_start(&f), 0);
        fixture_run_ms(&f, 3 * SCRUB_FIRST_MS);
        assert_int_equal(stats(&f)->scrub_ended_s, ended_s);
        assert_int_equal(stats(&f)->scrub_bytes, 0);
        next_round(&f);
        assert_int_equal(stats(&f)->scrub_segments, CLOSED);
        end(&f);
    }
}

static void test_log_scrub__unusable_place_stops_no_start(void **state) {
    /* Magic, version, journal, place, checksum. */
    static const unsigned places[] = {0, 4, 10, 33, 60};
    for (size_t i = 0; i <= ARRAY_SIZE(places); i++) {
        struct fixture f;
        begin_sized(&f, 75, 60000, 13000);
        fixture_until(&f, stats(&f)->scrub_segments == 2);
        fixture_stop(&f);
        if (i < ARRAY_SIZE(places)) {
            assert_int_equal(disk_sim_corrupt(f.disk, "scrub", places[i], 1, 1), 0);
        } else {
            assert_int_equal(disk_unlink(f.disk, "scrub"), 0);
        }
        assert_int_equal(fixture_start(&f), 0);
        end_of_round(&f);
        assert_int_equal(stats(&f)->scrub_segments, CLOSED);
        end(&f);
    }
}

static void test_log_scrub__place_comes_back_as_it_was_written(void **state) {
    struct disk *disk;
    struct uuid journal = {{1, 2, 3}}, other = {{1, 2, 4}};
    struct scrub_place found, place = {.topic = 7,
                                       .partition = 3,
                                       .base_offset = INT64_C(1) << 40,
                                       .under_way = true,
                                       .began_ms = START_MS,
                                       .ended_ms = START_MS - 5};
    assert_int_equal(disk_sim_new(1, &disk), 0);
    scrub_place_read(disk, &journal, &found);
    assert_int_equal(found.began_ms, 0);
    assert_int_equal(scrub_place_write(disk, &journal, &place), 0);
    scrub_place_read(disk, &journal, &found);
    assert_int_equal(found.topic, place.topic); /* one by one: between them may be any bytes */
    assert_int_equal(found.partition, place.partition);
    assert_true(found.base_offset == place.base_offset);
    assert_int_equal(found.under_way, place.under_way);
    assert_true(found.began_ms == place.began_ms && found.ended_ms == place.ended_ms);
    scrub_place_read(disk, &other, &found);
    assert_int_equal(found.began_ms, 0);
    /* A version from the future, whole. */
    struct disk_file *file;
    uint8_t bytes[64];
    size_t got;
    assert_int_equal(disk_open(disk, "scrub", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pread(file, bytes, sizeof bytes, 0, &got), 0);
    put_le16(bytes + 4, 2);
    put_le32(bytes + 60, crc32c(0, bytes, 60));
    assert_int_equal(disk_pwrite(file, bytes, sizeof bytes, 0), 0);
    disk_close(file);
    scrub_place_read(disk, &journal, &found);
    assert_int_equal(found.began_ms, 0);
    disk_free(disk);
}

/* ---- what stands in its way ---- */

/* Runs until a segment is half read. */
static void begin_half(struct fixture *f, uint64_t seed) {
    begin_sized(f, seed, 60000, MIB(1));
    fixture_until(f, stats(f)->scrub_bytes > 0);
    for (uint64_t n = random_below(&f->random.random, 20); n > 0; n--) {
        fixture_step(f);
    }
}

/* All of the closed segments: whoever believes a word of them has something to tell. */
static void spoil(struct fixture *f) {
    for (int64_t base = 0; base < CLOSED * A_SEGMENT; base += A_SEGMENT) {
        struct segment_id id = {1, 0, base};
        char path[SEGMENT_NAME_SIZE];
        segment_name(&id, SEGMENT_LOG, path);
        for (uint64_t at = 1000; at < A_SEGMENT * value_size; at += 50000) {
            assert_int_equal(disk_sim_corrupt(f->disk, path, at, 8, at), 0);
        }
    }
}

static void test_log_scrub__segment_may_go_under_its_hand(void **state) {
    unsigned amid = 0;
    for (uint64_t seed = 100; seed < 120; seed++) {
        struct fixture f;
        begin_half(&f, seed);
        fixture_until(&f, scrub_busy(f.log));
        if (seed % 2) {
            assert_int_equal(fixture_delete(&f, &partition_of(&f)->topic->public), 0);
        } else {
            assert_int_equal(fixture_delete_records(&f, &partition_of(&f)->public, 35), 0);
        }
        amid += scrub_busy(f.log);
        spoil(&f);                                     /* what it still reads is no news */
        topic_log_set_room(f.log, TOPIC_LOG_ROOM_LOW); /* the files go at once */
        fixture_until(&f, stats(&f)->scrub_ended_s > 0 && f.log->removal_count == 0);
        assert_int_equal(stats(&f)->scrub_damaged, 0);
        assert_int_equal(stats(&f)->scrub_unreadable, 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        next_round(&f);
        end(&f);
    }
    assert_true(amid > 0);
}

/* Whatever step is under way when the segment is replaced: what it brings home is of the old file.
 */
static void test_log_scrub__step_that_ends_behind_a_swap_tells_nothing(void **state) {
    uint64_t found = 0;
    unsigned steps = 0;
    for (; found == 0; steps++) {
        struct fixture f;
        begin_sized(&f, 150, 60000, MIB(1));
        spoil(&f);
        for (unsigned n = 0; n <= steps; n++) {
            fixture_until(&f, !scrub_busy(f.log));
            found = stats(&f)->scrub_damaged;
            fixture_until(&f, scrub_busy(f.log));
        }
        partition_of(&f)->swap_count++;
        fixture_until(&f, !scrub_busy(f.log));
        assert_int_equal(stats(&f)->scrub_damaged, found);
        end(&f);
    }
    assert_true(steps > 1);
}

static void test_log_scrub__compaction_may_replace_what_it_reads(void **state) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"}, {"segment.bytes", "600"}, {0}};
    for (uint64_t seed = 200; seed < 216; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        f.limits.scrub_interval_ms = 1; /* always */
        f.limits.scrub_bytes_per_second = MIB(1);
        f.limits.checkpoint_ms = 200;
        f.limits.cleaner_ms = 100;
        f.limits.tail_bytes = 2000;
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", 1, configs);
        for (int64_t n = 0; n < 300; n++) {
            struct batch_spec spec = {.records = 1,
                                      .value_bytes = 10 + (size_t)(n * n % 23),
                                      .tag = (uint64_t)n,
                                      .timestamp_ms = START_MS,
                                      .producer_id = -1,
                                      .keys = 5};
            assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), n);
            if (n % 20 == 0) {
                fixture_run_ms(&f, 300);
            }
        }
        fixture_until(&f, stats(&f)->compactions > 3 && stats(&f)->scrub_segments > 20);
        assert_int_equal(stats(&f)->scrub_damaged, 0);
        assert_int_equal(stats(&f)->scrub_unreadable, 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        end(&f);
    }
}

static void test_log_scrub__refused_read_is_told_and_the_round_goes_on(void **state) {
    for (uint64_t call = 1; call <= 2; call++) { /* the open, the read */
        struct fixture f;
        begin(&f, 81);
        fixture_run_ms(&f, SCRUB_FIRST_MS / 2);
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, -EIO);
        end_of_round(&f);
        assert_int_equal(stats(&f)->scrub_unreadable, 1);
        assert_int_equal(stats(&f)->scrub_segments, CLOSED - 1);
        assert_int_equal(stats(&f)->scrub_damaged, 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 1);
        assert_non_null(strstr(f.last_event, "t-0: the scrub cannot read the segment"));
        assert_int_equal(partition_of(&f)->rot_count, 0);
        assert_false(f.log->failed);
        assert_reads_all_but(&f, 0, 0);
        next_round(&f);
        assert_int_equal(stats(&f)->scrub_segments, 2 * CLOSED - 1);
        end(&f);
    }
}

/* The offset of the next segment, as the file says. */
static int64_t saved_place(struct fixture *f) {
    struct scrub_place place;
    scrub_place_read(f->disk, &f->log->journal_uuid, &place);
    return place.base_offset;
}

static void test_log_scrub__place_that_cannot_be_written_costs_the_place(void **state) {
    struct fixture f;
    begin_sized(&f, 82, 60000, 3000); /* a step in more than a minute, three a segment */
    fixture_until(&f, stats(&f)->scrub_segments == 1);
    fixture_run_ms(&f, 5000);
    int64_t first = saved_place(&f);
    assert_true(first > 0);
    disk_sim_limit(f.disk, 1); /* a full disk: later, without a word */
    fixture_until(&f, stats(&f)->scrub_segments == 2);
    fixture_run_ms(&f, 5000);
    assert_false(f.log->failed);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 0);
    assert_int_equal(saved_place(&f), first);
    disk_sim_limit(f.disk, 0);
    fixture_run_ms(&f, 130000);
    assert_true(saved_place(&f) > first);
    int64_t second = saved_place(&f);
    fixture_until(&f, stats(&f)->scrub_segments == CLOSED); /* next it writes its place */
    disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + 1, -EIO);
    fixture_run_ms(&f, 1000);
    assert_int_equal(f.events[TOPIC_LOG_MENDED], 1);
    assert_non_null(strstr(f.last_event, "where the scrub is could not be written"));
    assert_false(f.log->failed);
    assert_int_equal(saved_place(&f), second);
    clock_manual_advance(&f.clock, WEEK_MS * NS_PER_MS);
    fixture_until(&f, stats(&f)->scrub_segments == 2 * CLOSED);
    end(&f);
}

static void test_log_scrub__log_that_failed_is_left_alone(void **state) {
    struct fixture f;
    begin_half(&f, 83);
    uint64_t bytes = stats(&f)->scrub_bytes;
    topic_log_fail(f.log, "a test", -EIO);
    fixture_run_ms(&f, SCRUB_FIRST_MS);
    assert_true(stats(&f)->scrub_bytes <= bytes + SCRUB_BUFFER_BYTES); /* a step under way */
    assert_int_equal(stats(&f)->scrub_ended_s, 0);
    end(&f);
}

static void test_log_scrub__stop_and_kill_wait_for_no_more_than_a_step(void **state) {
    for (uint64_t seed = 300; seed < 308; seed++) {
        struct fixture f;
        begin_sized(&f, seed, 60000, 2000); /* five minutes a segment */
        fixture_until(&f, stats(&f)->scrub_bytes > 0);
        fixture_until(&f, scrub_busy(f.log));
        uint64_t bytes = stats(&f)->scrub_bytes;
        int64_t from_ns = f.clock.mono_ns;
        if (seed % 2) {
            fixture_crash(&f, seed % 4 == 1);
        } else {
            topic_log_stop(f.log, NULL, NULL);
            fixture_until(&f, f.log->state == LOG_STOPPED && f.log->workers_running == 0);
            assert_true(stats(&f)->scrub_bytes <= bytes + SCRUB_BUFFER_BYTES);
            assert_true(f.clock.mono_ns - from_ns < 5 * NS_PER_SEC);
            fixture_crash(&f, false);
        }
        assert_int_equal(fixture_start(&f), 0);
        assert_reads_all_but(&f, 0, 0);
        end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_scrub__rot_that_nobody_read_is_set_aside_and_the_rest_stays),
        cmocka_unit_test(test_log_scrub__rot_is_told_once_in_a_run_and_found_again_by_the_next),
        cmocka_unit_test(test_log_scrub__no_batch_is_believed_for_the_sake_of_a_mark),
        cmocka_unit_test(test_log_scrub__file_without_its_end_or_gone_costs_what_it_held),
        cmocka_unit_test(test_log_scrub__large_batches_are_checked_and_passed_in_many_steps),
        cmocka_unit_test(test_log_scrub__range_that_is_right_again_can_be_read_again),
        cmocka_unit_test(test_log_scrub__what_memory_has_stays_readable_as_long),
        cmocka_unit_test(test_log_scrub__clean_log_comes_to_the_end_of_a_round_each_interval),
        cmocka_unit_test(test_log_scrub__never_reads_more_in_a_time_than_its_rate),
        cmocka_unit_test(test_log_scrub__leaves_the_page_cache_as_it_was),
        cmocka_unit_test(test_log_scrub__off_touches_no_file),
        cmocka_unit_test(test_log_scrub__round_goes_on_after_a_restart),
        cmocka_unit_test(test_log_scrub__unusable_place_stops_no_start),
        cmocka_unit_test(test_log_scrub__place_comes_back_as_it_was_written),
        cmocka_unit_test(test_log_scrub__segment_may_go_under_its_hand),
        cmocka_unit_test(test_log_scrub__step_that_ends_behind_a_swap_tells_nothing),
        cmocka_unit_test(test_log_scrub__compaction_may_replace_what_it_reads),
        cmocka_unit_test(test_log_scrub__refused_read_is_told_and_the_round_goes_on),
        cmocka_unit_test(test_log_scrub__place_that_cannot_be_written_costs_the_place),
        cmocka_unit_test(test_log_scrub__log_that_failed_is_left_alone),
        cmocka_unit_test(test_log_scrub__stop_and_kill_wait_for_no_more_than_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
