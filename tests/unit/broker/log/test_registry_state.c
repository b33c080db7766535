/* The registry's log stays short, and what is left of it still says everything. */
#include "log_fixture.h"
#include "topics/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { REGISTRY_BYTES = 8192, TOPICS = 12 };

static void begin(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.registry_bytes = REGISTRY_BYTES;
    f->limits.checkpoint_ms = 500;
    assert_int_equal(fixture_start(f), 0);
}

static void end(struct fixture *f) {
    fixture_stop(f);
    fixture_deinit(f);
}

static uint64_t registry_bytes(const struct fixture *f) {
    const struct log_partition *partition = topic_partition(f->log->registry, 0);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < partition->segment_count; i++) {
        bytes += partition->segments[i].bytes;
    }
    return bytes;
}

struct folder {
    struct disk *disk;
    uint64_t bytes;
    unsigned files;
};

static int measure(void *userdata, const char *name, bool is_dir) {
    struct folder *folder = userdata;
    struct disk_file *file;
    char path[SEGMENT_NAME_SIZE + 16];
    uint64_t size = 0;
    snprintf(path, sizeof path, "topics/0-0/%.40s", name);
    assert_int_equal(disk_open(folder->disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_size(file, &size), 0);
    disk_close(file);
    folder->bytes += size;
    folder->files++;
    return is_dir;
}

static struct folder registry_folder(const struct fixture *f) {
    struct folder folder = {.disk = f->disk};
    assert_int_equal(disk_list(f->disk, "topics/0-0", measure, &folder), 0);
    return folder;
}

/* 10,000 topics come and go. */
static void test_registry_state__ten_thousand_topics_leave_a_short_log(void **state) {
    struct fixture f;
    begin(&f, 51);
    assert_non_null(fixture_topic(&f, "stays", 3, NULL));
    uint64_t most = 0, most_on_disk = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct topic *topic = fixture_topic(&f, i % 2 ? "odd" : "even", 1, NULL);
        assert_non_null(topic);
        assert_int_equal(fixture_delete(&f, topic), 0);
        most = MAX(most, registry_bytes(&f));
        if (i % 500 == 499) {
            fixture_run_ms(&f, 3000); /* two checkpoints, and the unlinks */
            most_on_disk = MAX(most_on_disk, registry_folder(&f).bytes);
        }
    }
    assert_true(f.log->stats.registry_states > 100);
    assert_true(most < 2 * REGISTRY_BYTES);
    assert_true(most_on_disk < 3 * REGISTRY_BYTES);
    assert_true(registry_folder(&f).files <= 6);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    assert_non_null(fixture_partition(&f, "stays", 2));
    assert_null(fixture_partition(&f, "odd", 0));
    assert_true(fixture_topic(&f, "odd", 1, NULL)->number > 10000);
    end(&f);
}

/* ---- without checkpoints ---- */

struct known {
    bool there;
    struct uuid id;
    uint32_t number;
    int32_t partitions;
    int64_t log_start;
    char segment_bytes[16];
};

static void name_of(unsigned i, char out[8]) {
    snprintf(out, 8, "t%u", i);
}

struct configured {
    struct topic_log_request request;
    bool done;
};

static void on_configured(struct topic_log_request *request, int status) {
    assert_int_equal(status, 0);
    container_of(request, struct configured, request)->done = true;
}

static void set_segment_bytes(struct fixture *f, struct topic *topic, const char *value) {
    struct topic_config config;
    struct configured change = {.request.done = on_configured};
    assert_int_equal(topic_config_copy(&config, topic_log_config_latest(topic)), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_SEGMENT_BYTES, span_text(value)), 0);
    assert_int_equal(topic_log_configure(f->log, topic, &config, &change.request), 0);
    fixture_until(f, change.done);
    topic_config_deinit(&config);
}

static void append_three(struct fixture *f, struct partition *partition) {
    for (unsigned i = 0; i < 3; i++) {
        struct batch_spec spec = {.records = 1, .value_bytes = 30, .tag = i, .producer_id = -1};
        assert_true(fixture_append(f, partition, &spec) >= 0);
    }
}

