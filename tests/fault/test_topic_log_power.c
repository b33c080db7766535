/*
 * The topic log under power cuts, kills, failing and full disks, simulated: every run is a function
 * of its seed. A run has several lives; each ends at a chosen disk call, and the next start, which
 * may be cut as well, must bring back what was promised (log_model.c). The scrub goes round all the
 * time: it must find nothing, and where it is cut nothing is lost but its place.
 *
 * EVENTBOX_CRASH_IMAGES sets how many distinct durable images are to be met (default 300);
 * EVENTBOX_CRASH_SEED the first seed, to repeat one run with EVENTBOX_CRASH_VERBOSE=1.
 */
#include "log_model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- what was met ---- */

struct met {
    uint64_t *images; /* open addressing, 0: empty */
    size_t image_count, image_capacity;
    char (*sites)[80];
    size_t site_count;
    uint64_t lives, cuts, kills, failures, full, full_starts, acked, lost_early, duplicates,
        verified, damaged, torn, compacted, starts, expired, widened, tombstones_gone,
        registry_begins, lookups, scrubbed, scrub_rounds, scrub_refused;
    /* checkpoint files that a crash left: with increments, with one that is torn, overwritten by
     * half; and crashes while a full one was on its way over increments, or was being encoded */
    uint64_t increments, torn_increments, halves, switches, encodings;
};
static struct met met;
enum { SITES_MAX = 256, DEFAULT_IMAGES = 300 };

static void meet_image(uint64_t digest) {
    if (met.image_count * 2 >= met.image_capacity) {
        size_t capacity = met.image_capacity ? met.image_capacity * 2 : 1024;
        uint64_t *grown = calloc(capacity, sizeof *grown);
        for (size_t i = 0; i < met.image_capacity; i++) {
            uint64_t image = met.images[i];
            for (size_t at = image % capacity; image; at = (at + 1) % capacity) {
                if (!grown[at]) {
                    grown[at] = image;
                    break;
                }
            }
        }
        free(met.images);
        met.images = grown;
        met.image_capacity = capacity;
    }
    digest += digest == 0;
    for (size_t at = digest % met.image_capacity;; at = (at + 1) % met.image_capacity) {
        if (met.images[at] == digest) {
            return;
        }
        if (!met.images[at]) {
            met.images[at] = digest;
            met.image_count++;
            return;
        }
    }
}

/* "pwritev topics/12-0/00000000000000000007.log" -> "pwritev topics/N-N/N.log" */
static void meet_site(const char *call) {
    char site[80];
    size_t n = 0;
    for (const char *c = call; *c && n + 1 < sizeof site; c++) {
        if (*c >= '0' && *c <= '9') {
            while (c[1] >= '0' && c[1] <= '9') {
                c++;
            }
            site[n++] = 'N';
        } else {
            site[n++] = *c;
        }
    }
    site[n] = 0;
    for (size_t i = 0; i < met.site_count; i++) {
        if (strcmp(met.sites[i], site) == 0) {
            return;
        }
    }
    assert_true(met.site_count < SITES_MAX);
    if (!met.sites) {
        met.sites = calloc(SITES_MAX, sizeof *met.sites);
    }
    strcpy(met.sites[met.site_count++], site);
}

/* ---- one run ---- */

struct run {
    struct fixture f;
    struct model model;
    struct random_seeded random;
    uint64_t seed;
};

static void meet_model(const struct model *model) {
    met.acked += model->acked;
    met.lost_early += model->lost_early;
    met.duplicates += model->duplicates;
    met.verified += model->verified;
    met.compacted += model->compacted;
    met.starts += model->starts;
    met.expired += model->expired;
    met.widened += model->widened;
    met.lookups += model->lookups;
    met.scrub_refused += model->f->scrub_refused;
    met.registry_begins +=
        model->f->log && topic_partition(model->f->log->registry, 0)->public.log_start_offset > 0;
    met.tombstones_gone += model->tombstones_gone;
}

