/* Partitions added to a topic that is there already. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct batch_spec spec_of(uint64_t n) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = 100,
                               .tag = n,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

static void test_log_partitions__added_ones_take_appends_at_once(void **state) {
    struct fixture f;
    fixture_init(&f, 31);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    struct partition *first = topic->partitions[0];
    struct batch_spec spec = spec_of(1);
    assert_int_equal(fixture_append(&f, first, &spec), 0);
    assert_int_equal(fixture_add_partitions(&f, topic, 5), 0);
    assert_int_equal(topic->partition_count, 5);
    assert_ptr_equal(topic->partitions[0], first);
    for (int32_t i = 1; i < 5; i++) {
        assert_int_equal(topic->partitions[i]->index, i);
        assert_ptr_equal(topic->partitions[i]->topic, topic);
        assert_int_equal(fixture_append(&f, topic->partitions[i], &spec), 0);
    }
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.partitions, 6); /* with the registry's */
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_partitions__survive_kill_power_cut_and_clean_stop(void **state) {
    struct fixture f;
    fixture_init(&f, 32);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    for (int32_t round = 0; round < 6; round++) {
        int32_t count = 2 + 2 * round;
        assert_int_equal(fixture_add_partitions(&f, topic, count), 0);
        struct batch_spec spec = spec_of((uint64_t)round);
        assert_int_equal(fixture_append(&f, topic->partitions[count - 1], &spec), 0);
        fixture_run_ms(&f, round * 7000); /* with checkpoints in between, and without */
        if (round % 3 == 0) {
            fixture_stop(&f);
        } else {
            fixture_crash(&f, round % 3 == 1);
        }
        assert_int_equal(fixture_start(&f), 0);
        topic = topic_log_find(f.log, SPAN_LITERAL("t"));
        assert_int_equal(topic->partition_count, count);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(topic->partitions[i]->high_watermark, i > 0 && i % 2);
        }
    }
    fixture_stop(&f);
    fixture_deinit(&f);
}

struct growing {
    struct topic_log_request request;
    bool done;
};
static void on_grown(struct topic_log_request *request, int status) {
    assert_int_equal(status, 0);
    container_of(request, struct growing, request)->done = true;
}

/* A checkpoint between the call and its frame must not have what the journal has not. */
static void test_log_partitions__unconfirmed_ones_are_in_no_checkpoint(void **state) {
    struct fixture f;
    fixture_init(&f, 33);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, NULL);
    struct growing growing = {.request.done = on_grown};
    assert_int_equal(topic_log_add_partitions(f.log, topic, 4, &growing.request), 0);
    assert_int_equal(topic->partition_count, 4);
    struct fixture other;
    fixture_init(&other, 34);
    fixture_open(&other);
    struct checkpoint_chain chain;
    struct checkpoint_header header;
    struct text image;
    uint32_t file_id;
    uint64_t position;
    text_init(&image);
    assert_int_equal(checkpoint_encode_all(f.log), 0);
    assert_int_equal(
        checkpoint_write(other.disk, 0, &f.log->journal_uuid, 1, &f.log->checkpoint.body, &chain),
        0);
    assert_int_equal(checkpoint_read(other.disk, 0, &header, &image), 0);
    assert_int_equal(checkpoint_decode(other.log, text_span(&image), &file_id, &position), 0);
    assert_int_equal(topic_log_find(other.log, SPAN_LITERAL("t"))->partition_count, 1);
    fixture_deinit(&other);
    text_deinit(&image);
    fixture_until(&f, growing.done);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_partitions__refuses_fewer_too_many_and_our_own(void **state) {
    struct fixture f;
    fixture_init(&f, 35);
    f.limits.partitions_max = 10;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 3, NULL);
    assert_int_equal(fixture_add_partitions(&f, topic, 3), BROKER_E_PARTITIONS);
    assert_int_equal(fixture_add_partitions(&f, topic, 2), BROKER_E_PARTITIONS);
    assert_int_equal(fixture_add_partitions(&f, topic, -1), BROKER_E_PARTITIONS);
    assert_int_equal(fixture_add_partitions(&f, topic, 10), BROKER_E_PARTITIONS);
    assert_int_equal(fixture_add_partitions(&f, topic, 9), 0);
    topic->declared = true;
    assert_int_equal(fixture_add_partitions(&f, topic, 10), BROKER_E_POLICY);
    topic->declared = false;
    topic_ref(topic);
    assert_int_equal(fixture_delete(&f, topic), 0);
    assert_int_equal(fixture_add_partitions(&f, topic, 10), TOPIC_E_UNKNOWN);
    topic_unref(topic);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_partitions__added_ones_take_appends_at_once),
        cmocka_unit_test(test_log_partitions__survive_kill_power_cut_and_clean_stop),
        cmocka_unit_test(test_log_partitions__unconfirmed_ones_are_in_no_checkpoint),
        cmocka_unit_test(test_log_partitions__refuses_fewer_too_many_and_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
