/* An append to several partitions is one unit, in one frame: after a power cut at whichever call of
 * the disk all of its batches are there, or none. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { UNITS = 6, PARTS = 3, SEEDS = 30 };

struct unit {
    struct append append;
    struct append_part parts[PARTS];
    struct buf *bufs[PARTS];
    bool done;
    int status;
};

static void on_unit(struct append *append, int status) {
    struct unit *unit = container_of(append, struct unit, append);
    unit->status = status;
    unit->done = true;
}

/* One batch of one record to each partition: so the offset of a unit's records is its number. */
static void start_unit(struct fixture *f, struct unit *unit, uint64_t n) {
    *unit = (struct unit){
        .append = {.class = n % 2 ? APPEND_CLIENT : APPEND_RESERVED, .part_count = PARTS}};
    unit->append.parts = unit->parts;
    unit->append.done = on_unit;
    for (unsigned i = 0; i < PARTS; i++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 300 + 3000 * (n % 3),
                                  .tag = n * PARTS + i,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1};
        unit->bufs[i] = fixture_batch(&spec);
        unit->parts[i].partition = fixture_partition(f, "t", (int32_t)i);
        unit->parts[i].batch = slice_of(unit->bufs[i], 0, unit->bufs[i]->size);
    }
    assert_int_equal(topic_log_append(f->log, &unit->append), 0);
}

/* Appends UNITS units, two at once, until the power is cut; how many were acknowledged. */
static unsigned append_units(struct fixture *f, struct unit units[UNITS]) {
    unsigned acknowledged = 0, started = 0, ended = 0;
    while (ended < UNITS && !disk_sim_is_cut(f->disk)) {
        while (started < UNITS && started < ended + 2) {
            start_unit(f, &units[started], started);
            started++;
        }
        fixture_until(f, units[ended].done || disk_sim_is_cut(f->disk));
        acknowledged += units[ended].done && units[ended].status == 0;
        ended += units[ended].done;
    }
    return acknowledged;
}

static void free_units(struct unit units[UNITS]) {
    for (unsigned n = 0; n < UNITS; n++) {
        for (unsigned i = 0; i < PARTS; i++) {
            buf_unref(units[n].bufs[i]);
        }
    }
}

/* Cut at disk call @call of the appends; false: they need fewer. @ret_whole: units that are there.
 * Torn writes differ by @seed. */
static bool cut_at(uint64_t seed, uint64_t call, unsigned *ret_whole) {
    struct fixture f;
    struct unit units[UNITS] = {0};
    fixture_init(&f, seed);
    assert_int_equal(fixture_start(&f), 0);
    fixture_topic(&f, "t", PARTS, NULL);
    f.expect_failures = true;
    disk_sim_cut_at(f.disk, disk_sim_calls(f.disk) + call);
    unsigned acknowledged = append_units(&f, units);
    bool cut = disk_sim_is_cut(f.disk);
    fixture_crash(&f, true);
    free_units(units);
    assert_int_equal(fixture_start(&f), 0);
    int64_t end = fixture_partition(&f, "t", 0)->log_end_offset;
    for (int32_t i = 1; i < PARTS; i++) {
        assert_int_equal(fixture_partition(&f, "t", i)->log_end_offset, end);
    }
    assert_in_range(end, acknowledged, UNITS);
    *ret_whole = (unsigned)end;
    fixture_stop(&f);
    fixture_deinit(&f);
    return cut;
}

static void test_log_units__are_all_there_or_none_of_them_after_a_power_cut(void **state) {
    bool found[UNITS + 1] = {0};
    unsigned whole;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (uint64_t call = 1; cut_at(seed, call, &whole); call++) {
            found[whole] = true;
        }
        assert_int_equal(whole, UNITS);
    }
    assert_true(found[0] && found[2] && found[UNITS]); /* cuts fell before, between and behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_units__are_all_there_or_none_of_them_after_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