static uint64_t dice(struct run *run, uint64_t limit) {
    return random_below(&run->random.random, limit);
}

static void check(struct run *run, const char *bad) {
    if (bad) {
        fail_msg("seed %llu: %s", (unsigned long long)run->seed, bad);
    }
}

static void look_at_checkpoints(struct disk *disk) {
    for (unsigned slot = 0; slot < 2; slot++) {
        struct checkpoint_header header;
        struct text image;
        text_init(&image);
        int r = checkpoint_read(disk, slot, &header, &image);
        met.increments += r == 0 && header.increments > 0;
        met.torn_increments += r == 0 && header.cut;
        met.halves += r == BROKER_E_CORRUPT;
        text_deinit(&image);
    }
}

static void crash(struct run *run, bool power_cut) {
    if (run->f.log && run->f.log->checkpoint.under_way) {
        const struct topic_log *log = run->f.log;
        const struct checkpoint_slot *slot = &log->checkpoint.slots[log->next_slot];
        met.encodings += log->checkpoint.encoding;
        met.switches += log->checkpoint.submitted && log->checkpoint.full && slot->appendable;
    }
    if (run->f.log) {
        met.scrubbed += run->f.log->stats.scrub_segments;
        met.scrub_rounds += run->f.log->stats.scrub_ended_s > 0;
    }
    if (disk_sim_is_cut(run->f.disk)) {
        meet_site(disk_sim_last_call(run->f.disk));
        met.cuts++;
    } else {
        met.kills++;
    }
    model_crashed(&run->model);
    fixture_crash(&run->f, power_cut);
    meet_image(disk_sim_digest(run->f.disk));
    look_at_checkpoints(run->f.disk);
}

/* Starts on a full disk, which may be refused, and killed there, which changes nothing. */
static void start_while_full(struct run *run) {
    struct disk_space now;
    disk_sim_cut_at(run->f.disk, 0);
    disk_sim_fail_at(run->f.disk, 0, 0);
    assert_int_equal(disk_space(run->f.disk, &now), 0);
    uint64_t used = now.total_bytes - now.available_bytes;
    for (unsigned starts = 1 + (unsigned)dice(run, 3); used > 0 && starts > 0; starts--) {
        disk_sim_limit(run->f.disk, used + dice(run, 3000));
        if (fixture_start(&run->f) == 0) {
            fixture_run_ms(&run->f, (int64_t)dice(run, 3000));
            met.full_starts++;
        }
        bool room = dice(run, 2) == 0;
        if (room && run->f.log && !run->f.log->failed) { /* it goes on, and checkpoints follow */
            disk_sim_limit(run->f.disk, 0);
            fixture_run_ms(&run->f, (int64_t)dice(run, 3000));
        }
        crash(run, dice(run, 2) == 0);
    }
    disk_sim_limit(run->f.disk, 0);
}

/* Starts, sometimes cut in the middle of recovery, until a start succeeds. */
static void start(struct run *run) {
    unsigned again = dice(run, 3) == 0 ? 1 + (unsigned)dice(run, 3) : 0;
    if (dice(run, 6) == 0) {
        start_while_full(run);
    }
    for (;;) {
        disk_sim_cut_at(run->f.disk, 0); /* what the life before had planned */
        disk_sim_fail_at(run->f.disk, 0, 0);
        if (again > 0) {
            uint64_t call = disk_sim_calls(run->f.disk) + 1 + dice(run, 40);
            if (dice(run, 5) == 0) {
                disk_sim_fail_at(run->f.disk, call, -EIO);
            } else {
                disk_sim_cut_at(run->f.disk, call);
            }
        }
        int r = fixture_start(&run->f);
        if (r == 0 && !disk_sim_is_cut(run->f.disk)) {
            disk_sim_cut_at(run->f.disk, 0);
            disk_sim_fail_at(run->f.disk, 0, 0);
            return;
        }
        if (again == 0) {
            fail_msg("seed %llu: the start fails with %d", (unsigned long long)run->seed, r);
        }
        again--;
        crash(run, dice(run, 2) == 0);
    }
}

