/* What a record asks for: ours, another program's, and what nobody understands. */
#include "notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ORIGIN "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define DATA(name, email)                                                                          \
    "{\"user_id\":7,\"user\":{\"id\":7,\"username\":\"john_doe\",\"email\":" email                 \
    ",\"full_name\":" name "}}"
#define GOOD_DATA DATA("\"John Doe\"", "\"john@example.com\"")

struct header {
    const char *name, *value;
};

#define CLOUD(type)                                                                                \
    {"ce_specversion", "1.0"}, {"ce_id", "id-1"}, {"ce_source", "/users-service/x"}, {             \
        "ce_type", "org.eventbox.users." type                                                      \
    }

static struct arena arena;

static int teardown(void **state) {
    arena_deinit(&arena);
    return 0;
}

static int setup(void **state) {
    arena_init(&arena, MIB(8));
    return 0;
}

static struct event decode(bool cloud_events, int foreign_ids, struct span value,
                           const struct header *headers) {
    struct topic_header list[16];
    struct topic_message message = {
        .offset = 42, .key = SPAN_LITERAL("user_created"), .value = value};
    struct event event;
    for (; headers && headers[message.header_count].name; message.header_count++) {
        list[message.header_count].name = span_text(headers[message.header_count].name);
        list[message.header_count].value = span_text(headers[message.header_count].value);
    }
    message.headers = list;
    const struct event_context context = {
        .topic = cloud_events ? "users.events" : "notification",
        .cloud_events = cloud_events,
        .origin = ORIGIN,
        .foreign_ids = foreign_ids,
    };
    assert_int_equal(event_decode(&context, &message, &arena, &event), 0);
    return event;
}

static void assert_span(struct span span, const char *text) {
    assert_true(span_equal(span, span_text(text)));
}

