/* What verify and dump say of a folder, sound and damaged, and that they leave it as it is. */
#include "inspect/dump_text.h"
#include "inspect/inspect.h"
#include "log_fixture.h"
#include "producers/producer_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCHES = 30, VALUE_BYTES = 2000, FINDINGS_MAX = 16 };

struct kept {
    struct log_finding finding;
    char topic[64], file[128];
};
struct looked {
    struct log_inspect inspect;
    struct log_verify verify;
    struct kept kept[FINDINGS_MAX];
    unsigned count, events[TOPIC_LOG_DISK_AGAIN + 1];
    struct text text;
};

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 2,
                               .value_bytes = VALUE_BYTES,
                               .tag = UINT64_C(0x7a6f6e6500000000) + n * 16,
                               .timestamp_ms = 1700000000000 + (int64_t)n,
                               .producer_id = -1};
}

/* Thirty batches on partition 1 of "t", one on partition 0. */
static void fill(struct fixture *f, int64_t checkpoint_ms) {
    fixture_init(f, 5);
    f->limits.checkpoint_ms = checkpoint_ms;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 2, NULL);
    for (uint64_t n = 0; n < BATCHES; n++) {
        struct batch_spec spec = spec_of(n);
        assert_int_equal(fixture_append(f, partition_get(topic, 1), &spec), n * 2);
    }
    struct batch_spec spec = spec_of(99);
    assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), 0);
}

static void on_finding(void *userdata, const struct log_finding *finding) {
    struct looked *looked = userdata;
    assert_true(looked->count < FINDINGS_MAX);
    struct kept *kept = &looked->kept[looked->count++];
    kept->finding = *finding;
    snprintf(kept->topic, sizeof kept->topic, "%s", finding->topic ? finding->topic : "");
    snprintf(kept->file, sizeof kept->file, "%s", finding->file ? finding->file : "");
}

static void on_event(void *userdata, enum topic_log_event event, const char *text) {
    (void)text;
    ((struct looked *)userdata)->events[event]++;
}

static void look(struct fixture *f, struct looked *looked, bool live) {
    memset(looked, 0, sizeof *looked);
    uint64_t before = disk_sim_digest(f->disk);
    looked->inspect = (struct log_inspect){
        .folder = f->disk, .live = live, .on_event = on_event, .userdata = looked};
    assert_int_equal(log_inspect_open(&looked->inspect), 0);
    looked->verify = (struct log_verify){
        .inspect = &looked->inspect, .on_finding = on_finding, .userdata = looked, .partition = -1};
    assert_int_equal(log_verify_run(&looked->verify), 0);
    log_inspect_close(&looked->inspect);
    assert_int_equal(disk_sim_digest(f->disk), before);
}

/* The folder and name of the only segment of partition @index of "t", whose number is 1. */
static const char *segment_path(int index, enum segment_kind kind) {
    static char path[SEGMENT_NAME_SIZE];
    struct segment_id id = {1, index, 0};
    segment_name(&id, kind, path);
    return path;
}

/* Where the first value of batch @n stands in a file. */
static uint64_t find_batch(struct fixture *f, const char *path, uint64_t n) {
    struct disk_file *file;
    uint64_t size, tag = spec_of(n).tag;
    size_t got, at = 0;
    assert_int_equal(disk_open(f->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    uint8_t *data = malloc(size);
    assert_int_equal(disk_pread(file, data, size, 0, &got), 0);
    disk_close(file);
    while (at + sizeof tag <= got && memcmp(data + at, &tag, sizeof tag) != 0) {
        at++;
    }
    assert_true(at + sizeof tag <= got);
    free(data);
    return at;
}

static void make_file(struct fixture *f, const char *path) {
    struct disk_file *file;
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE | DISK_CREATE, &file), 0);
    assert_int_equal(disk_pwrite(file, "x", 1, 0), 0);
    disk_close(file);
}

static void test_log_verify__sound_after_a_stop(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_stop(&f);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 0);
    assert_int_equal(looked.verify.worst, FINDING_NOTE);
    assert_int_equal(looked.verify.topics, 2); /* the registry, too */
    assert_true(looked.verify.records >= 2 * (BATCHES + 1));
    assert_true(looked.verify.index_entries > 5);
    assert_true(looked.verify.frames >= BATCHES);
    fixture_deinit(&f);
}