/* One life: clients act until the chosen end. */
static void live_once(struct run *run) {
    struct fixture *f = &run->f;
    uint64_t calls = disk_sim_calls(f->disk);
    uint64_t kind = dice(run, 10);
    uint64_t length = 1 + dice(run, 400);
    f->expect_failures = false;
    if (kind < 6) {
        disk_sim_cut_at(f->disk, calls + length);
    } else if (kind == 6) {
        disk_sim_fail_at(f->disk, calls + length, -EIO);
        f->expect_failures = true;
        met.failures++;
    } else if (kind == 7) {
        disk_sim_fail_at(f->disk, calls + length, DISK_E_FULL);
        f->expect_failures = true;
        met.full++;
    }
    uint64_t acts = 20 + dice(run, 500);
    while (acts-- > 0 && !disk_sim_is_cut(f->disk)) {
        model_act(&run->model);
    }
    while (kind < 6 && !disk_sim_is_cut(f->disk) && dice(run, 4) > 0) {
        fixture_run_ms(f, 300); /* checkpoints and segment writes meet the cut, too */
    }
    if (kind == 7 && !disk_sim_is_cut(f->disk) && !f->log->failed) {
        model_settle(&run->model); /* a full disk is waited for, not failed by */
    }
    if (kind == 8 && !disk_sim_is_cut(f->disk)) {
        if (dice(run, 2) == 0) {
            disk_sim_cut_at(f->disk, disk_sim_calls(f->disk) + 1 + dice(run, 40));
        }
        fixture_stop(f);
    }
    disk_sim_fail_at(f->disk, 0, 0);
    met.lives++;
}

