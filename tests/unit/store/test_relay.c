#include "fake_topics.h"
#include "support.h"

#include <eventbox/store/relay.h>

static struct fixture f;
static struct fake_topics topics;
static struct relay *relay;
static struct relay_config relay_config;
static int started_status, error_count, published_count;
static bool drained;
static char last_published[64];

static void on_error(void *userdata, int status, const char *text) {
    error_count++;
}

static void on_published(void *userdata, const struct trace *trace, const char *topic,
                         int64_t offset) {
    published_count++;
    snprintf(last_published, sizeof last_published, "%s@%d", topic, (int)offset);
}

static void on_started(void *userdata, int status) {
    started_status = status;
}

static void on_drained(void *userdata) {
    drained = true;
}

static void turn(void) {
    fixture_turn(&f);
}

static int behind_count;
static int64_t behind_last_id, behind_cursor;

static void on_behind(void *userdata, int64_t last_outbox_id, int64_t cursor) {
    behind_count++;
    behind_last_id = last_outbox_id;
    behind_cursor = cursor;
}

static void start_relay_with(const struct relay_id_source *sources, size_t count) {
    started_status = -1;
    relay_config = (struct relay_config){
        .loop = f.loop,
        .store = f.store,
        .topics = &topics.port,
        .copy_notifications = true,
        .id_sources = sources,
        .id_source_count = count,
        .on_behind = on_behind,
        .on_error = on_error,
        .on_published = on_published,
    };
    assert_int_equal(relay_start(&relay_config, on_started, NULL, &relay), 0);
    while (started_status == -1) {
        turn();
    }
    assert_int_equal(started_status, 0);
}

static void start_relay(void) {
    start_relay_with(NULL, 0);
}

static void drain_relay(void) {
    drained = false;
    relay_drain(relay, 10000, on_drained, NULL);
    while (!drained) {
        turn();
    }
    relay = NULL;
}

static int setup(void **state) {
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), 0);
    fake_topics_init(&topics, f.loop);
    error_count = published_count = 0;
    return 0;
}

static int teardown(void **state) {
    if (relay) {
        drain_relay();
    }
    fixture_deinit(&f);
    fake_topics_deinit(&topics);
    return 0;
}

static const char *event_key = "1";

static int add_event(struct store_tx *tx, struct test_job *job) {
    char value[32];
    snprintf(value, sizeof value, "event %d", (int)job->value);
    struct topic_header header = {SPAN_LITERAL("kind"), SPAN_LITERAL("test")};
    struct topic_record records[] = {
        {.topic = "users.events",
         .partition = -1,
         .key = span_text(event_key),
         .value = span_text(value),
         .headers = &header,
         .header_count = 1},
        {.topic = "notification",
         .partition = 0,
         .key = SPAN_LITERAL("user_created"),
         .value = span_text(value)},
    };
    struct trace trace = {.trace_id = {1}, .span_id = {2}, .flags = 1};
    return outbox_add(tx, job->value % 2 ? &trace : NULL, records, 2, &job->value);
}

static void add_events(int first, int count) {
    for (int i = first; i < first + count; i++) {
        int64_t value = i;
        assert_int_equal(fixture_write(&f, add_event, &value), 0);
        assert_true(value > 0);
    }
}

static int64_t end_of(const char *name) {
    const struct fake_topic *topic = fake_topics_find(&topics, name);
    return topic ? topic->end : 0;
}

static void wait_for_events(int64_t count) {
    while (end_of("users.events") < count) {
        turn();
    }
    struct relay_stats stats;
    do { /* the answer to the append */
        turn();
        relay_stats(relay, &stats);
    } while (stats.published_rows < 1);
}

static void assert_events(int count) {
    const struct fake_topic *topic = fake_topics_find(&topics, "users.events");
    assert_int_equal(topic->end, count);
    for (int i = 0; i < count; i++) {
        char value[32];
        snprintf(value, sizeof value, "event %d", i);
        assert_true(span_equal(topic->records[i].value, span_text(value)));
    }
}

static int64_t cursor_of_log(void) {
    const struct fake_topic *topic = fake_topics_find(&topics, "__eventbox_relay");
    return atoll(topic->records[topic->end - 1].value.data);
}

