#include "harness.h"

#include <errno.h>

enum {
    LIST_OFFSETS = 2,
    METADATA = 3,
    FIND_COORDINATOR = 10,
    API_VERSIONS = 18,
    CREATE_TOPICS = 19,
    DELETE_TOPICS = 20,
    INIT_PRODUCER_ID = 22,
    OFFSET_FOR_LEADER_EPOCH = 23,
    DESCRIBE_CONFIGS = 32,
    DESCRIBE_CLUSTER = 60,
};

static struct harness h;

static int setup(void **state) {
    harness_init(&h);
    return 0;
}

static int teardown(void **state) {
    harness_deinit(&h);
    return 0;
}

/* ---- Metadata ---- */

static struct metadata_response *metadata(struct call *call, int16_t version, const char *name,
                                          bool auto_create) {
    struct metadata_request_topic topic;
    struct metadata_request body;

    kafka_init(&kafka_metadata_request_type, &body, 1);
    kafka_init(&kafka_metadata_request_topic_type, &topic, 1);
    body.allow_auto_topic_creation = auto_create;
    if (name) {
        topic.name = span_text(name);
        body.topics = &topic;
        body.topics_count = 1;
    } else {
        body.topics_count = version == 0 ? 0 : -1; /* all */
    }
    call_start(&h, call, METADATA, version, &body);
    return call_wait(&h, call);
}

static void test_metadata__creates_a_topic_in_every_version(void **state) {
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_response *answer;
        struct call call;
        char name[8] = "t-a";

        name[2] = (char)('a' + version);
        answer = metadata(&call, version, name, true);
        assert_int_equal(answer->topics_count, 1);
        assert_int_equal(answer->topics[0].error_code, 0);
        assert_int_equal(answer->topics[0].partitions_count, 4);
        assert_int_equal(answer->topics[0].partitions[3].leader_id, 0);
        assert_int_equal(answer->topics[0].partitions[3].leader_epoch, version >= 7 ? 0 : -1);
        assert_int_equal(answer->topics[0].partitions[3].replica_nodes_count, 1);
        assert_int_equal(uuid_is_zero(&answer->topics[0].topic_id), version < 10);
        assert_int_equal(answer->brokers_count, 1);
        assert_true(span_equal(answer->brokers[0].host, SPAN_LITERAL("broker.test")));
        call_end(&call);
    }
    assert_int_equal(h.created, 14);
}

static void test_metadata__waits_for_the_creation(void **state) {
    struct metadata_request_topic topic;
    struct metadata_request body;
    struct call call;

    kafka_init(&kafka_metadata_request_type, &body, 1);
    kafka_init(&kafka_metadata_request_topic_type, &topic, 1);
    topic.name = SPAN_LITERAL("t");
    body.topics = &topic;
    body.topics_count = 1;
    fake_log_hold(h.log, true);
    call_start(&h, &call, METADATA, 9, &body);
    harness_turn(&h);
    assert_false(call.done);
    fake_log_release(h.log, 0);
    call_wait(&h, &call);
    call_end(&call);
}

static void test_metadata__creates_only_when_allowed(void **state) {
    static const struct {
        const char *name;
        bool flag;
        int16_t error;
    } rows[] = {
        {"t", false, KAFKA_UNKNOWN_TOPIC_OR_PARTITION},
        {"bad name!", true, KAFKA_INVALID_TOPIC_EXCEPTION},
        {"__consumer_offsets", true, KAFKA_UNKNOWN_TOPIC_OR_PARTITION},
        {"__eventbox_x", true, KAFKA_UNKNOWN_TOPIC_OR_PARTITION},
        {"a_b", true, KAFKA_INVALID_TOPIC_EXCEPTION}, /* a.b exists */
    };

    harness_topic(&h, "a.b", 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct call call;

        assert_int_equal(metadata(&call, 12, rows[i].name, rows[i].flag)->topics[0].error_code,
                         rows[i].error);
        call_end(&call);
    }
    h.broker.auto_create_topics = false;
    struct call call;
    assert_int_equal(metadata(&call, 1, "t", true)->topics[0].error_code,
                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    call_end(&call);
    assert_int_equal(h.created, 0);
}

static void test_metadata__makes_kafkas_own_topics_as_kafka_does(void **state) {
    struct call call;
    struct topic *topic;

    assert_int_equal(metadata(&call, 12, "__transaction_state", true)->topics[0].error_code, 0);
    call_end(&call);
    topic = topic_log_find(h.log, SPAN_LITERAL("__transaction_state"));
    assert_int_equal(topic->partition_count, 50);
    assert_true(topic->internal);
    assert_true(topic_config_compacts(h.log, topic));
}

static void test_metadata__of_all_and_of_none(void **state) {
    struct metadata_request none;
    struct call call;

    harness_topic(&h, "a", 1);
    harness_topic(&h, "b", 1)->internal = true;
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_response *answer = metadata(&call, version, NULL, true);

        assert_int_equal(answer->topics_count, 2);
        assert_int_equal(answer->topics[1].is_internal, version >= 1);
        call_end(&call);
    }
    kafka_init(&kafka_metadata_request_type, &none, 1);
    call_start(&h, &call, METADATA, 1, &none); /* an empty list is none from version 1 on */
    assert_int_equal(((struct metadata_response *)call_wait(&h, &call))->topics_count, 0);
    call_end(&call);
}