static void run_seed(uint64_t seed, unsigned lives) {
    struct run *run = calloc(1, sizeof *run);
    run->seed = seed;
    random_seeded_init(&run->random, seed);
    fixture_init(&run->f, seed);
    run->f.verbose = getenv("EVENTBOX_CRASH_VERBOSE") != NULL;
    struct topic_log_limits *limits = &run->f.limits;
    limits->journal_first_bytes = 16384;
    limits->journal_max_bytes = 131072 << dice(run, 2);
    limits->group_max_bytes = 32768;
    limits->gather_bytes = dice(run, 2) ? 4096 : KIB(32);
    limits->tail_bytes = 4096 << dice(run, 4);
    limits->tail_spread_bytes = dice(run, 2) ? 0 : 16384;
    limits->segment_bytes = 20000;
    limits->open_files_max = dice(run, 2) ? 4 : 64;
    limits->checkpoint_ms = 100 << dice(run, 5);
    limits->checkpoint_bytes = 65536;
    limits->replay_bytes = 1024 << dice(run, 8);
    limits->cleaner_ms = 20 << dice(run, 5);
    limits->retention_check_ms = 20 << dice(run, 5);
    limits->registry_bytes = 800 << dice(run, 5);
    limits->cleaner_memory_bytes = dice(run, 2) ? 72 : 4096; /* three keys, or all */
    limits->checkpoint_turn_partitions = dice(run, 2) ? 1 : 256;
    limits->scrub_interval_ms = 1 << dice(run, 9);
    limits->scrub_bytes_per_second = MIB(1) << dice(run, 6);
    disk_sim_refuse_direct(run->f.disk, dice(run, 4) == 0);
    model_init(&run->model, &run->f, seed);
    run->model.early_topics = true;
    start(run);
    for (unsigned i = 0; i < lives; i++) {
        live_once(run);
        if (run->f.log || disk_sim_is_cut(run->f.disk)) {
            crash(run, dice(run, 3) > 0);
        }
        start(run);
        check(run, model_verify(&run->model));
    }
    met.damaged += run->f.events[TOPIC_LOG_DAMAGED];
    met.torn += run->f.events[TOPIC_LOG_TORN_TAIL];
    if (run->f.events[TOPIC_LOG_DAMAGED] + run->f.events[TOPIC_LOG_MENDED] > 0) {
        check(run, run->f.last_event);
    }
    meet_model(&run->model);
    fixture_stop(&run->f);
    fixture_deinit(&run->f);
    model_deinit(&run->model);
    free(run);
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_topic_log_power__keeps_every_promise(void **state) {
    uint64_t images = number_of("EVENTBOX_CRASH_IMAGES", DEFAULT_IMAGES);
    uint64_t seed = number_of("EVENTBOX_CRASH_SEED", 1);
    while (met.image_count < images) {
        run_seed(seed++, 6);
    }
}

/* ---- one written life, ended at each of its calls in turn ---- */

static void small_limits(struct topic_log_limits *limits) {
    limits->journal_first_bytes = 16384;
    limits->journal_max_bytes = 131072;
    limits->group_max_bytes = 32768;
    limits->gather_bytes = 4096;
    limits->tail_bytes = 65536;
    limits->open_files_max = 8;
    limits->checkpoint_ms = 500;
    limits->checkpoint_bytes = 65536;
    limits->cleaner_ms = 300;
    limits->retention_check_ms = 300;
    limits->registry_bytes = 1500;
    limits->checkpoint_turn_partitions = 2;
    limits->scrub_interval_ms = 1500; /* enough to be met, and few calls more */
    limits->scrub_bytes_per_second = MIB(16);
}

static void begin_run(struct run *run, uint64_t seed) {
    memset(run, 0, sizeof *run);
    run->seed = seed;
    random_seeded_init(&run->random, seed);
    fixture_init(&run->f, seed);
    run->f.verbose = getenv("EVENTBOX_CRASH_VERBOSE") != NULL;
    small_limits(&run->f.limits);
    model_init(&run->model, &run->f, seed);
    run->model.early_topics = true;
}

static void end_run(struct run *run) {
    if (run->f.events[TOPIC_LOG_DAMAGED] + run->f.events[TOPIC_LOG_MENDED] > 0) {
        check(run, run->f.last_event);
    }
    met.torn += run->f.events[TOPIC_LOG_TORN_TAIL];
    meet_model(&run->model);
    if (run->f.log) {
        fixture_stop(&run->f);
    }
    fixture_deinit(&run->f);
    model_deinit(&run->model);
}

static bool over(struct run *run) {
    return disk_sim_is_cut(run->f.disk) || (run->f.log && run->f.log->failed);
}

/* Topics, rolls, a unit larger than any journal file, a deletion with its files, a clean stop. */
static void play_script(struct run *run) {
    struct model *model = &run->model;
    struct fixture *f = &run->f;
    if (fixture_start(f) != 0) {
        return;
    }
    static void (*const kinds[])(struct model *, const char *) = {
        model_create, model_create, model_create_compacted, model_create_short_lived};
    for (unsigned i = 0; i < ARRAY_SIZE(kinds) && !over(run); i++) {
        kinds[i](model, i == 1 ? "6000" : "1500");
        model_settle(model);
    }
    for (unsigned i = 0; i < 40 && !over(run); i++) {
        model_append(model, 1 + i % 3, i % 10 == 9 ? 5000 : 200);
        if (i % 4 == 3) {
            model_settle(model);
        }
    }
    model_settle(model);
    if (!over(run)) {
        fixture_run_ms(f, 2000);
    }
    if (!over(run)) {
        model_append(model, 3, 6000); /* a frame that the small journal files cannot hold */
        model_add_partitions(model);
        model_delete_records(model);
        model_settle(model);
    }
    if (!over(run)) {
        model_delete_records(model);
        model_delete(model);
        model_settle(model);
    }
    if (!over(run)) {
        fixture_run_ms(f, 5000);
    }
    if (!over(run)) {
        fixture_stop(f);
    }
}

/* Whatever the end was: start again, everything is there, and it goes on. */
static void come_back(struct run *run, bool power_cut) {
    crash(run, power_cut);
    int r = fixture_start(&run->f);
    if (r) {
        fail_msg("seed %llu: the start fails with %d", (unsigned long long)run->seed, r);
    }
    check(run, model_verify(&run->model));
}

static void test_topic_log_power__cut_at_every_call(void **state) {
    uint64_t step = number_of("EVENTBOX_CRASH_IMAGES", 0) >= 5000 ? 1 : 5;
    bool ended = false;
    for (uint64_t call = 1; !ended; call += step) {
        struct run *run = calloc(1, sizeof *run);
        begin_run(run, 7);
        run->f.seed += call;
        disk_sim_cut_at(run->f.disk, call);
        play_script(run);
        ended = !disk_sim_is_cut(run->f.disk);
        come_back(run, true);
        end_run(run);
        free(run);
    }
}

static bool is_met(const char *site) {
    for (size_t n = 0; n < met.site_count; n++) {
        if (strcmp(met.sites[n], site) == 0) {
            return true;
        }
    }
    return false;
}

/* What a life does first, which random cuts hardly ever meet: it reads where the scrub was. */
static void test_topic_log_power__first_calls_after_a_start_cut(void **state) {
    for (uint64_t call = 1; call <= 12; call++) {
        struct run *run = calloc(1, sizeof *run);
        begin_run(run, 7);
        play_script(run);
        assert_true(run->f.log == NULL); /* it ended by a clean stop */
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(fixture_start(&run->f), 0);
            disk_sim_cut_at(run->f.disk, disk_sim_calls(run->f.disk) + call);
            fixture_until(&run->f, disk_sim_is_cut(run->f.disk));
            crash(run, true);
        }
        disk_sim_cut_at(run->f.disk, 0);
        assert_int_equal(fixture_start(&run->f), 0);
        check(run, model_verify(&run->model));
        end_run(run);
        free(run);
    }
    assert_true(is_met("pread scrub"));
}