static void test_relay__appends_rows_in_order_with_headers_and_copies(void **state) {
    start_relay();
    add_events(0, 20);
    wait_for_events(20);
    assert_events(20);
    assert_int_equal(end_of("notification"), 20);
    assert_int_equal(end_of("notifications"), 20);
    assert_int_equal(cursor_of_log(), 20);
    char origin[UUID_TEXT_SIZE];
    uuid_format(store_uuid(f.store), origin);
    const struct topic_message *one = &fake_topics_find(&topics, "users.events")->records[1];
    assert_true(span_equal(fake_header(one, "eventbox-origin"), span_text(origin)));
    assert_true(span_equal(fake_header(one, "kind"), SPAN_LITERAL("test")));
    assert_true(
        span_equal(fake_header(one, "traceparent"),
                   SPAN_LITERAL("00-01000000000000000000000000000000-0200000000000000-01")));
    assert_true(one->timestamp_ms > 0);
    const struct topic_message *zero = &fake_topics_find(&topics, "notifications")->records[0];
    assert_null(fake_header(zero, "traceparent").data);
    assert_true(span_equal(zero->key, SPAN_LITERAL("user_created")));
    while (published_count < 20) {
        turn();
    }
    assert_string_equal(last_published, "users.events@19");
    assert_int_equal(error_count, 0);
}

static int no_rows(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt = NULL;
    assert_int_equal(store_prepare(tx, "SELECT count(*) FROM outbox", &stmt), 0);
    assert_int_equal(store_step(stmt), STORE_ROW);
    job->value = store_column_int(stmt, 0);
    return 0;
}

static void test_relay_drain__publishes_and_removes_everything(void **state) {
    add_events(0, 600); /* several batches */
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.outbox_rows, 600);
    start_relay();
    drain_relay();
    assert_events(600);
    int64_t rows = -1;
    assert_int_equal(fixture_read(&f, no_rows, &rows), 0);
    assert_int_equal(rows, 0);
    store_stats(f.store, &stats);
    assert_int_equal(stats.outbox_rows, 0);
}

static void copy_database(const char *from, const char *to) {
    char command[400];
    snprintf(command, sizeof command,
             "cd %s && rm -f %s* && for s in '' -wal; do cp %s$s %s$s; done", f.folder, to, from,
             to);
    assert_int_equal(system(command), 0);
}

