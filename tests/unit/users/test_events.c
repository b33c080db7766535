/* The records of each change, byte for byte where the original fixed them. outbox_add() is ours
 * here. */
#include "users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char seen[8192]; /* one line a record: topic|key|value|header=value,... */

int outbox_add(struct store_tx *tx, const struct trace *trace, const struct topic_record *records,
               size_t count, int64_t *ret_id) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        const struct topic_record *record = &records[i];
        size += (size_t)snprintf(seen + size, sizeof seen - size, "%s|%.*s|%.*s|", record->topic,
                                 (int)record->key.size, (const char *)record->key.data,
                                 record->value.data ? (int)record->value.size : 6,
                                 record->value.data ? (const char *)record->value.data : "(null)");
        for (size_t h = 0; h < record->header_count; h++) {
            size += (size_t)snprintf(
                seen + size, sizeof seen - size, "%.*s=%.*s,", (int)record->headers[h].name.size,
                (const char *)record->headers[h].name.data, (int)record->headers[h].value.size,
                (const char *)record->headers[h].value.data);
        }
        size += (size_t)snprintf(seen + size, sizeof seen - size, "\n");
    }
    return 0;
}

#define TIME "2026-11-22T10:00:00.123Z"
#define USER_JSON                                                                                  \
    "{\"id\":7,\"username\":\"john_doe\",\"email\":\"john@example.com\",\"role\":\"user\","        \
    "\"age\":25,\"full_name\":\"John Doe\",\"created_at\":\"" TIME "\",\"updated_at\":\"" TIME     \
    "\"}"
#define CLOUD_HEADERS(kind)                                                                        \
    "ce_specversion=1.0,ce_id=00010203-0405-0607-0809-0a0b0c0d0e0f,"                               \
    "ce_source=/users-service/aBcDeFgHiJkLmNoPqRsTuV,ce_type=org.eventbox.users." kind             \
    ",ce_subject=users/7,ce_time=" TIME ",content-type=application/json,"
#define ACTOR "\"actor\":{\"id\":null,\"role\":\"anonymous\",\"ip\":\"127.0.0.1\"}"

static const struct user john = {
    .id = 7,
    .username = {"john_doe", 8},
    .email = {"john@example.com", 16},
    .full_name = {"John Doe", 8},
    .role = USER_ROLE_USER,
    .has_age = true,
    .age = 25,
    .version = 1,
    .created_ms = 1795341600123,
    .updated_ms = 1795341600123,
};

static struct event event_of(enum users_event kind, bool all_kinds) {
    struct event event = {.kind = kind,
                          .now_ms = 1795341600123,
                          .cluster_id = "aBcDeFgHiJkLmNoPqRsTuV",
                          .all_kinds = all_kinds};
    for (uint8_t i = 0; i < 16; i++) {
        event.id.bytes[i] = i;
    }
    return event;
}

static const struct caller anonymous = {.open = true, .peer = "127.0.0.1"};

static void test_event_add__created_has_four_records(void **state) {
    struct event event = event_of(USERS_EVENT_CREATED, false);
    assert_int_equal(event_add(NULL, &event, &anonymous, &john, NULL, SPAN_NULL), 0);
    assert_string_equal(seen,
                        "notification|user_created|User created with ID: 7|\n"
                        "user_created|7|" USER_JSON "|\n"
                        "users.events|7|{\"user_id\":7,\"user\":" USER_JSON "," ACTOR
                        ",\"version\":1,\"at\":\"" TIME
                        "\"}|" CLOUD_HEADERS("user_created") "\n"
                                                             "users.snapshot|7|" USER_JSON "|\n");
}

static void test_event_add__updated_stays_off_notification_unless_asked_for(void **state) {
    struct event event = event_of(USERS_EVENT_UPDATED, false);
    assert_int_equal(event_add(NULL, &event, &anonymous, &john, NULL, SPAN_LITERAL("{\"age\":1}")),
                     0);
    assert_null(strstr(seen, "notification|"));
    assert_non_null(strstr(seen, "\"changed\":{\"age\":1}"));
    event.all_kinds = true;
    assert_int_equal(event_add(NULL, &event, &anonymous, &john, NULL, SPAN_NULL), 0);
    assert_non_null(strstr(seen, "notification|user_updated|User updated with ID: 7|\n"));
    assert_null(strstr(seen, "user_created|"));
}

static void test_event_add__deleted_leaves_a_tombstone(void **state) {
    struct event event = event_of(USERS_EVENT_DELETED, true);
    assert_int_equal(event_add(NULL, &event, &anonymous, &john, NULL, SPAN_NULL), 0);
    assert_non_null(strstr(seen, "notification|user_deleted|User deleted with ID: 7|\n"));
    assert_non_null(strstr(seen, "users.snapshot|7|(null)|\n"));
}

static void test_event_add__login_goes_to_users_events_alone(void **state) {
    struct event event = event_of(USERS_EVENT_LOGGED_IN, true);
    struct caller caller = {.known = true, .user_id = 7, .role = USER_ROLE_USER, .peer = "::1"};
    assert_int_equal(event_add(NULL, &event, &caller, &john, "sid-1", SPAN_NULL), 0);
    assert_string_equal(seen, "users.events|7|{\"user_id\":7,\"user\":" USER_JSON
                              ",\"actor\":{\"id\":7,\"role\":\"user\",\"ip\":\"::1\"},"
                              "\"session_id\":\"sid-1\",\"version\":1,\"at\":\"" TIME
                              "\"}|" CLOUD_HEADERS("user_logged_in") "\n");
}

static void test_user_write_json__writes_null_for_what_is_absent(void **state) {
    struct user user = john;
    struct text json;
    user.has_age = false;
    user.full_name = SPAN_NULL;
    text_init(&json);
    user_write_json(&json, NULL, &user);
    assert_non_null(strstr(json.data, "\"age\":null,\"full_name\":null,"));
    text_deinit(&json);
}

static void test_user_keep__owns_its_bytes_and_cuts_what_is_too_long(void **state) {
    struct user_copy copy;
    char name[200];
    struct user user = john;
    memset(name, 'x', sizeof name);
    user.username = span_of(name, sizeof name);
    user.full_name = SPAN_NULL;
    user_keep(&user, &copy);
    memset(name, 'y', sizeof name);
    assert_int_equal(copy.user.username.size, USER_NAME_BYTES);
    assert_memory_equal(copy.user.username.data, "xxxx", 4);
    assert_memory_equal(copy.user.email.data, "john@example.com", 16);
    assert_null(copy.user.full_name.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_add__created_has_four_records),
        cmocka_unit_test(test_event_add__updated_stays_off_notification_unless_asked_for),
        cmocka_unit_test(test_event_add__deleted_leaves_a_tombstone),
        cmocka_unit_test(test_event_add__login_goes_to_users_events_alone),
        cmocka_unit_test(test_user_write_json__writes_null_for_what_is_absent),
        cmocka_unit_test(test_user_keep__owns_its_bytes_and_cuts_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