static void test_topic_log_power__recovery_cut_at_every_call(void **state) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct run *run = calloc(1, sizeof *run);
        begin_run(run, seed);
        run->f.limits.journal_first_bytes = 131072; /* no other file is needed meanwhile */
        run->f.limits.journal_max_bytes = 1 << 20;
        assert_int_equal(fixture_start(&run->f), 0);
        model_create(&run->model, "50000");
        model_settle(&run->model);
        for (unsigned i = 0; i < 6; i++) {
            model_append(&run->model, 2, 300);
        }
        model_settle(&run->model);
        fixture_run_ms(&run->f, 3000); /* nothing else is to be written */
        /* A large frame is torn in the middle of its write. */
        model_append(&run->model, 3, 2500);
        disk_sim_cut_at(run->f.disk, disk_sim_calls(run->f.disk) + 1);
        fixture_until(&run->f, disk_sim_is_cut(run->f.disk));
        assert_memory_equal(disk_sim_last_call(run->f.disk), "pwritev journal/0", 17);
        crash(run, true);
        for (uint64_t call = 1;; call++) {
            disk_sim_cut_at(run->f.disk, disk_sim_calls(run->f.disk) + call);
            if (fixture_start(&run->f) == 0 && !disk_sim_is_cut(run->f.disk)) {
                break;
            }
            crash(run, true);
        }
        disk_sim_cut_at(run->f.disk, 0);
        check(run, model_verify(&run->model));
        end_run(run);
        free(run);
    }
    assert_true(met.torn > 0);
}

/* Many checkpoints: increments, and full ones over them. */
static void play_checkpoints(struct run *run) {
    struct model *model = &run->model;
    if (fixture_start(&run->f) != 0) {
        return;
    }
    model_create(model, "6000");
    model_settle(model);
    for (unsigned i = 0; i < 40 && !over(run); i++) {
        model_append(model, 1 + i % 3, 200);
        if (i % 6 == 5) {
            model_create(model, "1500");
            model_delete_records(model);
            model_delete(model);
            model_add_partitions(model);
        }
        model_settle(model);
        const int64_t until_ns = run->f.clock.mono_ns + 500 * NS_PER_MS;
        while (!over(run) && run->f.clock.mono_ns < until_ns) {
            fixture_step(&run->f);
        }
    }
}

