/* The reserve on a simulated disk that fills up and empties again. */
#include "space.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <eventbox/loop/disk_sim.h>
#include <stdio.h>

enum { TOTAL = 64 << 20, RESERVE = 8 << 20, FULL_MARK = 1 << 20, LOW_MARK = 4 << 20 };

struct world {
    struct clock_manual clock;
    struct random_seeded random;
    struct loop *loop;
    struct work_port *work;
    struct disk *disk;
    struct space *space;
    struct disk_file *filler;
    unsigned changes;
    unsigned made; /* files that take others' place */
    enum space_state state;
    bool stopped;
};

static void on_change(void *userdata, enum space_state state) {
    struct world *world = userdata;
    world->changes++;
    world->state = state;
}

/* Leaves @free_bytes free. */
static void fill(struct world *w, uint64_t free_bytes) {
    struct disk_space now;
    uint64_t size = 0;
    assert_int_equal(disk_space(w->disk, &now), 0);
    assert_int_equal(disk_size(w->filler, &size), 0);
    assert_int_equal(disk_truncate(w->filler, size + now.available_bytes - free_bytes), 0);
}

static void open_space(struct world *w) {
    struct space_config config = {.disk = w->disk,
                                  .low_bytes = LOW_MARK,
                                  .reserve_bytes = RESERVE,
                                  .on_change = on_change,
                                  .userdata = w};
    assert_int_equal(space_open(&config, &w->space), 0);
}

static void world_init(struct world *w) {
    *w = (struct world){0};
    clock_manual_init(&w->clock, NS_PER_SEC);
    random_seeded_init(&w->random, 3);
    assert_int_equal(loop_new_simulated(&w->clock.clock, &w->loop), 0);
    w->work = work_port_sim_new(&w->random.random);
    assert_int_equal(disk_sim_new(3, &w->disk), 0);
    disk_sim_limit(w->disk, TOTAL);
    assert_int_equal(disk_open(w->disk, "filler", DISK_WRITE | DISK_CREATE, &w->filler), 0);
}

static void run_ms(struct world *w, int64_t ms) {
    int64_t until_ns = w->clock.mono_ns + ms * NS_PER_MS;
    while (w->clock.mono_ns < until_ns) {
        while (loop_step(w->loop) || work_sim_step(w->work)) {
        }
        clock_manual_advance(&w->clock, 50 * NS_PER_MS);
    }
}

static void on_stopped(void *userdata) {
    ((struct world *)userdata)->stopped = true;
}

static void world_deinit(struct world *w) {
    space_stop(w->space, on_stopped, w);
    run_ms(w, 100);
    assert_true(w->stopped);
    space_free(w->space);
    disk_close(w->filler);
    work_sim_abandon(w->work);
    loop_free(w->loop);
    disk_free(w->disk);
}

static uint64_t reserve_on_disk(struct world *w) {
    struct disk_file *file;
    uint64_t size = 0;
    if (disk_open(w->disk, "reserve", DISK_READ, &file) == 0) {
        assert_int_equal(disk_size(file, &size), 0);
        disk_close(file);
    }
    return size;
}

static void test_space__reserve_is_given_back_on_a_full_disk_and_made_again(void **state) {
    struct world w;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    assert_int_equal(reserve_on_disk(&w), RESERVE);
    assert_int_equal(space_state(w.space), SPACE_OK);
    fill(&w, FULL_MARK / 2);
    run_ms(&w, 6000);
    assert_int_equal(space_state(w.space), SPACE_FULL);
    assert_int_equal(w.state, SPACE_FULL);
    assert_int_equal(reserve_on_disk(&w), 0);
    /* Not yet room for the reserve and a margin: no flicker. */
    fill(&w, RESERVE + FULL_MARK);
    run_ms(&w, 6000);
    assert_int_equal(space_state(w.space), SPACE_FULL);
    assert_int_equal(w.changes, 1);
    fill(&w, 4 * RESERVE);
    run_ms(&w, 1100);
    assert_int_equal(space_state(w.space), SPACE_OK);
    assert_int_equal(reserve_on_disk(&w), RESERVE);
    world_deinit(&w);
}

