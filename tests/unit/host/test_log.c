#include "support.h"

#include "console_line.h"
#include "log_internal.h"

/* A sink that keeps the last record as the line that the console would write. */
struct probe {
    struct log_sink sink;
    char line[16384];
    size_t size;
    int count;
    void (*flushed)(void *userdata);
    void *flushed_userdata;
};

static void probe_encode(struct log_sink *sink, const struct log_record *record) {
    struct probe *probe = container_of(sink, struct probe, sink);
    struct console_line line = {.at = probe->line, .end = probe->line + sizeof probe->line - 1};
    struct console_time time = {0};
    console_line_json(&line, &time, record);
    *line.at = '\0';
    probe->size = (size_t)(line.at - probe->line);
    probe->count++;
}

static void probe_flush(struct log_sink *sink, int64_t deadline_ms, void (*flushed)(void *userdata),
                        void *userdata) {
    struct probe *probe = container_of(sink, struct probe, sink);
    probe->flushed = flushed;
    probe->flushed_userdata = userdata;
}

static const struct log_sink_ops probe_ops = {"probe", probe_encode, probe_flush};
static struct probe probe;
static struct log log_;
static struct logger logger;
static struct clock_manual manual;

static int setup(void **state) {
    (void)state;
    clock_manual_init(&manual, INT64_C(1767225600123) * NS_PER_MS); /* 2026-01-01T00:00:00.123Z */
    memset(&probe, 0, sizeof probe);
    probe.sink.ops = &probe_ops;
    log_init(&log_, &manual.clock, LOG_LEVEL_INFO);
    log_add_sink(&log_, &probe.sink);
    logger = (struct logger){.log = &log_, .service = "user-service"};
    return 0;
}

static void test_log_write__has_the_shape_of_the_original(void **state) {
    (void)state;
    struct trace trace = {.trace_id = {0xAB, 0xCD}, .span_id = {1}};
    log_emit(&logger, LOG_USERS_CREATED, &trace, LOG_INT("user_id", 123), LOG_TEXT("role", "user"),
             LOG_BOOL("first", true), LOG_DOUBLE("share", 0.5));
    assert_string_equal(
        probe.line,
        "{\"timestamp\":\"2026-01-01T00:00:00.123Z\",\"level\":\"INFO\",\"service\":\"user-"
        "service\","
        "\"action\":\"user_created\",\"user_id\":123,\"details\":{\"role\":\"user\",\"first\":true,"
        "\"share\":0.5},\"message\":\"user created\","
        "\"trace_id\":\"abcd0000000000000000000000000000\"}\n");
}

static void test_log_write__lifts_user_id_from_any_place(void **state) {
    (void)state;
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_INT("a", 1), LOG_INT("user_id", 7),
             LOG_INT("b", 2));
    assert_contains(probe.line, "\"user_id\":7,\"details\":{\"a\":1,\"b\":2}");
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_INT("a", 1), LOG_INT("user_id", -7));
    assert_contains(probe.line, "\"user_id\":-7,\"details\":{\"a\":1}");
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_TEXT("user_id", "7"));
    assert_contains(probe.line, "\"details\":{\"user_id\":\"7\"}");
    log_emit(&logger, LOG_USERS_CREATED, NULL);
    assert_contains(probe.line, "\"details\":{}");
    assert_null(strstr(probe.line, "trace_id"));
}

static void test_log_emit__below_the_level_evaluates_nothing(void **state) {
    (void)state;
    int evaluated = 0;
    log_emit(&logger, LOG_HTTP_REQUEST, NULL, LOG_INT("n", ++evaluated));
    assert_int_equal(probe.count + evaluated, 0);
    logger.debug = true;
    log_emit(&logger, LOG_HTTP_REQUEST, NULL, LOG_INT("n", ++evaluated));
    assert_int_equal(probe.count + evaluated, 2);
}

static void test_log_write__makes_any_bytes_valid(void **state) {
    (void)state;
    char big[10000];
    memset(big, 'x', sizeof big);
    log_emit(&logger, LOG_USERS_CREATED, NULL,
             LOG_SPAN("bad", SPAN_LITERAL("a\"\\\n\x01\x7f\xff"
                                          "b")));
    assert_contains(probe.line, "\"bad\":\"a\\\"\\\\\\n\\u0001\\u007f\xEF\xBF\xBD"
                                "b\"");
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_SPAN("big", span_of(big, sizeof big)));
    assert_true(probe.size > 4096 && probe.size < 4500);
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_SPAN("none", SPAN_NULL),
             LOG_DOUBLE("nan", __builtin_nan("")), LOG_INT("least", INT64_MIN));
    assert_contains(probe.line, "{\"none\":null,\"nan\":null,\"least\":-9223372036854775808}");
}