/* What a kill left in the journal alone is part of the log: a start would serve it. */
static void test_log_verify__sees_records_of_the_journal_alone(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_crash(&f, true);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 0);
    assert_true(looked.verify.records >= 2 * (BATCHES + 1));
    assert_int_equal(looked.events[TOPIC_LOG_RECOVERED], 1);
    fixture_deinit(&f);
}

static void test_log_verify__names_topic_partition_and_offsets_of_rot(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_stop(&f);
    const char *path = segment_path(1, SEGMENT_LOG);
    uint64_t at = find_batch(&f, path, 7);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at, 1, 3), 0);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 1);
    const struct kept *kept = &looked.kept[0];
    assert_int_equal(kept->finding.level, FINDING_LOSS);
    assert_string_equal(kept->topic, "t");
    assert_int_equal(kept->finding.partition, 1);
    assert_int_equal(kept->finding.from, 14);
    assert_int_equal(kept->finding.to, 15);
    assert_string_equal(kept->file, path);
    assert_true(kept->finding.position <= at && at < kept->finding.position + kept->finding.bytes);
    fixture_deinit(&f);
}

/* A header that is gone takes along nothing but its own batch. */
static void test_log_verify__finds_the_next_batch_behind_a_lost_header(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_stop(&f);
    const char *path = segment_path(1, SEGMENT_LOG);
    uint64_t at = find_batch(&f, path, 20) & ~UINT64_C(4095);
    assert_int_equal(disk_sim_corrupt(f.disk, path, at, 4096, 3), 0);
    look(&f, &looked, false);
    assert_true(looked.count >= 1);
    assert_int_equal(looked.verify.worst, FINDING_LOSS);
    assert_int_equal(looked.kept[0].finding.level, FINDING_LOSS);
    assert_true(looked.kept[0].finding.from <= 40 && looked.kept[0].finding.to >= 41);
    assert_true(looked.kept[0].finding.to - looked.kept[0].finding.from < 8);
    fixture_deinit(&f);
}

