/*
 * Checkpoints with increments: what they hold, that they stand for exactly one frame, which of them
 * a start takes.
 */
#include "checkpoint/log_keeper.h"
#include "log_fixture.h"
#include "topics/registry.h"

#include <eventbox/base/crc32c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = 100,
                               .tag = 1000 + n,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

static void begin(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.checkpoint_ms = 1000000; /* only when a test asks for one */
    f->limits.cleaner_ms = 0;
    assert_int_equal(fixture_start(f), 0);
}

static void append(struct fixture *f, const char *topic, int32_t index, uint64_t n) {
    struct batch_spec spec = spec_of(n);
    assert_true(fixture_append(f, fixture_partition(f, topic, index), &spec) >= 0);
}

static void checkpoint(struct fixture *f) {
    uint64_t before = f->log->stats.checkpoints;
    fixture_until(f, !f->log->checkpoint.under_way && !f->log->mid_frame);
    checkpoint_begin(f->log, false);
    fixture_until(f, f->log->stats.checkpoints > before);
}

/* Both files begin with a full one that has all there is. */
static void checkpoint_both(struct fixture *f) {
    for (unsigned slot = 0; slot < 2; slot++) {
        f->log->checkpoint.slots[slot].appendable = false;
    }
    checkpoint(f);
    checkpoint(f);
}

static struct checkpoint_header read_slot(struct fixture *f, unsigned slot, struct text *image) {
    struct checkpoint_header header;
    text_init(image);
    assert_int_equal(checkpoint_read(f->disk, slot, &header, image), 0);
    return header;
}

static struct checkpoint_header header_of_slot(struct fixture *f, unsigned slot) {
    struct text image;
    struct checkpoint_header header = read_slot(f, slot, &image);
    text_deinit(&image);
    return header;
}

/* The newest checkpoint as a state of its own, in @into. */
static void load_newest(struct fixture *f, struct fixture *into) {
    struct text image;
    uint32_t file_id;
    uint64_t position;
    unsigned slot = f->log->next_slot ^ 1;
    struct checkpoint_header header = read_slot(f, slot, &image);
    assert_int_equal(header.sequence, f->log->newest_sequence);
    fixture_init(into, 1);
    fixture_open(into);
    assert_int_equal(checkpoint_decode(into->log, text_span(&image), &file_id, &position), 0);
    text_deinit(&image);
}

static int64_t end_of(struct fixture *f, const char *topic, int32_t index) {
    struct partition *partition = fixture_partition(f, topic, index);
    return partition ? partition->high_watermark : -1;
}

static void test_log_checkpoint__increment_has_what_changed_and_no_more(void **state) {
    enum { PARTITIONS = 40 };
    struct fixture f, loaded;
    begin(&f, 51);
    fixture_topic(&f, "t", PARTITIONS, NULL);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        append(&f, "t", i, (uint64_t)i);
    }
    checkpoint_both(&f);
    uint64_t whole = f.log->stats.checkpoint_bytes;
    uint64_t increments = f.log->stats.checkpoint_increments;
    for (uint64_t n = 0; n < 4; n++) {
        append(&f, "t", 7, n);
        append(&f, "t", 8, n);
        checkpoint(&f);
    }
    assert_int_equal(f.log->stats.checkpoint_increments, increments + 4);
    assert_true(f.log->stats.checkpoint_bytes - whole < whole / 4);
    load_newest(&f, &loaded);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(end_of(&loaded, "t", i), i == 7 || i == 8 ? 5 : 1);
    }
    fixture_deinit(&loaded);
    fixture_crash(&f, true);
    assert_int_equal(fixture_start(&f), 0);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(end_of(&f, "t", i), i == 7 || i == 8 ? 5 : 1);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Everything of a topic that can change, in increments of both files. */