/* One change of one topic, confirmed, and what is known of it from then on. */
static void change_one(struct fixture *f, struct random *random, struct known *known, unsigned i) {
    char name[8], value[16];
    name_of(i, name);
    struct topic *topic = topic_log_find(f->log, span_text(name));
    assert_true((topic != NULL) == known->there);
    if (!topic) {
        topic = fixture_topic(f, name, 1, NULL);
        *known = (struct known){true, topic->id, topic->number, 1, 0, ""};
        return;
    }
    switch (random_below(random, 4)) {
    case 0:
        assert_int_equal(fixture_delete(f, topic), 0);
        known->there = false;
        break;
    case 1:
        assert_int_equal(fixture_add_partitions(f, topic, ++known->partitions), 0);
        break;
    case 2:
        snprintf(value, sizeof value, "%u", 5000 + (unsigned)random_below(random, 5000));
        set_segment_bytes(f, topic, value);
        memcpy(known->segment_bytes, value, sizeof value);
        break;
    default:
        append_three(f, topic->partitions[0]);
        known->log_start = topic->partitions[0]->high_watermark - 1;
        assert_int_equal(fixture_delete_records(f, topic->partitions[0], known->log_start), 0);
        break;
    }
}

static void check_all(struct fixture *f, const struct known *known) {
    for (unsigned i = 0; i < TOPICS; i++) {
        char name[8];
        name_of(i, name);
        const struct topic *topic = topic_log_find(f->log, span_text(name));
        if ((topic != NULL) != known[i].there) {
            fail_msg("seed %llu: topic %s, number %u, is %s", (unsigned long long)f->first_seed,
                     name, known[i].number, topic ? "there" : "gone");
        }
        if (!topic) {
            continue;
        }
        const char *value = topic_config_text(&topic->config, TOPIC_SEGMENT_BYTES);
        assert_memory_equal(&topic->id, &known[i].id, sizeof topic->id);
        assert_int_equal(topic->number, known[i].number);
        assert_int_equal(topic->partition_count, known[i].partitions);
        assert_int_equal(topic->partitions[0]->log_start_offset, known[i].log_start);
        assert_string_equal(value ? value : "", known[i].segment_bytes);
    }
}

static void lose_checkpoints(struct fixture *f) {
    (void)disk_sim_corrupt(f->disk, "checkpoint.0", 0, 64, 1);
    (void)disk_sim_corrupt(f->disk, "checkpoint.1", 0, 64, 1);
}

static int find_folder(void *userdata, const char *name, bool is_dir) {
    return strcmp(name, userdata) == 0;
}

/* Whatever of journal and segments is there, read in whatever order. */
static void test_registry_state__says_everything_without_checkpoints(void **state) {
    for (uint64_t seed = 600; seed < 624; seed++) {
        struct fixture f;
        struct known known[TOPICS] = {{0}};
        struct random_seeded random;
        random_seeded_init(&random, seed);
        begin(&f, seed);
        f.log->limits.registry_bytes = 2000;
        uint32_t next_number = 1;
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned n = 50 + (unsigned)random_below(&random.random, 50); n > 0; n--) {
                unsigned i = (unsigned)random_below(&random.random, TOPICS);
                change_one(&f, &random.random, &known[i], i);
                if (n % 16 == 0) {
                    fixture_run_ms(&f, 1500);
                }
            }
            assert_true(f.log->stats.registry_states > 0);
            next_number = f.log->next_number;
            int64_t producer_end = f.log->producer_durable_end;
            if (seed % 3 == 0) {
                fixture_stop(&f);
            } else {
                fixture_crash(&f, seed % 3 == 1);
            }
            lose_checkpoints(&f);
            f.limits.registry_bytes = 2000;
            f.verbose = getenv("EVENTBOX_VERBOSE") != NULL;
            assert_int_equal(fixture_start(&f), 0);
            check_all(&f, known);
            assert_true(f.log->next_number >= next_number);
            assert_true(f.log->producer_next >= producer_end);
        }
        /* No folder of a topic that was deleted stays. */
        fixture_until(&f, f.log->removal_count == 0);
        for (uint32_t number = 1; number < next_number; number++) {
            char folder[32];
            bool there = registry_by_number(f.log, number) != NULL;
            snprintf(folder, sizeof folder, "%u-0", number);
            assert_true(there || disk_list(f.disk, "topics", find_folder, folder) == 0);
        }
        fixture_crash(&f, true);
        assert_int_equal(fixture_start(&f), 0);
        check_all(&f, known);
        end(&f);
    }
}