static void test_log_verify__short_segment_is_loss_up_to_its_end(void **state) {
    struct fixture f;
    struct looked looked;
    struct disk_file *file;
    fill(&f, 100000);
    fixture_stop(&f);
    const char *path = segment_path(1, SEGMENT_LOG);
    uint64_t at;
    assert_int_equal(disk_open(f.disk, path, DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_size(file, &at), 0);
    at = at / BATCHES * 25; /* between two batches: nothing there is damaged */
    assert_int_equal(disk_truncate(file, at), 0);
    disk_close(file);
    look(&f, &looked, false);
    assert_true(looked.count >= 1);
    const struct kept *kept = looked.kept; /* its index may be told of before */
    while (kept < looked.kept + looked.count - 1 && kept->finding.level != FINDING_LOSS) {
        kept++;
    }
    const struct log_finding *finding = &kept->finding;
    assert_int_equal(finding->level, FINDING_LOSS);
    assert_int_equal(finding->from, 50);
    assert_int_equal(finding->to, 2 * BATCHES - 1);
    /* With the file and where it ends now, which a mere gap at the log's end would not have. */
    assert_string_equal(kept->file, path);
    assert_int_equal(finding->position, at);
    assert_true(finding->bytes > 0);
    fixture_deinit(&f);
}

static void test_log_verify__removed_segment_is_loss(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_stop(&f);
    assert_int_equal(disk_unlink(f.disk, segment_path(0, SEGMENT_LOG)), 0);
    look(&f, &looked, false);
    assert_true(looked.count >= 1);
    assert_int_equal(looked.kept[0].finding.level, FINDING_LOSS);
    assert_int_equal(looked.kept[0].finding.partition, 0);
    assert_int_equal(looked.kept[0].finding.from, 0);
    assert_int_equal(looked.kept[0].finding.to, 1);
    fixture_deinit(&f);
}

/* One of a single producer, of topic 1, partition 1, offset 1; @size bytes of it. */
static void put_snapshot(struct fixture *f, const char *path, size_t size) {
    const struct segment_id at = {1, 1, 1};
    const struct producer_batch batch = {.last_sequence = 0};
    struct producers *producers = NULL;
    struct disk_file *file = NULL;
    struct text bytes;
    text_init(&bytes);
    assert_int_equal(producer_push(&producers, NULL, 7, &batch, INT64_MAX, 1), 0);
    assert_int_equal(producer_snapshot_encode(producers, &at, &bytes), 1);
    assert_int_equal(disk_open(f->disk, path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes.data, MIN(size, bytes.size), 0), 0);
    disk_close(file);
    producers_free(producers);
    text_deinit(&bytes);
}

/* Each alone, in a folder that is sound otherwise: told, and no loss. */
static void test_log_verify__what_mends_itself(void **state) {
    enum { INDEX_WRONG, TIME_WRONG, ORPHAN_FILE, ORPHAN_FOLDER, CHECKPOINT, CASES };
    static const char *const kinds[CASES] = {"index", "index", "orphan", "orphan", "checkpoint"};
    for (int what = 0; what < CASES; what++) {
        struct fixture f;
        struct looked looked;
        fill(&f, 100);
        fixture_run_ms(&f, 3000);
        fixture_stop(&f);
        if (what == INDEX_WRONG) {
            assert_int_equal(disk_sim_corrupt(f.disk, segment_path(1, SEGMENT_INDEX),
                                              INDEX_HEADER_BYTES + 4, 1, 1),
                             0);
        } else if (what == TIME_WRONG) {
            /* The second entry's timestamp, now before that of earlier batches. */
            struct disk_file *file;
            uint8_t zeros[8] = {0};
            assert_int_equal(disk_open(f.disk, segment_path(1, SEGMENT_TIMEINDEX),
                                       DISK_READ | DISK_WRITE, &file),
                             0);
            assert_int_equal(disk_pwrite(file, zeros, 8, INDEX_HEADER_BYTES + TIME_ENTRY_BYTES), 0);
            disk_close(file);
        } else if (what == ORPHAN_FILE) {
            make_file(&f, "topics/1-1/00000000000000000777.log");
        } else if (what == ORPHAN_FOLDER) {
            assert_int_equal(disk_mkdir(f.disk, "topics/77-0"), 0);
        } else {
            assert_int_equal(disk_sim_corrupt(f.disk, "checkpoint.0", 70, 4, 1), 0);
        }
        look(&f, &looked, false);
        assert_int_equal(looked.count, 1);
        assert_int_equal(looked.kept[0].finding.level, FINDING_MENDS);
        assert_string_equal(looked.kept[0].finding.kind, kinds[what]);
        fixture_deinit(&f);
    }
}

/* A journal that was taken away has raised all partitions: nothing of that is damage any more. */
static void test_log_verify__knows_where_the_log_goes_on(void **state) {
    struct fixture f;
    struct looked looked;
    char name[JOURNAL_NAME_SIZE];
    fill(&f, 100);
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    journal_name(0, name);
    assert_int_equal(disk_unlink(f.disk, name), 0);
    assert_int_equal(fixture_start(&f), 0);
    fixture_stop(&f);
    assert_true(fixture_has_file(&f, 1, 1, INT64_C(1) << 32, SEGMENT_LOG));
    look(&f, &looked, false);
    assert_int_equal(looked.count, 0);
    fixture_deinit(&f);
}

/* Files that a kill has ended in their making: told, and no damage. */
static void test_log_verify__what_a_kill_leaves_is_a_note(void **state) {
    enum { JOURNAL_NEW, CLEANED, SNAPSHOT_EMPTY, SNAPSHOT_SHORT, CASES };
    static const char *const paths[CASES] = {
        "journal/new",
        "topics/1-1/00000000000000000001.timeindex.7.cleaned",
        "topics/1-1/00000000000000000001.snapshot",
        "topics/1-1/00000000000000000001.snapshot",
    };
    for (int what = 0; what < CASES; what++) {
        struct fixture f;
        struct looked looked;
        fill(&f, 100);
        fixture_run_ms(&f, 3000);
        fixture_stop(&f);
        make_file(&f, paths[what]);
        if (what >= SNAPSHOT_EMPTY) {
            put_snapshot(&f, paths[what], what == SNAPSHOT_EMPTY ? 0 : 50);
        }
        look(&f, &looked, false);
        assert_int_equal(looked.count, 1);
        assert_int_equal(looked.kept[0].finding.level, FINDING_NOTE);
        assert_int_equal(looked.verify.worst, FINDING_NOTE);
        fixture_deinit(&f);
    }
}

static void test_log_verify__a_snapshot_of_its_length_that_is_wrong_is_damage(void **state) {
    static const char path[] = "topics/1-1/00000000000000000001.snapshot";
    for (unsigned at = 40; at <= 50; at += 10) { /* in the header, behind it */
        struct fixture f;
        struct looked looked;
        fill(&f, 100);
        fixture_run_ms(&f, 3000);
        fixture_stop(&f);
        put_snapshot(&f, path, SIZE_MAX);
        assert_int_equal(disk_sim_corrupt(f.disk, path, at, 1, 1), 0);
        look(&f, &looked, false);
        assert_int_equal(looked.count, 1);
        assert_int_equal(looked.kept[0].finding.level, FINDING_MENDS);
        assert_string_equal(looked.kept[0].finding.kind, "snapshot");
        fixture_deinit(&f);
    }
}

static void test_log_verify__damaged_frame_is_told_as_recovery_tells_it(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_crash(&f, true);
    uint64_t at = find_batch(&f, "journal/00000000", 4);
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at, 1, 1), 0);
    look(&f, &looked, false);
    assert_true(looked.events[TOPIC_LOG_DAMAGED] > 0);
    assert_int_equal(looked.count, 1);
    assert_string_equal(looked.kept[0].topic, "t");
    assert_int_equal(looked.kept[0].finding.from, 8);
    assert_int_equal(looked.kept[0].finding.to, 9);
    fixture_deinit(&f);
}