static void test_metadata__by_id(void **state) {
    struct metadata_request_topic topics[2];
    struct metadata_response *answer;
    struct metadata_request body;
    struct call call;

    kafka_init(&kafka_metadata_request_type, &body, 1);
    kafka_init(&kafka_metadata_request_topic_type, topics, 2);
    topics[0].topic_id = harness_topic(&h, "a", 1)->id;
    topics[0].name = topics[1].name = SPAN_NULL;
    topics[1].topic_id.bytes[7] = 9;
    body.topics = topics;
    body.topics_count = 2;
    call_start(&h, &call, METADATA, 12, &body);
    answer = call_wait(&h, &call);
    assert_true(span_equal(answer->topics[0].name, SPAN_LITERAL("a")));
    assert_int_equal(answer->topics[1].error_code, KAFKA_UNKNOWN_TOPIC_ID);
    assert_null(answer->topics[1].name.data);
    call_end(&call);
}

static struct metadata_response *ask(struct call *call, int16_t version,
                                     struct metadata_request_topic *topics, int32_t count) {
    struct metadata_request body;

    kafka_init(&kafka_metadata_request_type, &body, 1);
    body.topics = topics;
    body.topics_count = count;
    body.allow_auto_topic_creation = false;
    call_start(&h, call, METADATA, version, &body);
    return call_wait(&h, call);
}

/* One answer for a topic that is named twice, by name or by id, among few and among many. */
static void test_metadata__tells_a_topic_once(void **state) {
    struct metadata_request_topic topics[40];
    struct metadata_response *answer;
    struct uuid id = harness_topic(&h, "a", 1)->id;
    struct call call;

    for (int32_t count = 2; count <= 40; count += 38) {
        kafka_init(&kafka_metadata_request_topic_type, topics, 40);
        for (int32_t i = 0; i < count; i++) {
            topics[i].name = i % 2 ? SPAN_LITERAL("a") : SPAN_LITERAL("nope");
        }
        answer = ask(&call, 9, topics, count);
        assert_int_equal(answer->topics_count, 2);
        call_end(&call);
    }
    kafka_init(&kafka_metadata_request_topic_type, topics, 40);
    topics[0].name = topics[2].name = SPAN_NULL;
    topics[0].topic_id = topics[2].topic_id = id;
    topics[1].name = SPAN_LITERAL("other"); /* by id alone, once there is one */
    answer = ask(&call, 12, topics, 3);
    assert_int_equal(answer->topics_count, 1);
    assert_true(span_equal(answer->topics[0].name, SPAN_LITERAL("a")));
    call_end(&call);
}

