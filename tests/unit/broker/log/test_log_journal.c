/* The journal's files: growth from a small first one to the maximum, and small ones that go. */
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { FIRST_BYTES = 16 << 10, MAX_BYTES = 1 << 20 };

static uint64_t total_bytes(const struct fixture *f, uint64_t *ret_largest) {
    uint64_t total = 0;
    *ret_largest = 0;
    for (unsigned i = 0; i < f->log->file_count; i++) {
        total += f->log->files[i]->size;
        *ret_largest = MAX(*ret_largest, f->log->files[i]->size);
    }
    return total;
}

static void begin(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.journal_first_bytes = FIRST_BYTES;
    f->limits.journal_max_bytes = MAX_BYTES;
    f->limits.checkpoint_bytes = 64 << 20; /* only where the journal is full */
    f->limits.max_message_bytes = MAX_BYTES / 2;
    assert_int_equal(fixture_start(f), 0);
    assert_non_null(fixture_topic(f, "t", 1, NULL));
}

static struct batch_spec spec_of(uint64_t n, size_t bytes) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = bytes,
                               .tag = n + 1,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

static struct one one; /* lives on when the disk is cut under it */

/* @count batches one after the other, the @bytes of each; until the disk is cut or the log fails.
 */
static unsigned append_all(struct fixture *f, uint64_t from, unsigned count, size_t bytes) {
    struct partition *partition = fixture_partition(f, "t", 0);
    unsigned n = 0;
    for (; n < count && !disk_sim_is_cut(f->disk) && !f->log->failed; n++) {
        struct batch_spec spec = spec_of(from + n, bytes);
        one_start(f, &one, partition, &spec);
        fixture_until(f, one.done || disk_sim_is_cut(f->disk));
        bool acked = one.done && one.status == 0;
        assert_true(disk_sim_is_cut(f->disk) || f->log->failed || acked);
        if (one.done) {
            one_free(&one);
        }
    }
    return n;
}

static void test_log_journal__grows_from_small_to_its_maximum_and_not_beyond(void **state) {
    struct fixture f;
    uint64_t largest, before = 0;
    unsigned steps = 0;
    begin(&f, 1);
    assert_true(total_bytes(&f, &largest) <= 4 * FIRST_BYTES);
    assert_int_equal(largest, FIRST_BYTES);
    for (unsigned round = 0; round < 60; round++) {
        append_all(&f, round * 10, 10, 8000);
        uint64_t total = total_bytes(&f, &largest);
        assert_true(total <= MAX_BYTES);
        steps += total > before;
        before = MAX(before, total);
    }
    assert_true(steps > 2); /* not all at once */
    assert_int_equal(largest, MAX_BYTES / 8);
    assert_true(before > MAX_BYTES / 2); /* 4.8 MB went through it */
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0); /* and what has grown stays */
    assert_true(total_bytes(&f, &largest) > MAX_BYTES / 2);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* One sync a group: what comes while the log writer is busy is one frame, and so one write. */
static void test_log_journal__appends_that_wait_together_share_a_frame(void **state) {
    enum { JOBS = 40 };
    static struct one ones[JOBS];
    struct fixture f;
    fixture_init(&f, 4);
    assert_int_equal(fixture_start(&f), 0);
    assert_non_null(fixture_topic(&f, "t", 1, NULL));
    fixture_until(&f, f.log->unwritten_count == 0 && !f.log->checkpoint.under_way);
    uint64_t frames = f.log->stats.frames, calls = disk_sim_calls(f.disk);
    for (unsigned n = 0; n < JOBS; n++) { /* a message of its own each */
        struct batch_spec spec = spec_of(n, 100);
        one_start(&f, &ones[n], fixture_partition(&f, "t", 0), &spec);
        while (loop_step(f.loop)) {
        }
        assert_int_equal(f.log->submits_in_flight, n + 1);
    }
    fixture_until(&f, ones[JOBS - 1].done);
    /* A few, not one: by seed the worker begins before it has been told of all. */
    frames = f.log->stats.frames - frames;
    assert_in_range(frames, 1, JOBS / 4);
    assert_int_equal(disk_sim_calls(f.disk) - calls, frames);
    for (unsigned n = 0; n < JOBS; n++) {
        assert_int_equal(ones[n].status, 0);
        one_free(&ones[n]);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

enum { BURST = 300 };

/* Twice what the journal may hold, all at once: what has no room waits for a checkpoint. */
static void test_log_journal__a_burst_waits_below_the_maximum(void **state) {
    static struct one burst[BURST];
    struct fixture f;
    uint64_t largest;
    unsigned done = 0;
    begin(&f, 3);
    struct partition *partition = fixture_partition(&f, "t", 0);
    for (unsigned n = 0; n < BURST; n++) {
        struct batch_spec spec = spec_of(n, 8000);
        one_start(&f, &burst[n], partition, &spec);
    }
    while (done < BURST) {
        fixture_step(&f);
        assert_true(total_bytes(&f, &largest) <= MAX_BYTES);
        while (done < BURST && burst[done].done) {
            assert_int_equal(burst[done++].status, 0);
        }
    }
    for (unsigned n = 0; n < BURST; n++) {
        one_free(&burst[n]);
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Small files that are in the way of a large message are removed. */
static unsigned play(struct fixture *f) {
    unsigned n = append_all(f, 0, 120, 8000);
    n += append_all(f, n, 6, MAX_BYTES / 4);
    return n + append_all(f, n, 20, 8000);
}

static bool call_unlinks(uint64_t call) {
    struct fixture f;
    begin(&f, 2);
    disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
    play(&f);
    bool unlinks =
        disk_sim_is_cut(f.disk) && strncmp(disk_sim_last_call(f.disk), "unlink journal/0", 16) == 0;
    fixture_deinit(&f);
    one_free(&one);
    return unlinks;
}

static void test_log_journal__unlink_that_fails_costs_nothing_but_room(void **state) {
    struct fixture f;
    unsigned unlinks = 0;
    begin(&f, 2);
    uint64_t begun = disk_sim_calls(f.disk);
    unsigned batches = play(&f);
    uint64_t calls = disk_sim_calls(f.disk) - begun;
    fixture_deinit(&f);
    for (uint64_t call = 1; call <= calls && unlinks < 4; call++) {
        if (!call_unlinks(call)) {
            continue;
        }
        unlinks++;
        begin(&f, 2);
        disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + call, -EIO);
        assert_int_equal(play(&f), batches);
        assert_false(f.log->failed);
        assert_int_equal(f.log->stats.removals_failed, 1);
        unsigned doomed = 0;
        for (unsigned i = 0; i < f.log->file_count; i++) {
            const struct journal_file *file = f.log->files[i];
            doomed += file->doomed;
            assert_true(!file->doomed ||
                        (file != f.log->current && file->state != JOURNAL_CURRENT));
        }
        assert_true(doomed <= 1); /* or the next file that was made has taken it along */
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, batches);
        assert_int_equal(append_all(&f, batches, 10, 8000), 10);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_true(unlinks > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_journal__grows_from_small_to_its_maximum_and_not_beyond),
        cmocka_unit_test(test_log_journal__appends_that_wait_together_share_a_frame),
        cmocka_unit_test(test_log_journal__a_burst_waits_below_the_maximum),
        cmocka_unit_test(test_log_journal__unlink_that_fails_costs_nothing_but_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
