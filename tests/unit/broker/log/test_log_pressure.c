/* Back pressure, refusals, waiters and failure. */
#include "append/tail.h"
#include "log_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 200 };

static void ignore_request(struct topic_log_request *request, int status) {
}

static struct batch_spec spec_of(uint64_t n, size_t bytes) {
    return (struct batch_spec){.records = 1,
                               .value_bytes = bytes,
                               .tag = n,
                               .timestamp_ms = 1700000000000,
                               .producer_id = -1};
}

static void test_log_pressure__client_appends_wait_and_keep_their_order(void **state) {
    struct fixture f;
    fixture_init(&f, 21);
    f.limits.tail_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    struct one *ones = calloc(MANY, sizeof *ones);
    unsigned taken = 0;
    while (taken < MANY) {
        struct batch_spec spec = spec_of(taken, 1000);
        ones[taken].part.base_offset = -1;
        if (one_start(&f, &ones[taken], partition, &spec)) {
            break;
        }
        taken++;
    }
    /* Twice the tail is under way, four times the tail waits, the rest is refused. */
    assert_int_equal(ones[taken].status, TOPIC_E_FULL);
    assert_in_range(taken, 60, 110);
    assert_true(partition->log_end_offset < taken);
    one_free(&ones[taken]);
    struct batch_spec spec = spec_of(1000, 1000);
    fixture_until(&f, ones[taken - 1].done);
    for (unsigned i = 0; i < taken; i++) {
        assert_true(ones[i].done);
        assert_int_equal(ones[i].status, 0);
        assert_int_equal(ones[i].part.base_offset, i);
        one_free(&ones[i]);
    }
    assert_int_equal(fixture_append(&f, partition, &spec), taken);
    struct topic_log_stats stats;
    topic_log_stats(f.log, &stats);
    assert_int_equal(stats.refused_full, 1);
    assert_int_equal(stats.queued_appends, 0);
    assert_int_equal(stats.queued_bytes, 0);
    free(ones);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_pressure__reserved_appends_pass_waiting_ones(void **state) {
    struct fixture f;
    fixture_init(&f, 22);
    f.limits.tail_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 2, NULL);
    struct one *ones = calloc(MANY, sizeof *ones);
    unsigned taken = 0;
    do {
        struct batch_spec spec = spec_of(taken, 1000);
        one_start(&f, &ones[taken], topic->partitions[0], &spec);
    } while (!ones[taken++].done);
    struct batch_spec spec = spec_of(1, 1000);
    struct one reserved;
    assert_int_equal(one_start_as(&f, &reserved, APPEND_RESERVED, topic->partitions[1], &spec), 0);
    assert_int_equal(topic->partitions[1]->log_end_offset, 1);
    fixture_until(&f, reserved.done);
    assert_int_equal(reserved.status, 0);
    assert_false(ones[taken - 2].done);
    fixture_until(&f, ones[taken - 2].done);
    for (unsigned i = 0; i < taken; i++) {
        one_free(&ones[i]);
    }
    one_free(&reserved);
    free(ones);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Appends 1,000 bytes to each partition, without waiting for any. */
static void append_to_each(struct fixture *f, const struct topic *topic, struct one *ones) {
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct batch_spec spec = spec_of((uint64_t)i, 1000);
        assert_int_equal(one_start(f, &ones[i], topic->partitions[i], &spec), 0);
    }
    for (int32_t i = 0; i < topic->partition_count; i++) {
        fixture_until(f, ones[i].done);
        assert_int_equal(ones[i].status, 0);
        one_free(&ones[i]);
    }
}

enum { PARTITIONS = 40, TAIL = 16384, SPREAD = 65536 };

static struct topic *start_spread(struct fixture *f, uint64_t seed) {
    fixture_init(f, seed);
    f->limits.tail_bytes = TAIL;
    f->limits.tail_spread_bytes = SPREAD;
    assert_int_equal(fixture_start(f), 0);
    return fixture_topic(f, "t", PARTITIONS, NULL);
}