static void test_space__low_water_is_told_before_it_is_full(void **state) {
    struct world w;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    fill(&w, LOW_MARK - 1);
    run_ms(&w, 6000);
    assert_int_equal(w.state, SPACE_LOW);
    assert_int_equal(reserve_on_disk(&w), RESERVE);
    fill(&w, LOW_MARK);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_OK);
    world_deinit(&w);
}

/* Also when there was plenty a second ago: a disk is filled faster than that. */
static void test_space__low_water_is_told_within_a_second(void **state) {
    struct world w;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 6500);
    fill(&w, LOW_MARK - 1);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_LOW);
    world_deinit(&w);
}

/* A quota, or another program that was quicker than the look: whoever is refused says so. */
static void test_space__who_meets_a_full_disk_gets_the_reserve_at_once(void **state) {
    struct world w;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    fill(&w, FULL_MARK * 2);
    space_met_full(w.space);
    run_ms(&w, 100);
    assert_int_equal(space_state(w.space), SPACE_FULL);
    assert_int_equal(reserve_on_disk(&w), 0);
    world_deinit(&w);
}

static void test_space__start_on_a_full_disk_has_the_reserve(void **state) {
    struct world w;
    struct disk_space now;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    space_stop(w.space, on_stopped, &w);
    run_ms(&w, 100);
    space_free(w.space);
    w.stopped = false;
    fill(&w, 0);
    open_space(&w); /* before anything runs */
    assert_int_equal(space_state(w.space), SPACE_FULL);
    assert_int_equal(disk_space(w.disk, &now), 0);
    assert_int_equal(now.available_bytes, RESERVE);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    assert_int_equal(w.state, SPACE_FULL);
    world_deinit(&w);
}

static void test_space__reserve_is_at_most_an_eighth(void **state) {
    struct world w;
    world_init(&w);
    disk_sim_limit(w.disk, 16 << 20);
    open_space(&w);
    assert_int_equal(space_reserve_bytes(w.space), 2 << 20);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    world_deinit(&w);
}

/* ---- files ---- */

enum { FILES = 6400, FILES_FULL = 100, FILES_LOW = 320 };

static uint64_t files_left(struct world *w) {
    struct disk_space now;
    assert_int_equal(disk_space(w->disk, &now), 0);
    return now.available_files;
}

/* Leaves @count files that can be made; bytes are plenty. */
static void leave_files(struct world *w, uint64_t count) {
    char name[16];
    while (files_left(w) > count) {
        struct disk_file *file;
        snprintf(name, sizeof name, "f%u", w->made++);
        assert_int_equal(disk_open(w->disk, name, DISK_WRITE | DISK_CREATE, &file), 0);
        disk_close(file);
    }
    while (files_left(w) < count) {
        snprintf(name, sizeof name, "f%u", --w->made);
        assert_int_equal(disk_unlink(w->disk, name), 0);
    }
}

static void test_space__files_run_low_and_out_as_bytes_do(void **state) {
    struct world w;
    struct space_stats stats;
    world_init(&w);
    disk_sim_limit_files(w.disk, FILES);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    assert_int_equal(space_state(w.space), SPACE_OK);
    leave_files(&w, FILES_LOW);
    run_ms(&w, 6000);
    assert_int_equal(space_state(w.space), SPACE_OK);
    leave_files(&w, FILES_LOW - 1);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_LOW);
    space_stats(w.space, &stats);
    assert_int_equal(stats.available_files, FILES_LOW - 1);
    assert_int_equal(stats.low_files, FILES_LOW);
    leave_files(&w, FILES_FULL);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_LOW);
    leave_files(&w, FILES_FULL - 1);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_FULL);
    /* The reserve's own, which came back with it, is no reason to go on: no flicker. */
    leave_files(&w, 2 * FILES_FULL - 1);
    run_ms(&w, 6000);
    assert_int_equal(w.state, SPACE_FULL);
    assert_int_equal(w.changes, 2);
    leave_files(&w, FILES_LOW + 1);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_OK);
    assert_int_equal(reserve_on_disk(&w), RESERVE);
    world_deinit(&w);
}