/* The database as a crash leaves it at this moment: its file and its WAL. */
static void crash_and_restore(void) {
    drain_relay();
    fixture_close(&f);
    char command[200];
    snprintf(command, sizeof command,
             "cd %s && rm -f x.db* && for s in '' -wal; do mv c.db$s x.db$s; done", f.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(fixture_open(&f), 0);
}

static void test_relay__a_crash_before_removing_publishes_nothing_twice(void **state) {
    start_relay();
    add_events(0, 5);
    wait_for_events(5);
    copy_database("x.db", "c.db"); /* published, not yet removed */
    crash_and_restore();
    int64_t rows = 0;
    assert_int_equal(fixture_read(&f, no_rows, &rows), 0);
    assert_int_equal(rows, 5);
    start_relay();
    add_events(5, 1);
    wait_for_events(6);
    drain_relay();
    assert_events(6);
}

static void test_relay__ids_rise_above_a_cursor_that_leads(void **state) {
    start_relay();
    add_events(0, 2);
    wait_for_events(2);
    copy_database("x.db", "c.db");
    add_events(2, 3);
    wait_for_events(5);
    crash_and_restore(); /* an older copy: it knows ids 1 and 2, the log 1 to 5 */
    start_relay();
    int64_t value = 5;
    assert_int_equal(fixture_write(&f, add_event, &value), 0);
    assert_int_equal(value, 6);
    wait_for_events(6);
    drain_relay();
    assert_events(6);
}

static int add_note(struct store_tx *tx, struct test_job *job) {
    struct store_stmt *stmt;
    int r = store_prepare(tx, "INSERT INTO test_notes (name) VALUES ($1) RETURNING id", &stmt);
    char name[32];
    snprintf(name, sizeof name, "note %d", (int)job->value);
    if (r == 0) {
        store_bind_text(stmt, 1, span_text(name));
        r = store_step(stmt);
        job->value = r == STORE_ROW ? store_column_int(stmt, 0) : 0;
    }
    return r == STORE_ROW ? store_run(stmt, NULL) : r;
}

/* Keys of users.events are ids of notes here: those of our origin that the log names are not given
 * out again, in the same transaction as the outbox's. */
static void test_relay__ids_of_rows_rise_above_all_that_the_log_names(void **state) {
    static const struct relay_id_source sources[] = {{"users.events", "test_notes"},
                                                     {"no.such.topic", "test_notes"}};
    start_relay();
    add_events(0, 2);
    wait_for_events(2);
    copy_database("x.db", "c.db");
    event_key = "41";
    add_events(2, 1);
    event_key = "7";
    add_events(3, 1);
    event_key = "1";
    wait_for_events(4);
    fake_foreign_record(&topics, "users.events", "999");
    crash_and_restore();
    behind_count = 0;
    start_relay_with(sources, 2);
    assert_int_equal(behind_count, 1);
    assert_int_equal(behind_last_id, 2);
    assert_int_equal(behind_cursor, 4);
    int64_t value = 0;
    assert_int_equal(fixture_write(&f, add_note, &value), 0);
    assert_int_equal(value, 42);
    drain_relay();
    start_relay_with(sources, 2); /* now that they agree nothing is said */
    assert_int_equal(behind_count, 1);
}

static void test_relay__another_store_begins_at_its_own_cursor(void **state) {
    start_relay();
    add_events(0, 3);
    wait_for_events(3);
    drain_relay();
    fixture_close(&f);
    assert_int_equal(unlink(f.path), 0);
    assert_int_equal(fixture_open(&f), 0);
    for (int i = 0; i < 2; i++) { /* with no cursor of its own, then with one */
        start_relay();
        add_events(3 + i, 1);
        wait_for_events(4 + i);
        assert_int_equal(cursor_of_log(), 1 + i);
        drain_relay();
    }
    assert_events(5);
}

static void test_relay__retries_while_the_log_is_full(void **state) {
    topics.refuse_count = 3;
    topics.refuse_status = TOPIC_E_FULL;
    start_relay();
    add_events(0, 4);
    wait_for_events(4);
    drain_relay();
    assert_events(4);
    assert_int_equal(error_count, 1);
}

static void test_relay__asks_the_log_when_an_answer_was_lost(void **state) {
    start_relay();
    topics.lose_answer_count = 1; /* it happened all the same */
    add_events(0, 1);
    topics.fail_count = 0;
    while (end_of("users.events") < 1) {
        turn();
    }
    add_events(1, 1);
    wait_for_events(2);
    topics.fail_count = 1; /* this one did not happen */
    add_events(2, 1);
    wait_for_events(3);
    drain_relay();
    assert_events(3);
    assert_int_equal(error_count, 2);
}

static void test_relay__splits_what_is_too_large_for_one_append(void **state) {
    add_events(0, 20);
    topics.records_max = 8; /* two rows and the cursor */
    start_relay();
    wait_for_events(20);
    drain_relay();
    assert_events(20);
    assert_int_equal(error_count, 0);
}

static void test_relay_drain__ends_at_its_deadline(void **state) {
    start_relay();
    topics.hold = true;
    add_events(0, 1);
    while (end_of("users.events") < 1) {
        turn();
    }
    drained = false;
    relay_drain(relay, 20, on_drained, NULL);
    while (!drained) {
        turn();
    }
    relay = NULL;
    fake_topics_release(&topics); /* the last answer frees what was left */
    for (int i = 0; i < 10; i++) {
        turn();
    }
}

static int fail_after_adding(struct store_tx *tx, struct test_job *job) {
    assert_int_equal(add_event(tx, job), 0);
    return USERS_E_EXISTS;
}

static void test_outbox_add__is_taken_back_with_its_body(void **state) {
    int64_t value = 0;
    assert_int_equal(fixture_write(&f, fail_after_adding, &value), USERS_E_EXISTS);
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.outbox_rows, 0);
    assert_int_equal(fixture_read(&f, no_rows, &value), 0);
    assert_int_equal(value, 0);
}

static void test_outbox_add__refuses_beyond_its_bound(void **state) {
    fixture_close(&f);
    f.config.outbox_rows_max = 3;
    assert_int_equal(fixture_open(&f), 0);
    add_events(0, 3);
    int64_t value = 3;
    assert_int_equal(fixture_write(&f, add_event, &value), STORE_E_OUTBOX_FULL);
    fixture_close(&f); /* counted anew at the next start */
    assert_int_equal(fixture_open(&f), 0);
    assert_int_equal(fixture_write(&f, add_event, &value), STORE_E_OUTBOX_FULL);
    start_relay();
    drain_relay();
    assert_int_equal(fixture_write(&f, add_event, &value), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_relay__appends_rows_in_order_with_headers_and_copies),
        TEST(test_relay_drain__publishes_and_removes_everything),
        TEST(test_relay__a_crash_before_removing_publishes_nothing_twice),
        TEST(test_relay__ids_rise_above_a_cursor_that_leads),
        TEST(test_relay__ids_of_rows_rise_above_all_that_the_log_names),
        TEST(test_relay__another_store_begins_at_its_own_cursor),
        TEST(test_relay__retries_while_the_log_is_full),
        TEST(test_relay__asks_the_log_when_an_answer_was_lost),
        TEST(test_relay__splits_what_is_too_large_for_one_append),
        TEST(test_relay_drain__ends_at_its_deadline),
        TEST(test_outbox_add__is_taken_back_with_its_body),
        TEST(test_outbox_add__refuses_beyond_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