static void test_log_pressure__the_tail_grows_with_the_partitions_written_to(void **state) {
    struct fixture f;
    struct one ones[PARTITIONS];
    struct topic *topic = start_spread(&f, 29);
    fixture_until(&f, tail_limit(f.log) == TAIL); /* it fades */
    append_to_each(&f, topic, ones);              /* from here on it is known how many there are */
    fixture_until(&f, f.log->unwritten_count == 0);
    assert_int_equal(tail_limit(f.log), TAIL + SPREAD);
    for (unsigned round = 0; round < 8; round++) {
        append_to_each(&f, topic, ones);
        assert_true(f.log->queued_cost + f.log->unwritten_cost <= TAIL + SPREAD);
        assert_true(f.log->tail_cost + f.log->blocks.dead_cost <= TAIL + SPREAD);
    }
    assert_true(f.log->tail_cost > TAIL); /* they gathered */
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_until(&f, tail_limit(f.log) == TAIL);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* To make folders may take many ticks, and meanwhile as many partitions go on to be written to. */
static void test_log_pressure__the_tail_stays_large_while_many_are_written(void **state) {
    struct fixture f;
    struct one ones[PARTITIONS];
    struct topic *topic = start_spread(&f, 30);
    append_to_each(&f, topic, ones);
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_limit_room(&f, 0);
    append_to_each(&f, topic, ones);
    fixture_until(&f, f.log->disk_full);
    assert_in_range(f.log->flush_spread, SPREAD / (128 << 10) + 1, PARTITIONS);
    fixture_run_ms(&f, 10000);
    assert_int_equal(tail_limit(f.log), TAIL + SPREAD);
    disk_sim_limit(f.disk, 0);
    fixture_until(&f, f.log->unwritten_count == 0);
    fixture_until(&f, tail_limit(f.log) == TAIL);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_pressure__wrong_batches_are_refused(void **state) {
    struct fixture f;
    fixture_init(&f, 23);
    static const struct topic_config_entry configs[] = {{"max.message.bytes", "2000"}, {0}};
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 1, configs);
    struct partition *partition = topic->partitions[0];
    struct batch_spec spec = spec_of(1, 3000);
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_TOO_LARGE);
    struct one one;
    spec = spec_of(1, 100);
    one_start(&f, &one, partition, &spec);
    fixture_until(&f, one.done);
    one.buf->data[80] ^= 1;
    assert_int_equal(topic_log_append(f.log, &one.append), BROKER_E_CORRUPT);
    one.part.batch.size--;
    assert_int_equal(topic_log_append(f.log, &one.append), BROKER_E_CORRUPT);
    one_free(&one);
    assert_int_equal(partition->log_end_offset, 1);
    /* Names, counts and configs of topics. */
    struct topic_log_request request = {0};
    struct topic_spec bad = {.name = SPAN_LITERAL("a/b"), .partition_count = 1};
    assert_int_equal(topic_log_create(f.log, &bad, &request), TOPIC_E_NAME);
    bad.name = SPAN_LITERAL("t");
    assert_int_equal(topic_log_create(f.log, &bad, &request), TOPIC_E_EXISTS);
    bad.name = SPAN_LITERAL("u");
    bad.partition_count = 0;
    assert_int_equal(topic_log_create(f.log, &bad, &request), BROKER_E_PARTITIONS);
    bad.partition_count = 20001;
    assert_int_equal(topic_log_create(f.log, &bad, &request), BROKER_E_PARTITIONS);
    static const struct topic_config_entry wrong[] = {{"retention.ms", "soon"}, {0}};
    bad.partition_count = 1;
    bad.configs = wrong;
    assert_int_equal(topic_log_create(f.log, &bad, &request), BROKER_E_CONFIG);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("u")));
    struct topic *registry = topic_log_find(f.log, SPAN_LITERAL(REGISTRY_TOPIC));
    assert_int_equal(topic_log_delete(f.log, registry, &request), BROKER_E_POLICY);
    /* After a deletion the partition takes nothing. */
    topic_ref(topic);
    assert_int_equal(fixture_delete(&f, topic), 0);
    spec = spec_of(2, 100);
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_UNKNOWN);
    uint8_t *data;
    assert_int_equal(fixture_read(&f, partition, 0, 10, &data), -TOPIC_E_UNKNOWN);
    topic_unref(topic);
    fixture_stop(&f);
    fixture_deinit(&f);
}

struct counting_waiter {
    struct partition_waiter waiter;
    unsigned woken;
};

static void on_wake(struct partition_waiter *waiter) {
    container_of(waiter, struct counting_waiter, waiter)->woken++;
}