static void test_topic_log_power__checkpoints_cut_at_every_call(void **state) {
    uint64_t torn = met.torn_increments, halves = met.halves, switches = met.switches;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        bool ended = false;
        for (uint64_t call = 1; !ended; call++) {
            struct run *run = calloc(1, sizeof *run);
            begin_run(run, seed);
            run->f.limits.scrub_interval_ms = 0;
            run->f.seed += call; /* what a cut leaves is another toss each time */
            disk_sim_cut_at(run->f.disk, call);
            play_checkpoints(run);
            ended = !disk_sim_is_cut(run->f.disk);
            if (ended) {
                assert_true(run->f.log->stats.checkpoint_increments > 4);
                assert_true(run->f.log->stats.checkpoints > 4);
            }
            come_back(run, true);
            end_run(run);
            free(run);
        }
    }
    assert_true(met.torn_increments > torn && met.halves > halves && met.switches > switches);
}

static void fail_at_every_call(int error) {
    bool ended = false;
    uint64_t step = number_of("EVENTBOX_CRASH_IMAGES", 0) >= 5000 ? 1 : 5;
    for (uint64_t call = 1; !ended; call += step) {
        struct run *run = calloc(1, sizeof *run);
        begin_run(run, 7);
        disk_sim_fail_at(run->f.disk, call, error);
        run->f.expect_failures = true;
        play_script(run);
        ended = disk_sim_calls(run->f.disk) < call;
        if (error == DISK_E_FULL && run->f.started && run->f.start_status == 0) {
            const char *failed = disk_sim_failed_call(run->f.disk);
            bool is_sync = strncmp(failed, "sync", 4) == 0;
            if (run->f.log && run->f.log->failed && !is_sync) {
                fail_msg("call %llu, %s: a full disk has failed the log: %s",
                         (unsigned long long)call, failed, run->f.last_event);
            }
        }
        come_back(run, call % 2 == 0);
        end_run(run);
        free(run);
    }
}

static void test_topic_log_power__survives_failure_of_every_call(void **state) {
    fail_at_every_call(-EIO);
}

static void test_topic_log_power__waits_for_space_at_every_call(void **state) {
    fail_at_every_call(DISK_E_FULL);
}

/* Calls that a full disk refuses; no disk answers others so. Of segments it is those that make one.
 */
static bool needs_room(const char *call) {
    static const char *const calls[] = {"pwritev ",         "mkdir ",           "rename ",
                                        "open journal/new", "open journal/cut", "open topics/"};
    bool found = false;
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        found |= strncmp(call, calls[i], strlen(calls[i])) == 0;
    }
    return found;
}

/*
 * A life ended by a cut or a kill, and each call of the start behind it failed in turn (each
 * seventh in a short run): by EIO it is refused or goes on, by a full disk it goes on, and the one
 * after it has everything.
 */