static void test_log_write__integers_of_every_length(void **state) {
    (void)state;
    char expected[64];
    uint64_t power = 1;
    for (int digits = 1; digits <= 19; digits++, power *= 10) {
        const int64_t values[] = {(int64_t)power - 1, (int64_t)power, -(int64_t)power};
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
            log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_INT("n", values[i]), LOG_INT("end", 1));
            snprintf(expected, sizeof expected, "{\"n\":%lld,\"end\":1}", (long long)values[i]);
            assert_contains(probe.line, expected);
        }
    }
    log_emit(&logger, LOG_USERS_CREATED, NULL, LOG_INT("most", INT64_MAX));
    assert_contains(probe.line, "{\"most\":9223372036854775807}");
}

/* In rooms of exactly that size, so that a byte too many is seen by the sanitizer. */
static void test_console_line_json__fits_or_is_full_and_never_writes_beyond(void **state) {
    (void)state;
    const struct log_field fields[] = {LOG_TEXT("plain", "text"), LOG_INT("n", -123456),
                                       LOG_TEXT("odd", "a\nb"), LOG_BOOL("yes", true)};
    struct log_record record = {.wall_ns = manual.wall_ns,
                                .level = LOG_LEVEL_INFO,
                                .service = "broker",
                                .action = "x",
                                .message = "hello",
                                .details = fields,
                                .detail_count = ARRAY_SIZE(fields)};
    char whole[512];
    struct console_line line = {.at = whole, .end = whole + sizeof whole};
    struct console_time time = {0};
    console_line_json(&line, &time, &record);
    size_t size = (size_t)(line.at - whole);
    assert_false(line.full);
    for (size_t room = 0; room <= size; room++) {
        char *text = malloc(room + !room);
        line = (struct console_line){.at = text, .end = text + room};
        console_line_json(&line, &time, &record);
        assert_int_equal(line.full, room < size);
        if (room == size) {
            assert_memory_equal(text, whole, size);
        }
        free(text);
    }
}

static void test_console_line_pretty__is_aligned_and_escapes_the_terminal(void **state) {
    (void)state;
    char text[512];
    struct console_line line = {.at = text, .end = text + sizeof text - 1};
    struct console_time time = {0};
    struct log_field field = LOG_TEXT("path", "/\033[2J\xC2\x9B/a b");
    struct log_record record = {.wall_ns = manual.wall_ns,
                                .level = LOG_LEVEL_WARN,
                                .service = "broker",
                                .action = "x",
                                .message = "hello",
                                .details = &field,
                                .detail_count = 1};
    console_line_pretty(&line, &time, &record, false);
    *line.at = '\0';
    assert_string_equal(text,
                        "00:00:00.123 WARN  broker               hello                         "
                        "path=\"/\\u001b[2J\\u009b/a b\"\n");
}

static void on_flushed(void *userdata) {
    (*(int *)userdata)++;
}

static void test_log_flush__waits_for_every_sink_once(void **state) {
    (void)state;
    struct probe other = {.sink.ops = &probe_ops};
    int flushed = 0;
    log_add_sink(&log_, &other.sink);
    log_flush(&log_, 1000, on_flushed, &flushed);
    probe.flushed(probe.flushed_userdata);
    assert_int_equal(flushed, 0);
    other.flushed(other.flushed_userdata);
    assert_int_equal(flushed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_log_write__has_the_shape_of_the_original, setup),
        cmocka_unit_test_setup(test_log_write__lifts_user_id_from_any_place, setup),
        cmocka_unit_test_setup(test_log_emit__below_the_level_evaluates_nothing, setup),
        cmocka_unit_test_setup(test_log_write__makes_any_bytes_valid, setup),
        cmocka_unit_test_setup(test_log_write__integers_of_every_length, setup),
        cmocka_unit_test_setup(test_console_line_json__fits_or_is_full_and_never_writes_beyond,
                               setup),
        cmocka_unit_test_setup(test_console_line_pretty__is_aligned_and_escapes_the_terminal,
                               setup),
        cmocka_unit_test_setup(test_log_flush__waits_for_every_sink_once, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