static void test_log_pressure__waiters_wake_at_the_durable_mark(void **state) {
    struct fixture f;
    fixture_init(&f, 24);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "t", 2, NULL);
    struct counting_waiter first = {.waiter.wake = on_wake}, second = {.waiter.wake = on_wake};
    partition_wait(topic->partitions[0], &first.waiter);
    partition_wait(topic->partitions[1], &second.waiter);
    struct batch_spec spec = spec_of(1, 100);
    assert_int_equal(fixture_append(&f, topic->partitions[0], &spec), 0);
    assert_int_equal(first.woken, 1);
    assert_int_equal(second.woken, 0);
    partition_unwait(&first.waiter);
    partition_unwait(&first.waiter);
    topic_ref(topic);
    assert_int_equal(fixture_delete(&f, topic), 0);
    assert_int_equal(first.woken, 1);
    assert_true(second.woken >= 1);
    partition_unwait(&second.waiter);
    topic_unref(topic);
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_pressure__failed_journal_acknowledges_nothing_and_reads_on(void **state) {
    struct fixture f;
    fixture_init(&f, 25);
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    struct batch_spec spec = spec_of(1, 100);
    assert_int_equal(fixture_append(&f, partition, &spec), 0);
    fixture_run_ms(&f, 20000);
    disk_sim_fail_at(f.disk, disk_sim_calls(f.disk) + 1, -EIO);
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_FAILED);
    assert_true(topic_log_failed(f.log));
    assert_int_equal(f.events[TOPIC_LOG_FAILED], 1);
    assert_int_equal(fixture_append(&f, partition, &spec), -TOPIC_E_FAILED);
    assert_int_equal(partition->high_watermark, 1);
    uint8_t *data;
    assert_true(fixture_read(&f, partition, 0, 10, &data) > 0);
    free(data);
    fixture_stop(&f);
    assert_int_equal(fixture_start(&f), 0);
    partition = fixture_partition(&f, "t", 0);
    int64_t offset = fixture_append(&f, partition, &spec);
    assert_in_range(offset, 1, 2); /* the failed one may be there: its outcome was unknown */
    fixture_stop(&f);
    fixture_deinit(&f);
}