/* Unlinks become durable in any order: the creation of a topic may be there without its end. */
static void test_registry_state__a_topic_that_it_does_not_name_is_none(void **state) {
    struct fixture f;
    char name[SEGMENT_NAME_SIZE];
    begin(&f, 52);
    f.log->limits.checkpoint_ms = INT64_MAX / 2; /* so that old segments stay */
    assert_non_null(fixture_topic(&f, "ghost", 1, NULL));
    int64_t bases[3] = {0};
    unsigned found = 1;
    for (unsigned i = 0; found < 3; i++) {
        uint64_t states = f.log->stats.registry_states;
        struct topic *topic = fixture_topic(&f, "other", 1, NULL);
        assert_int_equal(fixture_delete(&f, topic), 0);
        fixture_until(&f, !f.log->registry_state.under_way);
        if (f.log->stats.registry_states > states) {
            const struct log_partition *registry = topic_partition(f.log->registry, 0);
            bases[found++] = registry->segments[registry->segment_count - 1].base_offset;
            if (found == 2) {
                assert_int_equal(fixture_delete(&f, topic_log_find(f.log, SPAN_LITERAL("ghost"))),
                                 0);
            }
        }
    }
    assert_non_null(fixture_topic(&f, "late", 1, NULL));
    fixture_run_ms(&f, 3000);
    fixture_crash(&f, false);
    /* Of the three segments the middle one is gone: it has the deletion of the ghost. */
    struct segment_id id = {0, 0, bases[1]};
    segment_name(&id, SEGMENT_LOG, name);
    assert_int_equal(disk_unlink(f.disk, name), 0);
    assert_true(fixture_has_file(&f, 0, 0, 0, SEGMENT_LOG));
    assert_true(fixture_has_file(&f, 0, 0, bases[2], SEGMENT_LOG));
    lose_checkpoints(&f);
    /* And the journal, which would tell it once more. */
    assert_int_equal(disk_sim_corrupt(f.disk, "journal/00000000", 0, 4096, 1), 0);
    (void)fixture_start(&f);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("ghost")));
    assert_non_null(topic_log_find(f.log, SPAN_LITERAL("late")));
    end(&f);
}

/* ---- and when the registry itself is damaged ---- */

/* Offsets of the registry's records; the first one is of producer ids. */
enum { TOPIC_A = 1, TOPIC_B, CHANGES };

static int unlink_journal(void *userdata, const char *name, bool is_dir) {
    char path[64];
    snprintf(path, sizeof path, "journal/%.40s", name);
    return disk_unlink(userdata, path);
}

/* Two topics with three records each, a change of "b", and then one record of the registry is rot:
 * that at @offset. @journal: which has them all, is there yet. */
static void damage_registry(struct fixture *f, int64_t offset, bool journal) {
    struct disk_file *file = NULL;
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch batch;
    uint64_t position = 0;
    size_t got = 0;
    begin(f, 53);
    append_three(f, fixture_topic(f, "a", 1, NULL)->partitions[0]);
    append_three(f, fixture_topic(f, "b", 1, NULL)->partitions[0]);
    set_segment_bytes(f, topic_log_find(f->log, SPAN_LITERAL("b")), "12345");
    fixture_stop(f);
    lose_checkpoints(f);
    if (!journal) {
        while (disk_list(f->disk, "journal", unlink_journal, f->disk) != 0) {
        }
    }
    struct segment_id id = {0, 0, 0};
    char name[SEGMENT_NAME_SIZE];
    segment_name(&id, SEGMENT_LOG, name);
    assert_int_equal(disk_open(f->disk, name, DISK_READ, &file), 0);
    do {
        position += got ? batch.total_bytes : 0;
        assert_int_equal(disk_pread(file, header, sizeof header, position, &got), 0);
        assert_int_equal(segment_header(header, position, UINT64_MAX, &batch), 0);
    } while (batch.base_offset < offset);
    disk_close(file);
    assert_int_equal(disk_sim_corrupt(f->disk, name, position + 70, 8, 1), 0);
    memset(f->events, 0, sizeof f->events);
}