/* Frames that one checkpoint still needs: rot in them is told before it can cost anything. */
static void test_log_verify__frame_between_the_checkpoints(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100000);
    fixture_stop(&f);
    uint64_t at = find_batch(&f, "journal/00000000", 12);
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", at, 1, 1), 0);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 1);
    assert_int_equal(looked.kept[0].finding.level, FINDING_MENDS);
    assert_string_equal(looked.kept[0].finding.kind, "journal");
    fixture_deinit(&f);
}

/* Beside a running server only what the newest checkpoint covers is looked at. */
static void test_log_verify__live_reads_what_a_checkpoint_covers(void **state) {
    struct fixture f;
    struct looked looked;
    fill(&f, 100);
    fixture_run_ms(&f, 3000);
    struct batch_spec spec = spec_of(100);
    assert_int_equal(fixture_append(&f, fixture_partition(&f, "t", 0), &spec), 2);
    look(&f, &looked, true);
    assert_int_equal(looked.count, 0);
    assert_true(looked.verify.records >= 2 * (BATCHES + 1));
    fixture_deinit(&f);
}

struct configured {
    struct topic_log_request request;
    bool done;
};

static void on_configured(struct topic_log_request *request, int status) {
    assert_int_equal(status, 0);
    container_of(request, struct configured, request)->done = true;
}

static void set_policy(struct fixture *f, struct topic *topic, const char *policy) {
    struct topic_config config;
    struct configured change = {.request.done = on_configured};
    assert_int_equal(topic_config_copy(&config, topic_log_config_latest(topic)), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_CLEANUP_POLICY, span_text(policy)), 0);
    assert_int_equal(topic_log_configure(f->log, topic, &config, &change.request), 0);
    fixture_until(f, change.done);
    topic_config_deinit(&config);
}

/* Forty records of two keys, most of which compaction has taken. */
static struct topic *fill_compacted(struct fixture *f, uint64_t seed) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact"}, {"segment.bytes", "600"}, {0}};
    fixture_init(f, seed);
    f->limits.checkpoint_ms = 200;
    f->limits.cleaner_ms = 100;
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 1, configs);
    for (uint64_t n = 0; n < 40; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 50,
                                  .tag = n,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1,
                                  .keys = 2};
        assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), n);
    }
    fixture_until(f, topic_partition(log_topic_of(topic), 0)->cleaned_to >= 30 &&
                         !f->log->cleaner.busy);
    return topic;
}

/* Offsets that compaction took while that was the policy are not missing, but one behind them is;
 * also when the folders alone can tell. */