static void fail_at_every_call_of_a_start(int error) {
    bool all = number_of("EVENTBOX_CRASH_IMAGES", 0) >= 5000;
    uint64_t ends[] = {150, 320, 450, 600}; /* calls of the life, of some 680 */
    unsigned replays = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(ends); n++) {
        bool ended = false;
        for (uint64_t call = 1; !ended; call += all ? 1 : 7) {
            struct run *run = calloc(1, sizeof *run);
            begin_run(run, 7);
            disk_sim_cut_at(run->f.disk, ends[n]);
            play_script(run);
            assert_true(disk_sim_is_cut(run->f.disk));
            crash(run, n % 2 == 0);
            disk_sim_fail_at(run->f.disk, disk_sim_calls(run->f.disk) + call, error);
            run->f.expect_failures = true;
            int r = fixture_start(&run->f);
            const char *failed = disk_sim_failed_call(run->f.disk);
            ended = *failed == '\0';
            disk_sim_fail_at(run->f.disk, 0, 0);
            bool possible = error != DISK_E_FULL || needs_room(failed);
            /* A checkpoint is written again in its place, which most disks have room for. */
            bool in_place = strncmp(failed, "pwritev checkpoint", 18) == 0;
            if (r && error == DISK_E_FULL && possible && !in_place) {
                fail_msg("end %u, call %llu, %s: a full disk has the start refused with %d: %s", n,
                         (unsigned long long)call, failed, r, run->f.last_event);
            }
            if (r == 0 && !run->f.log->failed) {
                check(run, model_verify(&run->model));
                model_append(&run->model, 2, 300);
                model_settle(&run->model);
            }
            if (!possible) { /* a checkpoint, say, that cannot be opened */
                run->f.events[TOPIC_LOG_MENDED] = 0;
            }
            replays += run->f.events[TOPIC_LOG_RECOVERED];
            come_back(run, call % 2 == 0);
            end_run(run);
            free(run);
        }
    }
    assert_true(replays > 0);
}

static void test_topic_log_power__survives_failure_of_every_call_of_a_start(void **state) {
    fail_at_every_call_of_a_start(-EIO);
}

static void test_topic_log_power__starts_without_space_at_every_call(void **state) {
    fail_at_every_call_of_a_start(DISK_E_FULL);
}

/* Every place of log/ that changes or reads files, as the disk sees it. */
static const char *const all_sites[] = {
    "list journal",
    "list topics",
    "list topics/N-N",
    "mkdir journal",
    "mkdir topics",
    "mkdir topics/N-N",
    "open checkpoint.N",
    "open journal/N",
    "open journal/clean",
    "open journal/cut-N",
    "open journal/new",
    "open scrub",
    "open scrub.new",
    "open topics/N-N/N.index",
    "open topics/N-N/N.index.N.cleaned",
    "open topics/N-N/N.log",
    "open topics/N-N/N.log.N.cleaned",
    "open topics/N-N/N.snapshot",
    "open topics/N-N/N.timeindex",
    "open topics/N-N/N.timeindex.N.cleaned",
    "pread checkpoint.N",
    "pread journal/N",
    "pread journal/clean",
    "pread scrub",
    "pread topics/N-N/N.index",
    "pread topics/N-N/N.log",
    "pread topics/N-N/N.timeindex",
    "pwritev checkpoint.N",
    "pwritev journal/N",
    "pwritev journal/clean",
    "pwritev journal/cut-N",
    "pwritev journal/new",
    "pwritev scrub.new",
    "pwritev topics/N-N/N.index",
    "pwritev topics/N-N/N.index.N.cleaned",
    "pwritev topics/N-N/N.log",
    "pwritev topics/N-N/N.log.N.cleaned",
    "pwritev topics/N-N/N.snapshot",
    "pwritev topics/N-N/N.timeindex",
    "pwritev topics/N-N/N.timeindex.N.cleaned",
    "rename journal/new journal/N",
    "rename scrub.new scrub",
    "rename topics/N-N/N.index.N.cleaned topics/N-N/N.index",
    "rename topics/N-N/N.log.N.cleaned topics/N-N/N.log",
    "rename topics/N-N/N.timeindex.N.cleaned topics/N-N/N.timeindex",
    "rmdir topics/N-N",
    "size checkpoint.N",
    "size journal/N",
    "size topics/N-N/N.index",
    "size topics/N-N/N.log",
    "size topics/N-N/N.timeindex",
    "sync checkpoint.N",
    "sync journal/N",
    "sync journal/clean",
    "sync journal/cut-N",
    "sync journal/new",
    "sync scrub.new",
    "sync topics/N-N/N.index.N.cleaned",
    "sync topics/N-N/N.log",
    "sync topics/N-N/N.log.N.cleaned",
    "sync topics/N-N/N.timeindex.N.cleaned",
    "sync_dir .",
    "sync_dir journal",
    "sync_dir topics",
    "sync_dir topics/N-N",
    "syncfs .",
    "truncate topics/N-N/N.index",
    "truncate topics/N-N/N.timeindex",
    "unlink journal/N",
    "unlink topics/N-N/N.index",
    "unlink topics/N-N/N.index.N.cleaned",
    "unlink topics/N-N/N.log",
    "unlink topics/N-N/N.log.N.cleaned",
    "unlink topics/N-N/N.snapshot",
    "unlink topics/N-N/N.timeindex",
    "unlink topics/N-N/N.timeindex.N.cleaned",
};