static void test_log_checkpoint__increments_follow_every_change(void **state) {
    static const struct topic_config_entry configs[] = {{"segment.bytes", "1500"}, {0}};
    struct fixture f, loaded;
    begin(&f, 52);
    struct topic *topic = fixture_topic(&f, "t", 2, configs);
    fixture_topic(&f, "going", 2, NULL);
    for (uint64_t n = 0; n < 20; n++) {
        append(&f, "t", 0, n);
        append(&f, "going", 1, n);
    }
    checkpoint_both(&f);
    uint32_t number = fixture_partition(&f, "going", 0)->topic->number;
    for (unsigned file = 0; file < 2; file++) {
        if (file == 0) {
            assert_int_equal(fixture_add_partitions(&f, topic, 4), 0);
            append(&f, "t", 3, 77);
            assert_int_equal(fixture_delete_records(&f, topic->partitions[0], 17), 0);
            assert_int_equal(fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("going"))), 0);
            fixture_topic(&f, "going", 1, NULL); /* another one of the same name */
            fixture_topic(&f, "new", 1, NULL);
            append(&f, "new", 0, 1);
        }
        uint64_t increments = f.log->stats.checkpoint_increments;
        checkpoint(&f);
        assert_int_equal(f.log->stats.checkpoint_increments, increments + 1);
        load_newest(&f, &loaded);
        assert_int_equal(end_of(&loaded, "t", 0), 20);
        assert_int_equal(end_of(&loaded, "t", 3), 1);
        assert_int_equal(end_of(&loaded, "new", 0), 1);
        assert_int_equal(end_of(&loaded, "going", 0), 0);
        assert_int_equal(end_of(&loaded, "going", 1), -1);
        assert_null(registry_by_number(loaded.log, number));
        const struct log_partition *was = log_partition_of(topic->partitions[0]);
        const struct log_partition *is = log_partition_of(fixture_partition(&loaded, "t", 0));
        assert_int_equal(is->public.log_start_offset, 17);
        assert_int_equal(is->segment_count, was->segment_count);
        assert_int_equal(is->segments[0].base_offset, was->segments[0].base_offset);
        assert_true(loaded.log->removal_count > 0);
        assert_int_equal(loaded.log->partition_total, f.log->partition_total);
        fixture_deinit(&loaded);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* While it is encoded, one partition in a turn, the log goes on: nothing of that gets into it. */
static void test_log_checkpoint__stands_for_one_frame(void **state) {
    enum { PARTITIONS = 30, TOPICS = 3 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture f, loaded;
        fixture_init(&f, seed);
        f.limits.checkpoint_ms = 1000000;
        f.limits.checkpoint_turn_partitions = 1;
        assert_int_equal(fixture_start(&f), 0);
        struct topic *topic = fixture_topic(&f, "t", PARTITIONS, NULL);
        fixture_topic(&f, "going", 3, NULL);
        int64_t ends[PARTITIONS] = {0};
        for (unsigned round = 0; round < 4; round++) { /* full in both files, then increments */
            for (uint64_t n = 0; n < 20; n++) {
                append(&f, "t", (int32_t)((n * 7 + seed) % PARTITIONS), n);
            }
            append(&f, "going", 1, 1);
            fixture_until(&f, !f.log->mid_frame && !f.log->checkpoint.under_way);
            for (int32_t i = 0; i < PARTITIONS; i++) {
                ends[i] = topic->partitions[i]->high_watermark;
            }
            uint64_t frame = f.log->durable_sequence, before = f.log->stats.checkpoints;
            bool goes = topic_log_find(f.log, SPAN_LITERAL("going")) != NULL;
            unsigned late = 0;
            checkpoint_begin(f.log, false);
            while (f.log->stats.checkpoints == before) {
                late += f.log->checkpoint.encoding;
                if (late < 40 && f.log->checkpoint.encoding) {
                    append(&f, "t", (int32_t)(late * 11 % PARTITIONS), late);
                }
                if (late == 3 && round == 3) {
                    assert_int_equal(
                        fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("going"))), 0);
                    fixture_topic(&f, "late", 1, NULL);
                    append(&f, "late", 0, 1);
                }
                fixture_step(&f);
            }
            assert_true(late > 3);
            assert_int_equal(f.log->newest_sequence, frame);
            load_newest(&f, &loaded);
            for (int32_t i = 0; i < PARTITIONS; i++) {
                assert_int_equal(end_of(&loaded, "t", i), ends[i]);
            }
            assert_int_equal(end_of(&loaded, "going", 1) >= 0, goes);
            assert_null(topic_log_find(loaded.log, SPAN_LITERAL("late")));
            fixture_deinit(&loaded);
        }
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(end_of(&f, "late", 0), 1);
        assert_int_equal(end_of(&f, "going", 0), -1);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* A file with a full one and three increments, and another one; the state goes on behind both. */
static void make_chain(struct fixture *f, uint64_t seed) {
    begin(f, seed);
    fixture_topic(f, "t", 3, NULL);
    for (uint64_t n = 0; n < 60; n++) {
        append(f, "t", (int32_t)(n % 3), n);
    }
    checkpoint_both(f);
    for (uint64_t n = 0; n < 7; n++) {
        append(f, "t", (int32_t)(n % 3), 60 + n);
        checkpoint(f);
    }
    append(f, "t", 0, 67);
    append(f, "t", 1, 68);
}