static void test_log_verify__gaps_of_compaction_outlive_its_policy(void **state) {
    for (unsigned round = 0; round < 2; round++) {
        struct fixture f;
        struct looked looked;
        struct topic *topic = fill_compacted(&f, 7 + round);
        set_policy(&f, topic, "delete");
        fixture_stop(&f);
        if (round == 1) {
            (void)disk_sim_corrupt(f.disk, "checkpoint.0", 70, 8, 1);
            (void)disk_sim_corrupt(f.disk, "checkpoint.1", 70, 8, 1);
        }
        look(&f, &looked, false);
        for (unsigned i = 0; i < looked.count; i++) {
            assert_string_equal(looked.kept[i].finding.kind, "checkpoint");
        }
        assert_int_equal(looked.count, round == 0 ? 0 : 2);
        fixture_deinit(&f);
    }
}

/* What held no record any more has lost none with its file. */
static void test_log_verify__removed_segment_without_records_is_no_loss(void **state) {
    struct fixture f;
    struct looked looked;
    (void)fill_compacted(&f, 9);
    fixture_stop(&f);
    assert_int_equal(disk_unlink(f.disk, segment_path(0, SEGMENT_LOG)), 0);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 1);
    assert_int_equal(looked.kept[0].finding.level, FINDING_MENDS);
    assert_string_equal(looked.kept[0].file, segment_path(0, SEGMENT_LOG));
    fixture_deinit(&f);
}

/* ---- beside a server that compacts ---- */

static const struct topic_config_entry small_compacted[] = {
    {"cleanup.policy", "compact"}, {"segment.bytes", "600"}, {0}};

static struct partition *begin_compacted(struct fixture *f, uint64_t seed, int64_t checkpoint_ms) {
    fixture_init(f, seed);
    f->limits.checkpoint_ms = checkpoint_ms;
    f->limits.cleaner_ms = 100;
    assert_int_equal(fixture_start(f), 0);
    return fixture_topic(f, "t", 1, small_compacted)->partitions[0];
}

static void append_keys(struct fixture *f, struct partition *partition, unsigned count) {
    for (uint64_t n = 0; n < count; n++) {
        struct batch_spec spec = {.records = 1,
                                  .value_bytes = 50,
                                  .tag = n,
                                  .timestamp_ms = 1700000000000,
                                  .producer_id = -1,
                                  .keys = 2};
        assert_true(fixture_append(f, partition, &spec) >= 0);
    }
}

/* At every step of swaps, files named by the newest checkpoint replaced or not, nothing is told,
 * and the inspection moves no file, also of a swap that the checkpoint names. */
static void test_log_verify__live_a_compaction_is_no_loss(void **state) {
    unsigned uncovered = 0, amid = 0;
    for (uint64_t seed = 300; seed < 304; seed++) {
        struct fixture f;
        struct looked looked;
        struct partition *partition = begin_compacted(&f, seed, 200);
        append_keys(&f, partition, 40);
        struct log_partition *inner = log_partition_of(partition);
        for (unsigned n = 0; n < 400; n++) {
            uint32_t swaps = inner->swap_count;
            uint64_t covered = f.log->newest_sequence;
            fixture_step(&f);
            if (inner->swap_count == swaps && f.log->newest_sequence == covered && !f.log->swap &&
                n % 16 != 0) {
                continue;
            }
            look(&f, &looked, true);
            assert_int_equal(looked.count, 0);
            uncovered += inner->swap_count > 0 && f.log->newest_sequence < f.log->durable_sequence;
            amid += f.log->swap != NULL;
        }
        fixture_stop(&f);
        fixture_deinit(&f);
    }
    assert_true(uncovered > 0);
    assert_true(amid > 0);
}

struct beside {
    struct fixture *f;
    struct looked looked;
};

static void open_beside(struct beside *b, struct fixture *f) {
    *b = (struct beside){.f = f};
    b->looked.inspect = (struct log_inspect){
        .folder = f->disk, .live = true, .on_event = on_event, .userdata = &b->looked};
    assert_int_equal(log_inspect_open(&b->looked.inspect), 0);
}

static void verify_beside(struct beside *b) {
    b->looked.verify = (struct log_verify){.inspect = &b->looked.inspect,
                                           .on_finding = on_finding,
                                           .userdata = &b->looked,
                                           .partition = -1};
    assert_int_equal(log_verify_run(&b->looked.verify), 0);
    log_inspect_close(&b->looked.inspect);
}