static void test_space__start_without_a_file_left_is_full(void **state) {
    struct world w;
    world_init(&w);
    disk_sim_limit_files(w.disk, FILES);
    leave_files(&w, 0);
    open_space(&w);
    assert_int_equal(space_state(w.space), SPACE_FULL);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    assert_int_equal(w.state, SPACE_FULL);
    run_ms(&w, 3000);
    assert_int_equal(w.state, SPACE_FULL);
    leave_files(&w, FILES_LOW + 1);
    run_ms(&w, 1100);
    assert_int_equal(w.state, SPACE_OK);
    world_deinit(&w);
}

/* As btrfs and vfat: they report 0 of 0. */
static void test_space__without_a_bound_files_do_not_count(void **state) {
    struct world w;
    struct space_stats stats;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    space_stats(w.space, &stats);
    assert_int_equal(stats.available_files + stats.low_files + stats.full_files, 0);
    assert_int_equal(space_state(w.space), SPACE_OK);
    world_deinit(&w);
}

/* The job has a thread of its own; what metrics and the state say comes from one and the same look.
 */
static void test_space__a_look_is_told_when_it_is_over(void **state) {
    struct world w;
    struct space_stats stats;
    world_init(&w);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 100);
    fill(&w, FULL_MARK / 2);
    clock_manual_advance(&w.clock, NS_PER_SEC);
    while (loop_step(w.loop)) {
    }
    assert_true(work_sim_step(w.work)); /* has given the reserve back */
    assert_int_equal(reserve_on_disk(&w), 0);
    space_stats(w.space, &stats);
    assert_int_equal(stats.available_bytes, TOTAL - RESERVE);
    assert_true(stats.reserve_held);
    assert_int_equal(stats.state, SPACE_OK);
    assert_true(loop_step(w.loop));
    space_stats(w.space, &stats);
    assert_int_equal(stats.available_bytes, FULL_MARK / 2 + RESERVE);
    assert_false(stats.reserve_held);
    assert_int_equal(stats.state, SPACE_FULL);
    world_deinit(&w);
}

/* A folder in the reserve's place: there is none then, and all else goes on. */
static void test_space__without_a_reserve_the_marks_count(void **state) {
    struct world w;
    struct space_stats stats;
    world_init(&w);
    assert_int_equal(disk_mkdir(w.disk, "reserve"), 0);
    open_space(&w);
    assert_int_equal(space_start(w.space, w.loop, w.work), 0);
    run_ms(&w, 1100);
    assert_int_equal(space_state(w.space), SPACE_OK);
    fill(&w, RESERVE + 3 * FULL_MARK);
    run_ms(&w, 1100);
    space_stats(w.space, &stats);
    assert_int_equal(stats.available_bytes, RESERVE + 3 * FULL_MARK);
    assert_false(stats.reserve_held);
    assert_int_equal(space_state(w.space), SPACE_OK);
    fill(&w, FULL_MARK / 2);
    run_ms(&w, 1100);
    assert_int_equal(space_state(w.space), SPACE_FULL);
    fill(&w, TOTAL / 2);
    run_ms(&w, 1100);
    assert_int_equal(space_state(w.space), SPACE_OK);
    world_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_space__reserve_is_given_back_on_a_full_disk_and_made_again),
        cmocka_unit_test(test_space__low_water_is_told_before_it_is_full),
        cmocka_unit_test(test_space__low_water_is_told_within_a_second),
        cmocka_unit_test(test_space__who_meets_a_full_disk_gets_the_reserve_at_once),
        cmocka_unit_test(test_space__start_on_a_full_disk_has_the_reserve),
        cmocka_unit_test(test_space__reserve_is_at_most_an_eighth),
        cmocka_unit_test(test_space__files_run_low_and_out_as_bytes_do),
        cmocka_unit_test(test_space__start_without_a_file_left_is_full),
        cmocka_unit_test(test_space__without_a_bound_files_do_not_count),
        cmocka_unit_test(test_space__a_look_is_told_when_it_is_over),
        cmocka_unit_test(test_space__without_a_reserve_the_marks_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