static void test_log_pressure__full_disk_is_waited_for(void **state) {
    struct fixture f;
    fixture_init(&f, 26);
    f.limits.journal_first_bytes = 65536;
    f.limits.tail_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
    disk_sim_limit(f.disk, 1); /* nothing grows any more */
    struct one *ones = calloc(MANY, sizeof *ones);
    unsigned n = 0;
    for (; n < MANY && f.events[TOPIC_LOG_DISK_FULL] == 0; n++) {
        struct batch_spec spec = spec_of(n, 500);
        one_start(&f, &ones[n], partition, &spec);
        fixture_run_ms(&f, 200);
    }
    assert_true(f.events[TOPIC_LOG_DISK_FULL] > 0);
    assert_false(topic_log_failed(f.log));
    struct batch_spec spec = spec_of(n, 500);
    assert_int_equal(one_start(&f, &ones[n], partition, &spec), TOPIC_E_FULL);
    disk_sim_limit(f.disk, 0);
    fixture_until(&f, f.events[TOPIC_LOG_DISK_AGAIN] > 0);
    for (unsigned i = 0; i <= n; i++) {
        fixture_until(&f, ones[i].done);
        assert_true(ones[i].status == 0 || ones[i].status == TOPIC_E_FULL);
        one_free(&ones[i]);
    }
    assert_true(fixture_append(&f, partition, &spec) > 0);
    free(ones);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* No room comes free here: the log's threads do not run. */
static void test_log_pressure__waiting_appends_fail_with_their_topic_g62(void **state) {
    struct fixture f;
    fixture_init(&f, 27);
    f.limits.tail_bytes = 16384;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "gone", 1, NULL);
    struct partition *other = fixture_topic(&f, "stays", 1, NULL)->partitions[0];
    struct one *ones = calloc(MANY, sizeof *ones);
    unsigned taken = 0, failed = 0;
    struct batch_spec spec = spec_of(1, 1000);
    for (; taken < 70; taken++) {
        struct partition *to = taken % 2 ? other : topic->partitions[0];
        assert_int_equal(one_start(&f, &ones[taken], to, &spec), 0);
    }
    assert_false(list_empty(&f.log->throttled));
    struct topic_log_request request = {.done = ignore_request};
    assert_int_equal(topic_log_delete(f.log, topic, &request), 0);
    struct topic_spec again = {.name = SPAN_LITERAL("gone"), .partition_count = 1};
    struct topic_log_request create = {.done = ignore_request};
    assert_int_equal(topic_log_create(f.log, &again, &create), 0); /* the name is free at once */
    while (loop_step(f.loop)) {
    }
    for (unsigned i = 0; i < taken; i++) {
        failed += ones[i].done && ones[i].status == TOPIC_E_UNKNOWN;
        assert_true(!ones[i].done || i % 2 == 0);
    }
    assert_in_range(failed, 10, 30);
    for (unsigned i = 0; i < taken; i++) {
        fixture_until(&f, ones[i].done);
        assert_true(ones[i].status == 0 || i % 2 == 0);
        one_free(&ones[i]);
    }
    free(ones);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* What is under way when the log is stopped may need a checkpoint before the journal can take it.
 */
static void test_log_pressure__a_stop_makes_room_for_what_is_under_way(void **state) {
    enum { LARGE = 40000 };
    for (unsigned before = 0; before < 40; before++) {
        struct fixture f;
        fixture_init(&f, 29);
        f.limits.journal_first_bytes = 16384;
        f.limits.journal_max_bytes = 131072;
        f.limits.checkpoint_bytes = MIB(64);
        assert_int_equal(fixture_start(&f), 0);
        struct partition *partition = fixture_topic(&f, "t", 1, NULL)->partitions[0];
        for (unsigned n = 0; n < before; n++) {
            struct batch_spec spec = spec_of(n, n % 4 == 3 ? 26000 : 3000);
            assert_int_equal(fixture_append(&f, partition, &spec), n);
        }
        struct one one;
        struct batch_spec spec = spec_of(before, LARGE);
        assert_int_equal(one_start(&f, &one, partition, &spec), 0);
        fixture_stop(&f);
        assert_true(one.done);
        assert_int_equal(one.status, 0);
        one_free(&one);
        assert_int_equal(fixture_start(&f), 0);
        assert_int_equal(fixture_partition(&f, "t", 0)->high_watermark, before + 1);
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static int64_t append_of(struct fixture *f, uint64_t tag, size_t bytes) {
    struct batch_spec spec = spec_of(tag, bytes);
    return fixture_append(f, fixture_partition(f, "t", 0), &spec);
}

/* Reserved appends to the other partition, one after the other, until the large one is done. */
static void append_amid_reserved(struct fixture *f, uint64_t tag, size_t bytes) {
    struct one large, small;
    struct batch_spec spec = spec_of(tag, bytes), small_spec = spec_of(tag, 100);
    unsigned count = 0;
    assert_int_equal(one_start(f, &large, fixture_partition(f, "t", 0), &spec), 0);
    while (!large.done) {
        struct partition *partition = fixture_partition(f, "t", 1);
        assert_int_equal(one_start_as(f, &small, APPEND_RESERVED, partition, &small_spec), 0);
        fixture_until(f, small.done);
        assert_int_equal(small.status, 0);
        one_free(&small);
        count++;
        assert_true(count < 100);
    }
    assert_int_equal(large.status, 0);
    one_free(&large);
}

static void start_small(struct fixture *f) {
    fixture_init(f, 29);
    f->limits.journal_first_bytes = 4096;
    f->limits.journal_max_bytes = 65536;
    f->limits.tail_bytes = 65536;
    assert_int_equal(fixture_start(f), 0);
    assert_non_null(fixture_topic(f, "t", 2, NULL));
}

/* An append may take nearly half of the journal. Wherever earlier ones have left the files, it
 * finds room in the end, also while reserved ones go on. */
static void test_log_pressure__large_appends_find_room_in_the_journal(void **state) {
    const size_t sizes[] = {32000, 32000, 24000, 32000, 30000, 28000, 32000};
    for (unsigned small = 0; small < 40; small++) {
        struct fixture f;
        start_small(&f);
        int64_t n = 0;
        while (n < small) {
            assert_int_equal(append_of(&f, (uint64_t)n, 3000), n);
            n++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++, n++) {
            assert_int_equal(append_of(&f, (uint64_t)n, sizes[i]), n);
        }
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            append_amid_reserved(&f, (uint64_t)(n + (int64_t)i), sizes[i]);
        }
        uint64_t journal_bytes = 0;
        for (unsigned i = 0; i < f.log->file_count; i++) {
            journal_bytes += f.log->files[i]->size;
        }
        assert_in_range(journal_bytes, 1, 65536 + 36864); /* beyond the limit by one append */
        fixture_stop(&f);
        fixture_deinit(&f);
    }
}

static void test_log_pressure__what_may_never_fit_is_refused_at_once(void **state) {
    struct fixture f;
    start_small(&f);
    for (size_t bytes = 33000; bytes < 140000; bytes += 7000) {
        struct one one;
        struct batch_spec spec = spec_of(1, bytes);
        one_start(&f, &one, fixture_partition(&f, "t", 0), &spec);
        assert_int_equal(one.status, TOPIC_E_TOO_LARGE);
        one_free(&one);
    }
    assert_int_equal(append_of(&f, 2, 100), 0);
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_pressure__client_appends_wait_and_keep_their_order),
        cmocka_unit_test(test_log_pressure__reserved_appends_pass_waiting_ones),
        cmocka_unit_test(test_log_pressure__the_tail_grows_with_the_partitions_written_to),
        cmocka_unit_test(test_log_pressure__the_tail_stays_large_while_many_are_written),
        cmocka_unit_test(test_log_pressure__wrong_batches_are_refused),
        cmocka_unit_test(test_log_pressure__waiters_wake_at_the_durable_mark),
        cmocka_unit_test(test_log_pressure__failed_journal_acknowledges_nothing_and_reads_on),
        cmocka_unit_test(test_log_pressure__full_disk_is_waited_for),
        cmocka_unit_test(test_log_pressure__waiting_appends_fail_with_their_topic_g62),
        cmocka_unit_test(test_log_pressure__a_stop_makes_room_for_what_is_under_way),
        cmocka_unit_test(test_log_pressure__large_appends_find_room_in_the_journal),
        cmocka_unit_test(test_log_pressure__what_may_never_fit_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