static void test_topic_log_power__cuts_every_call_site(void **state) {
    bool demand = number_of("EVENTBOX_CRASH_IMAGES", 0) >= 5000;
    unsigned missed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all_sites); i++) {
        if (!is_met(all_sites[i])) {
            print_message("not cut: %s\n", all_sites[i]);
            missed++;
        }
    }
    print_message(
        "%zu distinct images: %llu lives, %llu cuts, %llu kills, %llu failing and %llu full "
        "calls, %llu starts on a full disk, %llu appends acknowledged, %llu batches with flush.ms "
        "lost, %llu duplicates, %llu "
        "batches read back, %llu lookups by time, %llu torn tails, %llu records superseded and "
        "gone, %llu tombstones "
        "gone, %llu starts moved by DeleteRecords and %llu by retention, %llu topics widened, %llu "
        "checkpoints with increments, %llu with a torn one, %llu torn over, %llu crashes during a "
        "switch to a full one and %llu while one was encoded, %zu call sites cut\n",
        met.image_count, (unsigned long long)met.lives, (unsigned long long)met.cuts,
        (unsigned long long)met.kills, (unsigned long long)met.failures,
        (unsigned long long)met.full, (unsigned long long)met.full_starts,
        (unsigned long long)met.acked, (unsigned long long)met.lost_early,
        (unsigned long long)met.duplicates, (unsigned long long)met.verified,
        (unsigned long long)met.lookups, (unsigned long long)met.torn,
        (unsigned long long)met.compacted, (unsigned long long)met.tombstones_gone,
        (unsigned long long)met.starts, (unsigned long long)met.expired,
        (unsigned long long)met.widened, (unsigned long long)met.increments,
        (unsigned long long)met.torn_increments, (unsigned long long)met.halves,
        (unsigned long long)met.switches, (unsigned long long)met.encodings, met.site_count);
    assert_true(!demand || missed == 0);
    assert_true(met.image_count > 0 && met.lookups > 0 && met.scrubbed > 0);
    assert_true(!demand || met.scrub_refused > 0);
    if (met.image_count >= DEFAULT_IMAGES) {
        assert_true(met.compacted > 0 && met.starts > 0 && met.expired > 0 && met.widened > 0 &&
                    met.registry_begins > 0);
        assert_true(met.tombstones_gone > 0);
        assert_true(met.increments > 0 && met.encodings > 0);
    }
    assert_true(!demand || met.lost_early > 0);
    free(met.images);
    free(met.sites);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_log_power__keeps_every_promise),
        cmocka_unit_test(test_topic_log_power__cut_at_every_call),
        cmocka_unit_test(test_topic_log_power__first_calls_after_a_start_cut),
        cmocka_unit_test(test_topic_log_power__recovery_cut_at_every_call),
        cmocka_unit_test(test_topic_log_power__checkpoints_cut_at_every_call),
        cmocka_unit_test(test_topic_log_power__survives_failure_of_every_call),
        cmocka_unit_test(test_topic_log_power__waits_for_space_at_every_call),
        cmocka_unit_test(test_topic_log_power__survives_failure_of_every_call_of_a_start),
        cmocka_unit_test(test_topic_log_power__starts_without_space_at_every_call),
        cmocka_unit_test(test_topic_log_power__cuts_every_call_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