static void test_registry_state__frames_put_back_what_the_registry_lacks(void **state) {
    for (uint32_t record = 0; record <= CHANGES; record++) {
        struct fixture f;
        damage_registry(&f, record, true);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(f.events[TOPIC_LOG_DAMAGED], 0);
        assert_int_equal(fixture_partition(&f, "a", 0)->high_watermark, 3);
        assert_int_equal(fixture_partition(&f, "b", 0)->high_watermark, 3);
        struct topic *topic = topic_log_find(f.log, SPAN_LITERAL("b"));
        assert_string_equal(topic_config_text(&topic->config, TOPIC_SEGMENT_BYTES), "12345");
        end(&f);
    }
}

/* A start without it would look as if the topic had never been. */
static void test_registry_state__a_folder_of_an_unknown_topic_refuses_the_start(void **state) {
    struct fixture f;
    damage_registry(&f, TOPIC_A, false);
    for (unsigned n = 0; n < 2; n++) { /* the first one has changed nothing */
        assert_int_equal(fixture_start(&f), BROKER_E_CORRUPT);
        assert_true(f.events[TOPIC_LOG_FAILED] > 0);
        assert_non_null(strstr(f.last_event, "topics/1-0"));
        fixture_crash(&f, false);
    }
    /* As it says: without that folder the rest is served. */
    assert_int_equal(disk_unlink(f.disk, "topics/1-0/00000000000000000000.log"), 0);
    (void)disk_unlink(f.disk, "topics/1-0/00000000000000000000.index");
    (void)disk_unlink(f.disk, "topics/1-0/00000000000000000000.timeindex");
    assert_int_equal(disk_rmdir(f.disk, "topics/1-0"), 0);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("a")));
    /* Its records, and none of the offsets that the journal may have had. */
    assert_true(fixture_partition(&f, "b", 0)->high_watermark == INT64_C(1) << 32);
    end(&f);
}

static void test_registry_state__what_else_is_lost_of_it_is_told(void **state) {
    struct fixture f;
    damage_registry(&f, CHANGES, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_true(f.events[TOPIC_LOG_DAMAGED] > 0);
    assert_true(fixture_partition(&f, "a", 0)->high_watermark == INT64_C(1) << 32);
    struct topic *topic = topic_log_find(f.log, SPAN_LITERAL("b"));
    assert_null(topic_config_text(&topic->config, TOPIC_SEGMENT_BYTES));
    /* Which ids were given out is not known any more. */
    assert_true(f.log->producer_next >= INT64_C(1) << 32);
    /* Nor which number the registry's own record had that is gone. */
    assert_true(fixture_topic(&f, "c", 1, NULL)->number > TOPIC_B);
    end(&f);
}

/* Without its folder, and without a journal, everything else is a folder of a topic unknown. */
static void test_registry_state__a_registry_that_is_gone_refuses_the_start(void **state) {
    struct fixture f;
    damage_registry(&f, TOPIC_A, false);
    assert_int_equal(disk_unlink(f.disk, "topics/0-0/00000000000000000000.log"), 0);
    assert_int_equal(disk_unlink(f.disk, "checkpoint.0"), 0);
    (void)disk_unlink(f.disk, "checkpoint.1");
    assert_int_equal(fixture_start(&f), BROKER_E_CORRUPT);
    assert_true(f.events[TOPIC_LOG_FAILED] > 0);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_state__ten_thousand_topics_leave_a_short_log),
        cmocka_unit_test(test_registry_state__says_everything_without_checkpoints),
        cmocka_unit_test(test_registry_state__a_topic_that_it_does_not_name_is_none),
        cmocka_unit_test(test_registry_state__frames_put_back_what_the_registry_lacks),
        cmocka_unit_test(test_registry_state__a_folder_of_an_unknown_topic_refuses_the_start),
        cmocka_unit_test(test_registry_state__what_else_is_lost_of_it_is_told),
        cmocka_unit_test(test_registry_state__a_registry_that_is_gone_refuses_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