/* The server replaces files between the look at the state and the look at them. */
static void test_log_verify__live_files_that_move_meanwhile_are_no_loss(void **state) {
    struct fixture f;
    struct beside b;
    struct partition *partition = begin_compacted(&f, 310, 200);
    append_keys(&f, partition, 40);
    uint64_t sequence = f.log->durable_sequence;
    uint32_t swaps = log_partition_of(partition)->swap_count;
    fixture_until(&f, f.log->newest_sequence >= sequence);
    assert_int_equal(log_partition_of(partition)->swap_count, swaps);
    open_beside(&b, &f);
    fixture_until(&f, log_partition_of(partition)->cleaned_to >= 30 && !f.log->cleaner.busy);
    verify_beside(&b);
    assert_int_equal(b.looked.count, 0);
    assert_true(b.looked.verify.batches > 0);
    assert_int_equal(b.looked.verify.partitions, 2); /* once, and the registry's */
    fixture_deinit(&f);
}

/* What is lost is told beside a server, too, also of what it has compacted since its checkpoint. */
static void test_log_verify__live_tells_what_is_lost(void **state) {
    for (unsigned round = 0; round < 3; round++) {
        struct fixture f;
        struct looked looked;
        struct partition *partition = begin_compacted(&f, 320 + round, 200);
        append_keys(&f, partition, 40);
        fixture_until(&f, log_partition_of(partition)->swap_count > 0 && !f.log->swap &&
                              (round == 2) == (f.log->newest_sequence < f.log->durable_sequence));
        struct log_partition *inner = log_partition_of(partition);
        uint32_t at = 0;
        while (inner->segments[at].bytes == 0) {
            at++;
        }
        struct segment_id id = {1, 0, inner->segments[at].base_offset};
        char path[SEGMENT_NAME_SIZE];
        segment_name(&id, SEGMENT_LOG, path);
        if (round == 0) {
            assert_int_equal(disk_unlink(f.disk, path), 0);
        } else {
            assert_int_equal(disk_sim_corrupt(f.disk, path, RECORD_BATCH_HEADER_BYTES + 10, 1, 3),
                             0);
        }
        look(&f, &looked, true);
        assert_true(looked.count > 0);
        assert_int_equal(looked.verify.worst, FINDING_LOSS);
        assert_int_equal(looked.kept[0].finding.level, FINDING_LOSS);
        assert_string_equal(looked.kept[0].file, path);
        assert_int_equal(looked.verify.unchecked, 0);
        f.expect_failures = true;
        fixture_deinit(&f);
    }
}

/* A disk on which the names of partition 0's folder are others at each of the next listings. */
static const struct disk_ops *still;
static unsigned moves_left;

static int list_moving(struct disk *disk, const char *path, disk_list_fn each, void *userdata) {
    if (strcmp(path, "topics/1-0") == 0 && moves_left > 0) {
        char name[SEGMENT_NAME_SIZE + 32];
        snprintf(name, sizeof name, "%s.%u.cleaned", segment_path(0, SEGMENT_LOG), moves_left--);
        struct disk_file *file;
        assert_int_equal(disk_open(disk, name, DISK_WRITE | DISK_CREATE, &file), 0);
        disk_close(file);
    }
    return still->list(disk, path, each, userdata);
}

/* Damage while files move: not before they rest is it proven; where they never do, a note. */
static void test_log_verify__live_waits_until_files_rest(void **state) {
    for (unsigned round = 0; round < 2; round++) {
        struct fixture f;
        struct beside b;
        fill(&f, 100);
        fixture_run_ms(&f, 3000);
        const char *path = segment_path(0, SEGMENT_LOG);
        uint64_t at = find_batch(&f, path, 99);
        assert_int_equal(disk_sim_corrupt(f.disk, path, at, 1, 3), 0);
        open_beside(&b, &f);
        struct disk_ops moving = *(still = f.disk->ops);
        moving.list = list_moving;
        f.disk->ops = &moving;
        moves_left = round == 0 ? 1000 : 4;
        verify_beside(&b);
        assert_int_equal(moves_left == 0, round == 1);
        f.disk->ops = still;
        assert_int_equal(b.looked.count, 1);
        assert_string_equal(b.looked.kept[0].topic, "t");
        assert_int_equal(b.looked.kept[0].finding.level, round == 0 ? FINDING_NOTE : FINDING_LOSS);
        assert_int_equal(b.looked.verify.worst, round == 0 ? FINDING_NOTE : FINDING_LOSS);
        assert_int_equal(b.looked.verify.unchecked, round == 0);
        fixture_deinit(&f);
    }
}

