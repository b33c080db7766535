/* The table of topic configs, what a topic keeps of them, and that a change is durable. */
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_topic_config__every_default_is_valid_and_documented(void **state) {
    for (int key = 0; key < TOPIC_CONFIG_COUNT; key++) {
        const struct topic_config_def *def = &topic_config_defs[key];
        char message[300] = "";
        if (topic_config_check(key, span_text(def->default_text), message, sizeof message)) {
            fail_msg("%s: %s", def->name, message);
        }
        assert_int_equal(topic_config_find(span_text(def->name)), key);
        assert_true(strlen(def->documentation) > 10);
    }
    assert_int_equal(topic_config_find(SPAN_LITERAL("message.format.version")), TOPIC_CONFIG_COUNT);
}

/* Values and messages as Apache Kafka 4.3.1 answers them. */
static void test_topic_config__checks_as_kafka_does(void **state) {
    static const struct {
        enum topic_config_key key;
        const char *value, *message; /* NULL: taken */
    } rows[] = {
        {TOPIC_SEGMENT_BYTES, "1048575",
         "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576"},
        {TOPIC_SEGMENT_BYTES, " +2000000 ", NULL},
        {TOPIC_SEGMENT_BYTES, "2147483648",
         "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT"},
        {TOPIC_SEGMENT_BYTES, "0x100000",
         "Invalid value 0x100000 for configuration segment.bytes: Not a number of type INT"},
        {TOPIC_SEGMENT_BYTES, "",
         "Invalid value  for configuration segment.bytes: Not a number of type INT"},
        {TOPIC_SEGMENT_JITTER_MS, "9223372036854775808",
         "Invalid value 9223372036854775808 for configuration segment.jitter.ms: "
         "Not a number of type LONG"},
        {TOPIC_RETENTION_BYTES, "-2", NULL},
        {TOPIC_RETENTION_MS, "-1", NULL},
        {TOPIC_RETENTION_MS, "-2",
         "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
        {TOPIC_MIN_CLEANABLE_RATIO, ".5", NULL},
        {TOPIC_MIN_CLEANABLE_RATIO, "1d", NULL},
        {TOPIC_MIN_CLEANABLE_RATIO, "1.1",
         "Invalid value 1.1 for configuration min.cleanable.dirty.ratio: "
         "Value must be no more than 1"},
        {TOPIC_MIN_CLEANABLE_RATIO, "NaN", NULL},
        {TOPIC_MIN_CLEANABLE_RATIO, "nan",
         "Invalid value nan for configuration min.cleanable.dirty.ratio: Not a number of type "
         "DOUBLE"},
        {TOPIC_MIN_CLEANABLE_RATIO, "0x1p-1", NULL},
        {TOPIC_MIN_CLEANABLE_RATIO, "0x0.8",
         "Invalid value 0x0.8 for configuration min.cleanable.dirty.ratio: "
         "Not a number of type DOUBLE"},
        {TOPIC_MIN_CLEANABLE_RATIO, "1e7",
         "Invalid value 1.0E7 for configuration min.cleanable.dirty.ratio: "
         "Value must be no more than 1"},
        {TOPIC_MIN_CLEANABLE_RATIO, "-1e400",
         "Invalid value -Infinity for configuration min.cleanable.dirty.ratio: "
         "Value must be at least 0"},
        {TOPIC_RETENTION_BYTES, "00000000000000000000000000000000000000000000000000000000000000005",
         NULL},
        {TOPIC_RETENTION_BYTES, "-9223372036854775808", NULL},
        {TOPIC_RETENTION_BYTES, "\u0663", NULL},
        {TOPIC_SEGMENT_BYTES, " +007 ",
         "Invalid value 7 for configuration segment.bytes: Value must be at least 1048576"},
        {TOPIC_SEGMENT_BYTES, " many ",
         "Invalid value  many  for configuration segment.bytes: Not a number of type INT"},
        {TOPIC_CLEANUP_POLICY, " compact , delete ", NULL},
        {TOPIC_CLEANUP_POLICY, "delete,delete", NULL},
        {TOPIC_CLEANUP_POLICY, "", NULL},
        {TOPIC_CLEANUP_POLICY, "compact,foo",
         "Invalid value foo for configuration cleanup.policy: String must be one of: "
         "compact, delete"},
        {TOPIC_CLEANUP_POLICY, "compact,",
         "Configuration 'cleanup.policy' values must not be empty."},
        {TOPIC_PREALLOCATE, "TRUE", NULL},
        {TOPIC_PREALLOCATE, "yes",
         "Invalid value yes for configuration preallocate: "
         "Expected value to be either true or false"},
        {TOPIC_COMPRESSION_TYPE, "GZIP",
         "Invalid value GZIP for configuration compression.type: String must be one of: "
         "uncompressed, zstd, lz4, snappy, gzip, producer"},
        {TOPIC_COMPRESSION_GZIP_LEVEL, "0",
         "Invalid value 0 for configuration compression.gzip.level: "
         "Value must be between 1 and 9 or equal to -1"},
        {TOPIC_COMPRESSION_LZ4_LEVEL, "18",
         "Invalid value 18 for configuration compression.lz4.level: "
         "Value must be no more than 17"},
        {TOPIC_LEADER_THROTTLED_REPLICAS, "0:1,1:1", NULL},
        {TOPIC_LEADER_THROTTLED_REPLICAS, "*", NULL},
        {TOPIC_LEADER_THROTTLED_REPLICAS, ",*", NULL},
        {TOPIC_LEADER_THROTTLED_REPLICAS, "0:1,,1:1,", NULL},
        {TOPIC_LEADER_THROTTLED_REPLICAS, "0:1,*",
         "Invalid value [0:1, *] for configuration leader.replication.throttled.replicas: "
         "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in "
         "the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
        {TOPIC_LEADER_THROTTLED_REPLICAS, "x",
         "Invalid value [x] for configuration leader.replication.throttled.replicas: "
         "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in "
         "the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
        {TOPIC_REMOTE_STORAGE_ENABLE, "true",
         "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
         "remote log storage."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char message[400] = "";
        int r = topic_config_check(rows[i].key, span_text(rows[i].value), message, sizeof message);
        assert_int_equal(r, rows[i].message ? BROKER_E_CONFIG : 0);
        assert_string_equal(message, rows[i].message ? rows[i].message : "");
    }
}

static void test_topic_config__keeps_texts_in_any_order(void **state) {
    struct topic_config config = {0};
    struct topic_config copy;
    assert_int_equal(topic_config_set(&config, TOPIC_SEGMENT_MS, SPAN_LITERAL("7")), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_CLEANUP_POLICY, SPAN_LITERAL("compact")), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_RETENTION_MS, SPAN_LITERAL("5")), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_RETENTION_MS, SPAN_LITERAL("6")), 0);
    assert_int_equal(topic_config_set(&config, TOPIC_RETENTION_MS, SPAN_LITERAL("soon")),
                     BROKER_E_CONFIG);
    assert_string_equal(topic_config_text(&config, TOPIC_CLEANUP_POLICY), "compact");
    assert_string_equal(topic_config_text(&config, TOPIC_RETENTION_MS), "6");
    assert_string_equal(topic_config_text(&config, TOPIC_SEGMENT_MS), "7");
    assert_null(topic_config_text(&config, TOPIC_RETENTION_BYTES));
    assert_int_equal(topic_config_copy(&copy, &config), 0);
    topic_config_unset(&copy, TOPIC_CLEANUP_POLICY);
    topic_config_unset(&copy, TOPIC_CLEANUP_POLICY);
    assert_null(topic_config_text(&copy, TOPIC_CLEANUP_POLICY));
    assert_string_equal(topic_config_text(&copy, TOPIC_SEGMENT_MS), "7");
    assert_string_equal(topic_config_text(&config, TOPIC_CLEANUP_POLICY), "compact");
    topic_config_deinit(&copy);
    topic_config_deinit(&config);
}

static void on_request(struct topic_log_request *request, int status) {
    *(int *)(void *)(request + 1) = status;
}

struct change {
    struct topic_log_request request;
    int status;
};

static void configure(struct fixture *f, struct topic *topic, struct change *change,
                      enum topic_config_key key, const char *value) {
    struct topic_config config;
    *change = (struct change){.request.done = on_request, .status = INT32_MIN};
    assert_int_equal(topic_config_copy(&config, topic_log_config_latest(topic)), 0);
    if (value) {
        assert_int_equal(topic_config_set(&config, key, span_text(value)), 0);
    } else {
        topic_config_unset(&config, key);
    }
    assert_int_equal(topic_log_configure(f->log, topic, &config, &change->request), 0);
    topic_config_deinit(&config);
}

static void test_topic_config__own_value_beats_the_brokers(void **state) {
    static const struct topic_config_entry configs[] = {
        {"cleanup.policy", "compact,delete"}, {"min.cleanable.dirty.ratio", "0.25"}, {0}};
    struct fixture f;
    fixture_init(&f, 31);
    f.limits.segment_bytes = 20000;
    assert_int_equal(fixture_start(&f), 0);
    struct topic *own = fixture_topic(&f, "own", 1, configs);
    struct topic *plain = fixture_topic(&f, "plain", 1, NULL);
    assert_true(topic_config_compacts(f.log, own) && topic_config_deletes(f.log, own));
    assert_true(!topic_config_compacts(f.log, plain) && topic_config_deletes(f.log, plain));
    assert_true(topic_config_double(f.log, own, TOPIC_MIN_CLEANABLE_RATIO) == 0.25);
    assert_true(topic_config_double(f.log, plain, TOPIC_MIN_CLEANABLE_RATIO) == 0.5);
    assert_int_equal(topic_config_int(f.log, plain, TOPIC_SEGMENT_BYTES), 20000);
    assert_int_equal(topic_config_int(f.log, plain, TOPIC_RETENTION_MS), 604800000);
    assert_int_equal(topic_config_codec(f.log, plain), -1);
    assert_false(topic_config_append_time(f.log, plain));
    struct change changes[3];
    configure(&f, plain, &changes[0], TOPIC_COMPRESSION_TYPE, "zstd");
    configure(&f, plain, &changes[1], TOPIC_TIMESTAMP_TYPE, "LogAppendTime");
    configure(&f, plain, &changes[2], TOPIC_INTERNAL_SEGMENT_BYTES, "300");
    fixture_until(&f, changes[2].status == 0);
    assert_int_equal(topic_config_codec(f.log, plain), 4);
    assert_true(topic_config_append_time(f.log, plain));
    assert_int_equal(topic_config_int(f.log, plain, TOPIC_SEGMENT_BYTES), 300);
    fixture_stop(&f);
    fixture_deinit(&f);
}

/* Changes that follow one another before the first is durable add up, and survive a power cut. */
static void test_topic_config__change_is_durable_and_changes_add_up(void **state) {
    struct fixture f;
    fixture_init(&f, 32);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = fixture_topic(&f, "users", 1, NULL);
    struct change changes[3];
    configure(&f, topic, &changes[0], TOPIC_RETENTION_MS, "5");
    configure(&f, topic, &changes[1], TOPIC_SEGMENT_MS, "7");
    configure(&f, topic, &changes[2], TOPIC_FLUSH_MS, "9");
    assert_null(topic_config_text(&topic->config, TOPIC_RETENTION_MS)); /* not durable yet */
    fixture_until(&f, changes[2].status == 0);
    configure(&f, topic, &changes[0], TOPIC_SEGMENT_MS, NULL);
    fixture_until(&f, changes[0].status == 0);
    fixture_crash(&f, true);
    for (int run = 0; run < 2; run++) { /* from the journal, then from the checkpoint */
        assert_int_equal(fixture_start(&f), 0);
        topic = topic_log_find(f.log, SPAN_LITERAL("users"));
        assert_string_equal(topic_config_text(&topic->config, TOPIC_RETENTION_MS), "5");
        assert_string_equal(topic_config_text(&topic->config, TOPIC_FLUSH_MS), "9");
        assert_null(topic_config_text(&topic->config, TOPIC_SEGMENT_MS));
        fixture_stop(&f);
        fixture_crash(&f, false);
    }
    fixture_deinit(&f);
}

/* The log writes to the topic's folder; its deletion may overtake a change. */
static void test_topic_config__deleted_topic_refuses_a_change(void **state) {
    struct fixture f;
    fixture_init(&f, 33);
    assert_int_equal(fixture_start(&f), 0);
    struct topic *topic = topic_ref(fixture_topic(&f, "users", 1, NULL));
    struct change change;
    configure(&f, topic, &change, TOPIC_RETENTION_MS, "5");
    assert_int_equal(fixture_delete(&f, topic), 0);
    assert_int_equal(change.status, 0);
    struct topic_config config = {0};
    assert_int_equal(topic_log_configure(f.log, topic, &config, &change.request), TOPIC_E_UNKNOWN);
    topic_unref(topic);
    fixture_stop(&f);
    fixture_crash(&f, false);
    assert_int_equal(fixture_start(&f), 0);
    assert_null(topic_log_find(f.log, SPAN_LITERAL("users")));
    fixture_stop(&f);
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_config__every_default_is_valid_and_documented),
        cmocka_unit_test(test_topic_config__checks_as_kafka_does),
        cmocka_unit_test(test_topic_config__keeps_texts_in_any_order),
        cmocka_unit_test(test_topic_config__own_value_beats_the_brokers),
        cmocka_unit_test(test_topic_config__change_is_durable_and_changes_add_up),
        cmocka_unit_test(test_topic_config__deleted_topic_refuses_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