static void test_event_decode__our_registration_is_a_welcome(void **state) {
    const struct header headers[] = {
        CLOUD("user_created"),
        {"eventbox-origin", ORIGIN},
        {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {0}};
    struct event event = decode(true, NOTIFY_FOREIGN_LOCAL, SPAN_LITERAL(GOOD_DATA), headers);
    assert_int_equal(event.action, EVENT_WELCOME);
    assert_span(event.source, "/users-service/x");
    assert_span(event.event_id, "id-1");
    assert_false(event.weak);
    assert_true(event.has_user_id);
    assert_int_equal(event.user_id, 7);
    assert_span(event.address, "john@example.com");
    assert_span(event.subject, "Welcome, John Doe");
    assert_span(event.dedupe_key, "welcome:7");
    assert_true(event.has_trace);
}

static void test_event_decode__without_full_name_the_username_is_greeted(void **state) {
    const struct header headers[] = {CLOUD("user_created"), {"eventbox-origin", ORIGIN}, {0}};
    struct event event = decode(true, NOTIFY_FOREIGN_LOCAL,
                                SPAN_LITERAL(DATA("null", "\"john@example.com\"")), headers);
    assert_span(event.subject, "Welcome, john_doe");
}

static void test_event_decode__a_subject_is_one_line(void **state) {
    const struct header headers[] = {CLOUD("user_created"), {"eventbox-origin", ORIGIN}, {0}};
    struct event event =
        decode(true, NOTIFY_FOREIGN_LOCAL,
               SPAN_LITERAL(DATA("\"a\\r\\nBcc: x\"", "\"john@example.com\"")), headers);
    assert_span(event.subject, "Welcome, a  Bcc: x");
}

static void test_event_decode__other_kinds_only_advance(void **state) {
    static const char *const kinds[] = {"org.eventbox.users.user_updated",
                                        "org.eventbox.users.user_deleted",
                                        "org.eventbox.users.user_logged_in", "com.example.other"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct header headers[] = {
            {"ce_id", "1"}, {"ce_source", "s"}, {"ce_type", kinds[i]}, {0}};
        assert_int_equal(decode(true, 0, SPAN_LITERAL("{}"), headers).action, EVENT_ADVANCE);
    }
}

static void test_event_decode__another_programs_registration_has_no_address(void **state) {
    const struct header headers[] = {CLOUD("user_created"), {0}};
    struct event event = decode(true, NOTIFY_FOREIGN_LOCAL, SPAN_LITERAL(GOOD_DATA), headers);
    assert_int_equal(event.action, EVENT_FOREIGN);
    assert_null(event.address.data);
    assert_false(event.has_user_id);
    assert_null(event.dedupe_key.data);

    event = decode(true, NOTIFY_FOREIGN_TRUST, SPAN_LITERAL(GOOD_DATA), headers);
    assert_int_equal(event.action, EVENT_WELCOME);
    assert_span(event.dedupe_key, "welcome:/users-service/x:7");
}

static void test_event_decode__poison_keeps_the_raw_bytes(void **state) {
    static const struct {
        const char *value;
        struct header headers[6];
    } cases[] = {
        {GOOD_DATA, {{0}}},
        {GOOD_DATA, {{"ce_type", "org.eventbox.users.user_created"}, {0}}},
        {"no json at all", {CLOUD("user_created"), {0}}},
        {"[]", {CLOUD("user_created"), {0}}},
        {"{\"user_id\":\"7\"}", {CLOUD("user_created"), {0}}},
        {"{\"user_id\":7}", {CLOUD("user_created"), {0}}},
        {"{\"user_id\":0,\"user\":{}}", {CLOUD("user_created"), {0}}},
        {DATA("null", "\"nobody\""), {CLOUD("user_created"), {0}}},
        {DATA("null", "7"), {CLOUD("user_created"), {0}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct event event = decode(true, 0, span_text(cases[i].value), cases[i].headers);
        if (event.action != EVENT_POISON || !event.error) {
            fail_msg("%s", cases[i].value);
        }
        assert_span(event.value, cases[i].value);
        assert_span(event.key, "user_created");
        assert_int_equal(((const char *)event.headers.data)[0], '[');
    }
}

static void test_event_decode__our_sentence_only_advances(void **state) {
    const struct header headers[] = {{"eventbox-origin", ORIGIN}, {0}};
    assert_int_equal(decode(false, 0, SPAN_LITERAL("User created with ID: 1"), headers).action,
                     EVENT_ADVANCE);
}

static void test_event_decode__another_programs_sentence_is_an_entry(void **state) {
    const struct header foreign[] = {{"eventbox-origin", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"},
                                     {0}};
    struct event event =
        decode(false, NOTIFY_FOREIGN_LOCAL, SPAN_LITERAL("User created with ID: 15"), NULL);
    assert_int_equal(event.action, EVENT_FOREIGN);
    assert_true(event.weak);
    assert_span(event.source, "log:notification:00000000-0000-0000-0000-000000000000");
    assert_span(event.event_id, "42");
    assert_span(event.subject, "user_created");
    assert_span(event.message, "User created with ID: 15");
    assert_false(event.has_user_id);
    assert_null(event.address.data);
    assert_int_equal(decode(false, 0, SPAN_LITERAL("x"), foreign).action, EVENT_FOREIGN);

    event = decode(false, NOTIFY_FOREIGN_TRUST, SPAN_LITERAL("User created with ID: 15"), NULL);
    assert_true(event.has_user_id);
    assert_int_equal(event.user_id, 15);
    assert_null(event.address.data);
}

static void test_event_decode__sentences_that_are_no_text_are_poison(void **state) {
    char *large = calloc(1, EVENT_TEXT_BYTES_MAX + 1);
    memset(large, 'x', EVENT_TEXT_BYTES_MAX + 1);
    assert_int_equal(decode(false, 0, SPAN_NULL, NULL).action, EVENT_POISON);
    assert_int_equal(decode(false, 0, SPAN_LITERAL("\xff\xfe"), NULL).action, EVENT_POISON);
    assert_int_equal(decode(false, 0, span_of(large, EVENT_TEXT_BYTES_MAX), NULL).action,
                     EVENT_FOREIGN);
    assert_int_equal(decode(false, 0, span_of(large, EVENT_TEXT_BYTES_MAX + 1), NULL).action,
                     EVENT_POISON);
    free(large);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_event_decode__our_registration_is_a_welcome),
        TEST(test_event_decode__without_full_name_the_username_is_greeted),
        TEST(test_event_decode__a_subject_is_one_line),
        TEST(test_event_decode__other_kinds_only_advance),
        TEST(test_event_decode__another_programs_registration_has_no_address),
        TEST(test_event_decode__poison_keeps_the_raw_bytes),
        TEST(test_event_decode__our_sentence_only_advances),
        TEST(test_event_decode__another_programs_sentence_is_an_entry),
        TEST(test_event_decode__sentences_that_are_no_text_are_poison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