/* Ids can be asked for from version 12 on; a topic with neither name nor id never. */
static void test_metadata__refuses_ids_where_kafka_does(void **state) {
    struct metadata_request_topic topic;
    struct metadata_response *answer;
    struct call call;

    kafka_init(&kafka_metadata_request_topic_type, &topic, 1);
    topic.topic_id = harness_topic(&h, "a", 1)->id;
    for (int16_t version = 10; version <= 13; version++) {
        topic.name = version < 12 ? SPAN_LITERAL("a") : SPAN_NULL;
        answer = ask(&call, version, &topic, 1);
        assert_int_equal(answer->topics[0].error_code, version < 12 ? KAFKA_INVALID_REQUEST : 0);
        assert_int_equal(answer->brokers_count, version < 12 ? 0 : 1);
        call_end(&call);
    }
    kafka_init(&kafka_metadata_request_topic_type, &topic, 1);
    topic.name = SPAN_NULL;
    answer = ask(&call, 12, &topic, 1);
    assert_int_equal(answer->topics[0].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    call_end(&call);
}

static void test_metadata__marks_kafkas_own_topics_G19(void **state) {
    struct metadata_request_topic topic;
    struct metadata_response *answer;
    struct call call;

    kafka_init(&kafka_metadata_request_topic_type, &topic, 1);
    topic.name = SPAN_LITERAL("__transaction_state");
    answer = ask(&call, 9, &topic, 1);
    assert_int_equal(answer->topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    assert_true(answer->topics[0].is_internal);
    call_end(&call);
}

/* ---- CreateTopics, DeleteTopics ---- */

static struct create_topics_response_topic create(int16_t version, const char *name,
                                                  int32_t partitions, int16_t replicas,
                                                  const char *config, bool validate) {
    struct create_topics_response_topic row;
    struct create_topics_request_config configs = {0};
    struct create_topics_request_topic topic;
    struct create_topics_request body;
    struct call call;

    kafka_init(&kafka_create_topics_request_type, &body, 1);
    kafka_init(&kafka_create_topics_request_topic_type, &topic, 1);
    body.validate_only = validate;
    body.timeout_ms = 5000;
    body.topics = &topic;
    body.topics_count = 1;
    topic.name = span_text(name);
    topic.num_partitions = partitions;
    topic.replication_factor = replicas;
    if (config) {
        configs.name = span_text(config);
        configs.value = SPAN_LITERAL("1");
        topic.configs = &configs;
        topic.configs_count = 1;
    }
    call_start(&h, &call, CREATE_TOPICS, version, &body);
    row = ((struct create_topics_response *)call_wait(&h, &call))->topics[0];
    call_end(&call);
    row.name = row.error_message = SPAN_NULL; /* died with the call */
    row.configs = NULL;
    return row;
}

static void test_create_topics__in_every_version(void **state) {
    for (int16_t version = 2; version <= 7; version++) {
        char name[8] = "t-a";
        struct create_topics_response_topic row;

        name[2] = (char)('a' + version);
        row = create(version, name, 3, 3, NULL, false);
        assert_int_equal(row.error_code, 0);
        assert_int_equal(topic_log_find(h.log, span_text(name))->partition_count, 3);
        assert_int_equal(row.num_partitions, version >= 5 ? 3 : -1);
        assert_int_equal(row.replication_factor, version >= 5 ? 1 : -1); /* asked for 3 */
        assert_int_equal(row.configs_count > 10, version >= 5);
    }
}

static void test_create_topics__refuses(void **state) {
    harness_topic(&h, "there", 1);
    assert_int_equal(create(5, "there", 1, 1, NULL, false).error_code, KAFKA_TOPIC_ALREADY_EXISTS);
    assert_int_equal(create(5, "no/way", 1, 1, NULL, false).error_code,
                     KAFKA_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create(5, "t", 0, 1, NULL, false).error_code, KAFKA_INVALID_PARTITIONS);
    assert_int_equal(create(3, "t", -2, 1, NULL, false).error_code, KAFKA_INVALID_PARTITIONS);
    assert_int_equal(create(5, "t", 1, 0, NULL, false).error_code,
                     KAFKA_INVALID_REPLICATION_FACTOR);
    assert_int_equal(create(5, "t", 1, 1, "bogus", false).error_code, KAFKA_INVALID_CONFIG);
    assert_int_equal(create(5, "__eventbox_x", 1, 1, NULL, false).error_code,
                     KAFKA_INVALID_REQUEST);
    assert_int_equal(create(5, "__cluster_metadata", 1, 1, NULL, true).error_code,
                     KAFKA_INVALID_REQUEST);
    assert_null(topic_log_find(h.log, SPAN_LITERAL("t")));
}

static void test_create_topics__takes_defaults_and_only_validates(void **state) {
    assert_int_equal(create(5, "t", -1, -1, NULL, true).error_code, 0);
    assert_null(topic_log_find(h.log, SPAN_LITERAL("t")));
    assert_int_equal(create(5, "t", -1, -1, NULL, false).num_partitions, 4);
}

/* Topics "t" and "u" get what they ask for in the order of Java's hash map, up to 10,000 in all. */
static void test_create_partitions__makes_so_many_in_one_request(void **state) {
    enum { CREATE_PARTITIONS = 37 };
    static const struct {
        const char *first;
        int32_t t, u;
        int16_t error_t, error_u;
    } rows[] = {
        {"t", 5001, 5001, 0, 0},
        {"t", 5001, 5002, 0, KAFKA_UNKNOWN_SERVER_ERROR},
        {"u", 5001, 5002, 0, KAFKA_UNKNOWN_SERVER_ERROR},
        {"u", 20000, 2, KAFKA_UNKNOWN_SERVER_ERROR, KAFKA_UNKNOWN_SERVER_ERROR},
        {"t", 1, 10001, KAFKA_INVALID_PARTITIONS, 0},
    };

    harness_topic(&h, "t", 1);
    harness_topic(&h, "u", 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool backwards = rows[i].first[0] == 'u';
        struct create_partitions_request_topic topics[2];
        struct create_partitions_request body;
        const struct create_partitions_response *answer;
        struct call call;

        kafka_init(&kafka_create_partitions_request_type, &body, 1);
        kafka_init(&kafka_create_partitions_request_topic_type, topics, 2);
        topics[backwards].name = SPAN_LITERAL("t");
        topics[backwards].count = rows[i].t;
        topics[!backwards].name = SPAN_LITERAL("u");
        topics[!backwards].count = rows[i].u;
        topics[0].assignments_count = topics[1].assignments_count = -1;
        body.topics = topics;
        body.topics_count = 2;
        body.timeout_ms = 5000;
        body.validate_only = true;
        call_start(&h, &call, CREATE_PARTITIONS, 3, &body);
        answer = call_wait(&h, &call);
        for (int32_t r = 0; r < 2; r++) {
            bool is_t = span_equal(answer->results[r].name, SPAN_LITERAL("t"));

            assert_int_equal(answer->results[r].error_code,
                             is_t ? rows[i].error_t : rows[i].error_u);
        }
        call_end(&call);
    }
}

static int16_t delete (int16_t version, const char *name, const struct uuid *id) {
    struct span names[1] = {name ? span_text(name) : SPAN_NULL};
    struct delete_topics_request_topic topic;
    struct delete_topics_request body;
    struct call call;
    int16_t error;

    kafka_init(&kafka_delete_topics_request_type, &body, 1);
    kafka_init(&kafka_delete_topics_request_topic_type, &topic, 1);
    body.topic_names = names;
    body.topics = &topic;
    body.topic_names_count = body.topics_count = 1;
    body.timeout_ms = 5000;
    topic.name = name ? span_text(name) : SPAN_NULL;
    if (id) {
        topic.topic_id = *id;
    }
    call_start(&h, &call, DELETE_TOPICS, version, &body);
    error = ((struct delete_topics_response *)call_wait(&h, &call))->responses[0].error_code;
    call_end(&call);
    return error;
}

static void test_delete_topics__by_name_and_by_id(void **state) {
    struct uuid id;

    for (int16_t version = 1; version <= 6; version++) {
        harness_topic(&h, "t", 1);
        assert_int_equal(delete (version, "t", NULL), 0);
        assert_null(topic_log_find(h.log, SPAN_LITERAL("t")));
        assert_int_equal(delete (version, "t", NULL), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    }
    id = harness_topic(&h, "u", 1)->id;
    assert_int_equal(delete (6, NULL, &id), 0);
    assert_int_equal(delete (6, NULL, &id), KAFKA_UNKNOWN_TOPIC_ID);
    assert_int_equal(h.deleted, 7);
}

static void test_delete_topics__keeps_our_own(void **state) {
    harness_topic(&h, "notification", 1)->declared = true;
    harness_topic(&h, "__eventbox_configs", 1)->internal = true;
    assert_int_equal(create(5, "__consumer_offsets", 1, 1, NULL, false).error_code, 0);
    assert_int_equal(delete (4, "notification", NULL), KAFKA_POLICY_VIOLATION);
    assert_int_equal(delete (4, "__consumer_offsets", NULL), KAFKA_POLICY_VIOLATION);
    assert_int_equal(delete (4, "__eventbox_configs", NULL), KAFKA_INVALID_TOPIC_EXCEPTION);
}

/* ---- ListOffsets, OffsetForLeaderEpoch ---- */

static struct list_offsets_response_partition list_offsets(int16_t version, int64_t timestamp) {
    struct list_offsets_request_partition partition;
    struct list_offsets_response_partition row;
    struct list_offsets_request_topic topic;
    struct list_offsets_request body;
    struct call call;

    kafka_init(&kafka_list_offsets_request_type, &body, 1);
    kafka_init(&kafka_list_offsets_request_topic_type, &topic, 1);
    kafka_init(&kafka_list_offsets_request_partition_type, &partition, 1);
    body.topics = &topic;
    body.topics_count = 1;
    topic.name = SPAN_LITERAL("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.timestamp = timestamp;
    call_start(&h, &call, LIST_OFFSETS, version, &body);
    harness_turn(&h);
    fake_log_read(h.log);
    row = ((struct list_offsets_response *)call_wait(&h, &call))->topics[0].partitions[0];
    call_end(&call);
    return row;
}

static void test_list_offsets__knows_every_special_timestamp(void **state) {
    static const struct {
        int64_t timestamp;
        int16_t first_version;
        int64_t offset, ret_timestamp;
    } rows[] = {
        {-1, 1, 6, -1},  {-2, 1, 1, -1},   {-3, 7, 2, 2000},   {-4, 8, 1, -1},
        {-5, 9, -1, -1}, {-6, 11, -1, -1}, {1500, 1, 2, 2000}, {9999, 1, -1, -1},
    };
    struct topic *topic = harness_topic(&h, "t", 1);

    append_records(&h, "t", 2, 1000);
    append_records(&h, "t", 4, 2000);
    topic->partitions[0]->log_start_offset = 1;
    for (int slow = 0; slow < 2; slow++) {
        fake_log_slow_reads(h.log, slow);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            for (int16_t version = 1; version <= 11; version++) {
                struct list_offsets_response_partition row =
                    list_offsets(version, rows[i].timestamp);

                if (version < rows[i].first_version) {
                    assert_int_equal(row.error_code, KAFKA_UNSUPPORTED_VERSION);
                } else if (row.error_code || row.offset != rows[i].offset ||
                           row.timestamp != rows[i].ret_timestamp) {
                    fail_msg("timestamp %d in version %d: error %d, offset %d",
                             (int)rows[i].timestamp, version, row.error_code, (int)row.offset);
                }
            }
        }
    }
    assert_int_equal(topic->refs, 0);
    assert_int_equal(list_offsets(11, -7).error_code, KAFKA_UNSUPPORTED_VERSION);
}

/* As Fetch does: another try does not mend what is damaged, and may mend everything else. */
static void test_list_offsets__tells_damage_from_what_another_try_may_mend(void **state) {
    static const struct {
        int status;
        int16_t error;
    } rows[] = {
        {BROKER_E_CORRUPT, KAFKA_CORRUPT_MESSAGE},
        {-EIO, KAFKA_STORAGE_ERROR},
        {-ENOMEM, KAFKA_STORAGE_ERROR},
        {TOPIC_E_FULL, KAFKA_STORAGE_ERROR},
        {TOPIC_E_UNKNOWN, KAFKA_UNKNOWN_TOPIC_OR_PARTITION},
    };

    harness_topic(&h, "t", 1);
    append_records(&h, "t", 2, 1000);
    for (int slow = 0; slow < 2; slow++) {
        fake_log_slow_reads(h.log, slow);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            struct list_offsets_response_partition row;

            fake_log_fail_lookups(h.log, rows[i].status);
            row = list_offsets(7, 500);
            assert_int_equal(row.error_code, rows[i].error);
            assert_int_equal(row.offset, -1);
            assert_int_equal(row.timestamp, -1);
            assert_int_equal(list_offsets(7, -1).error_code, 0); /* needs no lookup */
        }
    }
}

static struct offset_for_leader_epoch_response_partition epoch_end(int16_t version, int32_t current,
                                                                   int32_t epoch) {
    struct offset_for_leader_epoch_request_partition partition;
    struct offset_for_leader_epoch_response_partition row;
    struct offset_for_leader_epoch_request_topic topic;
    struct offset_for_leader_epoch_request body;
    struct call call;

    kafka_init(&kafka_offset_for_leader_epoch_request_type, &body, 1);
    kafka_init(&kafka_offset_for_leader_epoch_request_topic_type, &topic, 1);
    kafka_init(&kafka_offset_for_leader_epoch_request_partition_type, &partition, 1);
    body.topics = &topic;
    body.topics_count = 1;
    topic.topic = SPAN_LITERAL("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.current_leader_epoch = current;
    partition.leader_epoch = epoch;
    call_start(&h, &call, OFFSET_FOR_LEADER_EPOCH, version, &body);
    row =
        ((struct offset_for_leader_epoch_response *)call_wait(&h, &call))->topics[0].partitions[0];
    call_end(&call);
    return row;
}

/* Kafka refuses a partition that is named twice, once; an unknown isolation level as a whole. */
static void test_list_offsets__refuses_twins_and_unknown_levels(void **state) {
    struct list_offsets_request_partition partitions[4];
    struct list_offsets_response_topic *row;
    struct list_offsets_request_topic topic;
    struct list_offsets_request body;
    struct call call;

    harness_topic(&h, "t", 2);
    kafka_init(&kafka_list_offsets_request_type, &body, 1);
    kafka_init(&kafka_list_offsets_request_topic_type, &topic, 1);
    kafka_init(&kafka_list_offsets_request_partition_type, partitions, 4);
    body.topics = &topic;
    body.topics_count = 1;
    topic.name = SPAN_LITERAL("t");
    topic.partitions = partitions;
    topic.partitions_count = 4;
    for (int i = 0; i < 4; i++) {
        partitions[i].partition_index = i == 1;
        partitions[i].timestamp = -2;
    }
    call_start(&h, &call, LIST_OFFSETS, 7, &body);
    row = ((struct list_offsets_response *)call_wait(&h, &call))->topics;
    assert_int_equal(row->partitions_count, 2);
    assert_int_equal(row->partitions[0].partition_index, 1);
    assert_int_equal(row->partitions[0].error_code, 0);
    assert_int_equal(row->partitions[1].partition_index, 0);
    assert_int_equal(row->partitions[1].error_code, KAFKA_INVALID_REQUEST);
    call_end(&call);
    body.isolation_level = 2;
    topic.partitions_count = 1;
    call_start(&h, &call, LIST_OFFSETS, 7, &body);
    row = ((struct list_offsets_response *)call_wait(&h, &call))->topics;
    assert_int_equal(row->partitions[0].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    call_end(&call);
}

static void test_offset_for_leader_epoch__gives_the_end_or_undefined(void **state) {
    struct topic *topic = harness_topic(&h, "t", 1);

    append_records(&h, "t", 5, 1000);
    topic->partitions[0]->leader_epoch = 2;
    for (int16_t version = 2; version <= 4; version++) {
        assert_int_equal(epoch_end(version, 2, 2).end_offset, 5);
        assert_int_equal(epoch_end(version, 2, 2).leader_epoch, 2);
        assert_int_equal(epoch_end(version, -1, 3).end_offset, -1); /* yet to come */
        assert_int_equal(epoch_end(version, -1, 3).leader_epoch, -1);
        assert_int_equal(epoch_end(version, 1, 2).error_code, KAFKA_FENCED_LEADER_EPOCH);
        assert_int_equal(epoch_end(version, 3, 2).error_code, KAFKA_UNKNOWN_LEADER_EPOCH);
    }
}

/* ---- the cluster ---- */

static void test_api_versions__advertises_the_table(void **state) {
    for (int i = 0; i < 2 * API_VERSIONS_COUNT; i++) { /* the second time from the kept bytes */
        int16_t version = (int16_t)(i % API_VERSIONS_COUNT);
        struct api_versions_response *answer;
        struct api_versions_request body;
        struct call call;

        kafka_init(&kafka_api_versions_request_type, &body, 1);
        body.client_software_name = SPAN_LITERAL("apache-kafka-java");
        body.client_software_version = SPAN_LITERAL("4.2.0");
        call_start(&h, &call, API_VERSIONS, version, &body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->error_code, 0);
        assert_int_equal(answer->api_keys_count, broker_handlers_count);
        assert_int_equal(answer->api_keys[0].api_key, 0);
        assert_int_equal(answer->api_keys[0].min_version,
                         0); /* librdkafka looks for 0 before it compresses */
        assert_int_equal(answer->api_keys[0].max_version, 13);
        call_end(&call);
    }
}

static void test_api_versions__refuses_a_strange_software_name(void **state) {
    static const char *const names[] = {"", "-x", "x.", "a b", "\xc3\xa9"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct api_versions_request body;
        struct call call;

        kafka_init(&kafka_api_versions_request_type, &body, 1);
        body.client_software_name = span_text(names[i]);
        body.client_software_version = SPAN_LITERAL("1");
        call_start(&h, &call, API_VERSIONS, 3, &body);
        assert_int_equal(((struct api_versions_response *)call_wait(&h, &call))->error_code,
                         KAFKA_INVALID_REQUEST);
        call_end(&call);
    }
}

static void test_find_coordinator__is_this_node(void **state) {
    struct span keys[2] = {SPAN_LITERAL("g1"), SPAN_LITERAL("g2")};

    for (int16_t version = 0; version <= 6; version++) {
        struct find_coordinator_response *answer;
        struct find_coordinator_request body;
        struct call call;

        kafka_init(&kafka_find_coordinator_request_type, &body, 1);
        body.key = keys[0];
        body.coordinator_keys = keys;
        body.coordinator_keys_count = 2;
        call_start(&h, &call, FIND_COORDINATOR, version, &body);
        answer = call_wait(&h, &call);
        if (version >= 4) {
            assert_int_equal(answer->coordinators_count, 2);
            assert_true(span_equal(answer->coordinators[1].key, keys[1]));
            assert_int_equal(answer->coordinators[1].port, 9092);
        } else {
            assert_true(span_equal(answer->host, SPAN_LITERAL("broker.test")));
        }
        call_end(&call);
        if (version >= 1) {
            body.key_type = 1;
            call_start(&h, &call, FIND_COORDINATOR, version, &body);
            answer = call_wait(&h, &call);
            assert_int_equal(version >= 4 ? answer->coordinators[0].error_code : answer->error_code,
                             KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
            call_end(&call);
        }
    }
}

static int prepare_status;

static int on_prepare(void *userdata) {
    return prepare_status;
}

/* In a failed log the topic of the offsets cannot be made until a restart. Groups need no topic to
 * be asked for their offsets, and commits say themselves that they are not kept. */
static void test_find_coordinator__is_this_node_in_a_failed_log_too(void **state) {
    static const struct {
        int status;
        int16_t error;
        int32_t port;
    } rows[] = {
        {0, 0, 9092},
        {TOPIC_E_FAILED, 0, 9092},
        {TOPIC_E_FULL, KAFKA_COORDINATOR_NOT_AVAILABLE, -1},
        {-ENOMEM, KAFKA_COORDINATOR_NOT_AVAILABLE, -1},
    };
    struct span key = SPAN_LITERAL("g");

    h.config.prepare_coordinator = on_prepare;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int16_t version = 0; version <= 6; version++) {
            struct find_coordinator_response *answer;
            struct find_coordinator_request body;
            struct call call;
            bool batched = version >= 4;

            prepare_status = rows[i].status;
            kafka_init(&kafka_find_coordinator_request_type, &body, 1);
            body.key = key;
            body.coordinator_keys = &key;
            body.coordinator_keys_count = 1;
            call_start(&h, &call, FIND_COORDINATOR, version, &body);
            answer = call_wait(&h, &call);
            assert_int_equal(batched ? answer->coordinators[0].error_code : answer->error_code,
                             rows[i].error);
            assert_int_equal(batched ? answer->coordinators[0].port : answer->port, rows[i].port);
            call_end(&call);
        }
    }
}

static void test_init_producer_id__gives_new_ids_without_transactions(void **state) {
    for (int16_t version = 0; version <= 5; version++) {
        struct init_producer_id_response *answer;
        struct init_producer_id_request body;
        struct call call;

        kafka_init(&kafka_init_producer_id_request_type, &body, 1);
        body.transactional_id = SPAN_NULL;
        call_start(&h, &call, INIT_PRODUCER_ID, version, &body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->error_code, 0);
        assert_int_equal(answer->producer_id, 1000 + version);
        assert_int_equal(answer->producer_epoch, 0);
        call_end(&call);
        body.producer_id = 5; /* id and epoch come together or not at all (KIP-360) */
        if (version >= 3) {
            call_start(&h, &call, INIT_PRODUCER_ID, version, &body);
            answer = call_wait(&h, &call);
            assert_int_equal(answer->error_code, KAFKA_INVALID_REQUEST);
            call_end(&call);
        }
        body.producer_id = -1;
        body.transactional_id = SPAN_LITERAL("tx");
        call_start(&h, &call, INIT_PRODUCER_ID, version, &body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        assert_int_equal(answer->producer_id, -1);
        call_end(&call);
    }
}

/* A block of ids that is on its way, or waits for room, comes by itself; a failed log needs
 * somebody. */
static void test_init_producer_id__tells_a_failed_log_from_a_busy_one(void **state) {
    static const struct {
        int code;
        int16_t error;
    } rows[] = {
        {TOPIC_E_FAILED, KAFKA_STORAGE_ERROR},
        {TOPIC_E_FULL, KAFKA_COORDINATOR_LOAD_IN_PROGRESS},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int16_t version = 0; version <= 5; version++) {
            struct init_producer_id_response *answer;
            struct init_producer_id_request body;
            struct call call;

            fake_log_refuse_producers(h.log, rows[i].code);
            kafka_init(&kafka_init_producer_id_request_type, &body, 1);
            body.transactional_id = SPAN_NULL;
            call_start(&h, &call, INIT_PRODUCER_ID, version, &body);
            answer = call_wait(&h, &call);
            assert_int_equal(answer->error_code, rows[i].error);
            assert_int_equal(answer->producer_id, -1);
            assert_int_equal(answer->producer_epoch, -1);
            call_end(&call);
        }
    }
}

static void test_describe_cluster__has_one_broker(void **state) {
    for (int16_t version = 0; version <= 2; version++) {
        struct describe_cluster_response *answer;
        struct describe_cluster_request body;
        struct call call;

        kafka_init(&kafka_describe_cluster_request_type, &body, 1);
        call_start(&h, &call, DESCRIBE_CLUSTER, version, &body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->error_code, 0);
        assert_int_equal(answer->brokers_count, 1);
        assert_int_equal(answer->cluster_authorized_operations, INT32_MIN);
        call_end(&call);
    }
}

static void test_describe_configs__has_every_row_with_its_source(void **state) {
    struct span one[1] = {SPAN_LITERAL("retention.ms")};
    struct topic *topic = harness_topic(&h, "t", 1);

    assert_int_equal(topic_config_set(&topic->config, TOPIC_RETENTION_MS, SPAN_LITERAL("5000")), 0);
    /* a setting of the broker */
    assert_int_equal(
        topic_config_set(fake_log_defaults(h.log), TOPIC_SEGMENT_BYTES, SPAN_LITERAL("4096")), 0);
    for (int16_t version = 1; version <= 4; version++) {
        struct span another[1] = {SPAN_LITERAL("segment.bytes")};
        struct describe_configs_request_resource resources[4];
        struct describe_configs_response_config *config;
        struct describe_configs_response *answer;
        struct describe_configs_request body;
        struct call call;

        kafka_init(&kafka_describe_configs_request_type, &body, 1);
        kafka_init(&kafka_describe_configs_request_resource_type, resources, 4);
        body.resources = resources;
        body.resources_count = 4;
        body.include_synonyms = true;
        resources[0].resource_type = resources[2].resource_type = 2;
        resources[0].resource_name = SPAN_LITERAL("t");
        resources[0].configuration_keys = one;
        resources[0].configuration_keys_count = 1;
        resources[1].resource_type = 4;
        resources[1].resource_name = SPAN_LITERAL("0");
        resources[1].configuration_keys_count = -1;
        resources[2].resource_name = SPAN_LITERAL("absent");
        resources[3] = resources[0];
        resources[3].configuration_keys = another;
        call_start(&h, &call, DESCRIBE_CONFIGS, version, &body);
        answer = call_wait(&h, &call);
        assert_int_equal(answer->results[0].configs_count, 1);
        config = &answer->results[0].configs[0];
        assert_true(span_equal(config->value, SPAN_LITERAL("5000")));
        assert_int_equal(config->config_source, 1);
        assert_int_equal(config->synonyms_count, 1); /* log.retention.ms has no default */
        assert_true(answer->results[1].configs_count > 5);
        config = &answer->results[3].configs[0];
        assert_true(span_equal(config->value, SPAN_LITERAL("4096")));
        assert_int_equal(config->config_source, 4);
        assert_int_equal(config->synonyms_count, 2);
        assert_true(span_equal(config->synonyms[0].name, SPAN_LITERAL("log.segment.bytes")));
        assert_true(span_equal(config->synonyms[1].value, SPAN_LITERAL("1073741824")));
        assert_int_equal(config->synonyms[1].source, 5);
        assert_int_equal(answer->results[2].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        call_end(&call);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_metadata__creates_a_topic_in_every_version),
        TEST(test_metadata__waits_for_the_creation),
        TEST(test_metadata__creates_only_when_allowed),
        TEST(test_metadata__makes_kafkas_own_topics_as_kafka_does),
        TEST(test_metadata__of_all_and_of_none),
        TEST(test_metadata__by_id),
        TEST(test_metadata__tells_a_topic_once),
        TEST(test_metadata__refuses_ids_where_kafka_does),
        TEST(test_metadata__marks_kafkas_own_topics_G19),
        TEST(test_create_topics__in_every_version),
        TEST(test_create_topics__refuses),
        TEST(test_create_topics__takes_defaults_and_only_validates),
        TEST(test_delete_topics__by_name_and_by_id),
        TEST(test_create_partitions__makes_so_many_in_one_request),
        TEST(test_delete_topics__keeps_our_own),
        TEST(test_list_offsets__knows_every_special_timestamp),
        TEST(test_list_offsets__tells_damage_from_what_another_try_may_mend),
        TEST(test_list_offsets__refuses_twins_and_unknown_levels),
        TEST(test_offset_for_leader_epoch__gives_the_end_or_undefined),
        TEST(test_api_versions__advertises_the_table),
        TEST(test_api_versions__refuses_a_strange_software_name),
        TEST(test_find_coordinator__is_this_node),
        TEST(test_find_coordinator__is_this_node_in_a_failed_log_too),
        TEST(test_init_producer_id__gives_new_ids_without_transactions),
        TEST(test_init_producer_id__tells_a_failed_log_from_a_busy_one),
        TEST(test_describe_cluster__has_one_broker),
        TEST(test_describe_configs__has_every_row_with_its_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