static void assert_all_there(struct fixture *f) {
    for (int32_t i = 0; i < 3; i++) {
        static const int64_t ends[] = {24, 23, 22};
        assert_int_equal(end_of(f, "t", i), ends[i]);
        for (int64_t offset = 0; offset < ends[i]; offset++) {
            uint8_t *data = NULL;
            assert_true(fixture_read(f, fixture_partition(f, "t", i), offset, 1, &data) > 0);
            free(data);
        }
    }
    assert_int_equal(f->events[TOPIC_LOG_DAMAGED], 0);
}

/* Rot anywhere in either file: nothing is lost, and the next run writes valid ones. */
static void test_log_checkpoint__damage_of_any_record_costs_a_replay(void **state) {
    struct fixture f;
    make_chain(&f, 53);
    uint64_t bytes[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        struct checkpoint_header header = header_of_slot(&f, slot);
        assert_true(header.increments >= 2);
        bytes[slot] = header.bytes;
    }
    fixture_deinit(&f);
    for (unsigned slot = 0; slot < 2; slot++) {
        for (uint64_t at = 0; at < bytes[slot]; at += 29) {
            make_chain(&f, 53);
            const char *name = slot == 0 ? "checkpoint.0" : "checkpoint.1";
            fixture_crash(&f, true);
            assert_int_equal(disk_sim_corrupt(f.disk, name, at, 1, at + 1), 0);
            assert_int_equal(fixture_start(&f), 0);
            assert_all_there(&f);
            fixture_crash(&f, true);
            assert_int_equal(fixture_start(&f), 0);
            assert_all_there(&f);
            fixture_stop(&f);
            fixture_deinit(&f);
        }
    }
}

static void put(struct fixture *f, const char *path, const void *bytes, size_t size, uint64_t at) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, size, at), 0);
    assert_int_equal(disk_sync(file), 0);
    disk_close(file);
}

/* What an older chain has left exactly behind a new full one is whole, and is not its increment. */
static void test_log_checkpoint__increment_of_another_full_one_is_not_taken(void **state) {
    struct fixture f;
    struct text image;
    make_chain(&f, 54);
    unsigned slot = f.log->next_slot ^ 1;
    const char *name = slot == 0 ? "checkpoint.0" : "checkpoint.1";
    struct checkpoint_header header = read_slot(&f, slot, &image);
    assert_true(header.increments > 0);
    /* The same full one but for its frame, in the same place. */
    uint8_t *full = (uint8_t *)image.data;
    put_le64(full + 24, get_le64(full + 24) - 1);
    put_le32(full + 44, crc32c(0, full, 44));
    put(&f, name, full, CHECKPOINT_HEADER_BYTES, 0);
    text_deinit(&image);
    struct checkpoint_header now = header_of_slot(&f, slot);
    assert_int_equal(now.increments, 0);
    assert_true(now.sequence < header.sequence && now.bytes == header.full_bytes);
    assert_true(now.cut);
    fixture_deinit(&f);
}

/* The files take increments in turns, and the journal keeps what the older one needs: so the newest
 * may rot as a whole, however many there were, and nothing is lost. */
static void test_log_checkpoint__the_older_file_alone_is_enough(void **state) {
    static const uint8_t zeros[CHECKPOINT_HEADER_BYTES];
    for (uint64_t increments = 0; increments < 9; increments++) {
        struct fixture f;
        fixture_init(&f, 57);
        f.limits.checkpoint_ms = 1000000;
        f.limits.cleaner_ms = 0;
        f.limits.journal_first_bytes = 8192;
        f.limits.journal_max_bytes = 65536;
        assert_int_equal(fixture_start(&f), 0);
        fixture_topic(&f, "t", 20, NULL);
        uint64_t n = 0;
        for (; n < 60; n++) {
            append(&f, "t", (int32_t)(n % 20), n);
        }
        checkpoint_both(&f);
        for (uint64_t i = 0; i < increments; i++) {
            for (uint64_t end = n + 5; n < end; n++) { /* 20 KiB of frames */
                append(&f, "t", 0, n);
            }
            checkpoint(&f);
        }
        unsigned newest = f.log->next_slot ^ 1;
        fixture_crash(&f, true);
        put(&f, newest == 0 ? "checkpoint.0" : "checkpoint.1", zeros, sizeof zeros, 0);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        int64_t end = 3 + (int64_t)increments * 5;
        assert_int_equal(end_of(&f, "t", 0), end);
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), end);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