/* ---- dump ---- */

static int keep_text(void *userdata, struct text *text) {
    text_append(userdata, text->data, text->size);
    return 0;
}

static void dump(struct fixture *f, struct log_dump what, struct text *ret_text) {
    struct log_inspect inspect = {.folder = f->disk};
    struct text out;
    text_init(&out);
    text_init(ret_text);
    assert_int_equal(log_inspect_open(&inspect), 0);
    what.inspect = &inspect;
    what.out = &out;
    what.on_text = keep_text;
    what.userdata = ret_text;
    assert_int_equal(log_dump_run(&what), 0);
    log_inspect_close(&inspect);
    text_deinit(&out);
    text_append_char(ret_text, '\0');
}

static unsigned count_of(const struct text *text, const char *what) {
    unsigned count = 0;
    for (const char *at = text->data; (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

static void test_log_dump__prints_the_range_and_nothing_else(void **state) {
    struct fixture f;
    struct text text;
    fill(&f, 100000);
    fixture_crash(&f, true);
    struct log_dump what = {.topic = "t", .partition = 1, .from = 15, .to = 18, .json = true};
    dump(&f, what, &text);
    assert_int_equal(count_of(&text, "\"kind\":\"record\""), 4);
    assert_int_equal(count_of(&text, "\"offset\":15,"), 1);
    assert_int_equal(count_of(&text, "\"offset\":18,"), 1);
    assert_int_equal(count_of(&text, "\"kind\":\"batch\""), 3);
    text_deinit(&text);
    what.batches_only = true;
    dump(&f, what, &text);
    assert_int_equal(count_of(&text, "\"kind\":\"record\""), 0);
    assert_int_equal(count_of(&text, "\"kind\":\"batch\""), 3);
    text_deinit(&text);
    fixture_deinit(&f);
}

static void test_log_dump__journal_and_checkpoints(void **state) {
    struct fixture f;
    struct text text;
    fill(&f, 100000);
    fixture_stop(&f);
    dump(&f, (struct log_dump){.partition = -1, .to = INT64_MAX, .journal = true, .topic = "t"},
         &text);
    assert_int_equal(count_of(&text, "  t-1 (folder 1-1) from offset "), BATCHES);
    assert_int_equal(count_of(&text, "  t-0 (folder 1-0) from offset "), 1);
    text_deinit(&text);
    dump(&f, (struct log_dump){.partition = -1, .to = INT64_MAX, .checkpoints = true}, &text);
    assert_int_equal(count_of(&text, "checkpoint.0: valid, stands for frame "), 1);
    assert_int_equal(count_of(&text, "t-1 (folder 1-1): offsets 0 to 60, epoch 0"), 1);
    text_deinit(&text);
    fixture_deinit(&f);
}

/* A producer's batches on partition 0 of "t", stopped: one snapshot, at offset 3. */
static void fill_with_producer(struct fixture *f) {
    fixture_init(f, 6);
    assert_int_equal(fixture_start(f), 0);
    struct topic *topic = fixture_topic(f, "t", 2, NULL);
    for (int32_t n = 0; n < 3; n++) {
        struct batch_spec spec = {
            .records = 1, .value_bytes = 90, .producer_id = 77, .sequence = n};
        assert_int_equal(fixture_append(f, partition_get(topic, 0), &spec), n);
    }
    fixture_stop(f);
}

static void test_log_verify__tells_a_damaged_snapshot_of_producers(void **state) {
    struct fixture f;
    struct looked looked;
    struct text text;
    struct segment_id at = {1, 0, 3};
    char path[SEGMENT_NAME_SIZE];
    segment_name(&at, SEGMENT_SNAPSHOT, path);
    fill_with_producer(&f);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 0);
    assert_int_equal(looked.verify.snapshots, 1);
    assert_int_equal(disk_sim_corrupt(f.disk, path, 50, 4, 1), 0);
    look(&f, &looked, false);
    assert_int_equal(looked.count, 1);
    assert_int_equal(looked.verify.worst, FINDING_MENDS);
    assert_string_equal(looked.kept[0].finding.kind, "snapshot");
    assert_string_equal(looked.kept[0].topic, "t");
    assert_string_equal(looked.kept[0].file, path);
    dump(&f, (struct log_dump){.partition = -1, .to = INT64_MAX, .checkpoints = true}, &text);
    assert_int_equal(count_of(&text, "  snapshot 3: damaged"), 1);
    text_deinit(&text);
    fixture_deinit(&f);
    /* One from behind the log end, and the ending that is reserved. */
    fill_with_producer(&f);
    make_file(&f, "topics/1-0/00000000000000000009.snapshot");
    make_file(&f, "topics/1-0/00000000000000000000.txnindex");
    look(&f, &looked, false);
    assert_int_equal(looked.count, 2);
    assert_int_equal(looked.verify.worst, FINDING_MENDS);
    fixture_deinit(&f);
}

static void test_log_dump__snapshots_of_producers(void **state) {
    struct fixture f;
    struct text text;
    fill_with_producer(&f);
    struct log_dump what = {.partition = -1, .to = INT64_MAX, .checkpoints = true};
    dump(&f, what, &text);
    assert_int_equal(count_of(&text, "  snapshot 3: valid, 1 producers\n"
                                     "    producer 77: epoch 0, 3 batches, the last with sequence "
                                     "2 at offset 2\n"),
                     1);
    text_deinit(&text);
    what.json = true;
    dump(&f, what, &text);
    assert_int_equal(count_of(&text, "\"kind\":\"snapshot\""), 1);
    assert_int_equal(count_of(&text, "\"producer_id\":77,\"producer_epoch\":0,\"last_sequence\":2"),
                     1);
    text_deinit(&text);
    fixture_deinit(&f);
}

/* Keys and values come from anyone, and the dump goes to a terminal. */
static void test_log_dump__escapes_what_a_terminal_would_obey(void **state) {
    struct text text;
    text_init(&text);
    dump_escaped(&text, SPAN_LITERAL("a\"\\\n\x1b[2J\xc2\x9b"
                                     "\xff \xc3\xa9"));
    text_append_char(&text, '\0');
    assert_string_equal(text.data, "\"a\\\"\\\\\\x0a\\x1b[2J\\xc2\\x9b\\xff \xc3\xa9\"");
    text_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_verify__sound_after_a_stop),
        cmocka_unit_test(test_log_verify__sees_records_of_the_journal_alone),
        cmocka_unit_test(test_log_verify__names_topic_partition_and_offsets_of_rot),
        cmocka_unit_test(test_log_verify__finds_the_next_batch_behind_a_lost_header),
        cmocka_unit_test(test_log_verify__short_segment_is_loss_up_to_its_end),
        cmocka_unit_test(test_log_verify__removed_segment_is_loss),
        cmocka_unit_test(test_log_verify__what_mends_itself),
        cmocka_unit_test(test_log_verify__knows_where_the_log_goes_on),
        cmocka_unit_test(test_log_verify__what_a_kill_leaves_is_a_note),
        cmocka_unit_test(test_log_verify__a_snapshot_of_its_length_that_is_wrong_is_damage),
        cmocka_unit_test(test_log_verify__damaged_frame_is_told_as_recovery_tells_it),
        cmocka_unit_test(test_log_verify__frame_between_the_checkpoints),
        cmocka_unit_test(test_log_verify__live_reads_what_a_checkpoint_covers),
        cmocka_unit_test(test_log_verify__gaps_of_compaction_outlive_its_policy),
        cmocka_unit_test(test_log_verify__removed_segment_without_records_is_no_loss),
        cmocka_unit_test(test_log_verify__live_a_compaction_is_no_loss),
        cmocka_unit_test(test_log_verify__live_files_that_move_meanwhile_are_no_loss),
        cmocka_unit_test(test_log_verify__live_tells_what_is_lost),
        cmocka_unit_test(test_log_verify__live_waits_until_files_rest),
        cmocka_unit_test(test_log_dump__prints_the_range_and_nothing_else),
        cmocka_unit_test(test_log_dump__journal_and_checkpoints),
        cmocka_unit_test(test_log_verify__tells_a_damaged_snapshot_of_producers),
        cmocka_unit_test(test_log_dump__snapshots_of_producers),
        cmocka_unit_test(test_log_dump__escapes_what_a_terminal_would_obey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