/* What a start found behind the last whole record is gone once the start has confirmed the file. */
static void test_log_checkpoint__a_start_cuts_off_what_does_not_belong(void **state) {
    struct fixture f;
    make_chain(&f, 55);
    unsigned slot = f.log->next_slot ^ 1;
    struct checkpoint_header header = header_of_slot(&f, slot);
    fixture_crash(&f, false);
    static const uint8_t junk[40] = {0x45, 0x42, 0x43, 0x49, 4, 0, 7};
    put(&f, slot == 0 ? "checkpoint.0" : "checkpoint.1", junk, sizeof junk, header.bytes);
    assert_true(header_of_slot(&f, slot).cut);
    assert_int_equal(checkpoint_confirm(f.disk, slot), 0);
    struct checkpoint_header now = header_of_slot(&f, slot);
    assert_false(now.cut);
    assert_int_equal(now.sequence, header.sequence);
    assert_int_equal(now.increments, header.increments);
    fixture_deinit(&f);
}

static void test_log_checkpoint__full_again_when_increments_are_half_of_it(void **state) {
    struct fixture f;
    unsigned fulls = 0;
    begin(&f, 56);
    fixture_topic(&f, "t", 20, NULL);
    for (int32_t i = 0; i < 20; i++) {
        append(&f, "t", i, (uint64_t)i);
    }
    checkpoint_both(&f);
    for (uint64_t n = 0; n < 200; n++) {
        append(&f, "t", (int32_t)(n % 20), 100 + n);
        checkpoint(&f);
        const struct checkpoint_chain *chain = &f.log->checkpoint.slots[f.log->next_slot ^ 1].chain;
        uint64_t increments = chain->end - chain->full_bytes;
        fulls += increments == 0;
        assert_true(increments < chain->full_bytes); /* half, and the one that went beyond it */
    }
    assert_in_range(fulls, 4, 100);
    struct batch_spec spec = spec_of(1);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 3), &spec), 11);
    fixture_stop(&f); /* ends with a full one, and the next start reads that alone */
    unsigned valid = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        valid += header_of_slot(&f, slot).increments == 0;
    }
    assert_true(valid > 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_int_equal(end_of(&f, "t", 3), 12);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* A start takes time for each batch of a frame, however small it is. */
static void test_log_checkpoint__many_places_are_as_long_to_replay_as_many_bytes(void **state) {
    enum { PARTITIONS = 100, PLACE_BYTES = 256 };
    static struct one many[PARTITIONS];
    const struct batch_spec spec = {
        .records = 1, .value_bytes = 10, .timestamp_ms = 1700000000000, .producer_id = -1};
    struct fixture f;
    unsigned done = 0;
    fixture_init(&f, 61);
    f.limits.checkpoint_ms = 1000000;
    f.limits.checkpoint_bytes = PARTITIONS * PLACE_BYTES;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", PARTITIONS, NULL);
    fixture_run_ms(&f, 3000);
    uint64_t before = f.log->newest_sequence, bytes = f.log->stats.frame_bytes;
    memset(many, 0, sizeof many);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(one_start(&f, &many[i], partition_get(topic, i), &spec), 0);
    }
    while (done < PARTITIONS) {
        fixture_until(&f, many[done].done);
        one_free(&many[done++]);
    }
    assert_true(f.log->stats.frame_bytes - bytes < f.limits.checkpoint_bytes);
    fixture_run_ms(&f, 3000);
    assert_true(f.log->newest_sequence > before);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_checkpoint__increment_has_what_changed_and_no_more),
        cmocka_unit_test(test_log_checkpoint__increments_follow_every_change),
        cmocka_unit_test(test_log_checkpoint__stands_for_one_frame),
        cmocka_unit_test(test_log_checkpoint__damage_of_any_record_costs_a_replay),
        cmocka_unit_test(test_log_checkpoint__increment_of_another_full_one_is_not_taken),
        cmocka_unit_test(test_log_checkpoint__the_older_file_alone_is_enough),
        cmocka_unit_test(test_log_checkpoint__a_start_cuts_off_what_does_not_belong),
        cmocka_unit_test(test_log_checkpoint__full_again_when_increments_are_half_of_it),
        cmocka_unit_test(test_log_checkpoint__many_places_are_as_long_to_replay_as_many_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
