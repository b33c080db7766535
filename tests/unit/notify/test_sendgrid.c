/* The adapter is two pure functions: the request for a delivery, the meaning of an answer. */
#include "provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct provider_settings settings = {
    .url = "http://127.0.0.1:8099/",
    .api_key = "SG.key",
    .from_address = "no-reply@example.com",
    .from_name = "Eventbox",
};
enum { NOW_S = 1795341600 };
static const int64_t now_ms = NOW_S * INT64_C(1000);

static void test_build__writes_the_v3_request(void **state) {
    const struct outgoing outgoing = {
        .notification_id = 12,
        .attempt_id = "0193-aid",
        .address = SPAN_LITERAL("john@example.com"),
        .subject = SPAN_LITERAL("Welcome, \"John\""),
        .message = SPAN_LITERAL("Hello\n"),
    };
    struct provider_request request;
    assert_int_equal(provider_sendgrid.build(&settings, &outgoing, &request), 0);
    assert_string_equal(request.url.data, "http://127.0.0.1:8099/v3/mail/send");
    assert_int_equal(request.header_count, 3);
    assert_string_equal(request.headers[0].name, "Authorization");
    assert_string_equal(request.headers[0].value, "Bearer SG.key");
    assert_string_equal(request.headers[2].name, "Accept");
    assert_string_equal(request.body.data,
                        "{\"personalizations\":[{\"to\":[{\"email\":\"john@example.com\"}],"
                        "\"custom_args\":{\"nid\":\"12\",\"aid\":\"0193-aid\"}}],"
                        "\"from\":{\"email\":\"no-reply@example.com\",\"name\":\"Eventbox\"},"
                        "\"subject\":\"Welcome, \\\"John\\\"\","
                        "\"content\":[{\"type\":\"text/plain\",\"value\":\"Hello\\n\"}]}");
    provider_request_deinit(&request);
}

static struct outcome classify(const struct http_client_answer *answer, int on_5xx) {
    struct provider_settings with = settings;
    struct outcome outcome;
    with.on_5xx = on_5xx;
    provider_sendgrid.classify(&with, answer, now_ms, &outcome);
    return outcome;
}

static void test_classify__statuses(void **state) {
    static const struct {
        int status;
        enum outcome_class class;
    } cases[] = {
        {202, OUTCOME_ACCEPTED},        {200, OUTCOME_AMBIGUOUS},
        {204, OUTCOME_AMBIGUOUS},       {301, OUTCOME_PROVIDER_CONFIG},
        {400, OUTCOME_PERMANENT},       {401, OUTCOME_PROVIDER_CONFIG},
        {403, OUTCOME_PROVIDER_CONFIG}, {404, OUTCOME_PROVIDER_CONFIG},
        {405, OUTCOME_PROVIDER_CONFIG}, {406, OUTCOME_PROVIDER_CONFIG},
        {408, OUTCOME_TRANSIENT},       {413, OUTCOME_PERMANENT},
        {429, OUTCOME_THROTTLED},       {451, OUTCOME_PERMANENT},
        {500, OUTCOME_AMBIGUOUS},       {502, OUTCOME_AMBIGUOUS},
        {503, OUTCOME_AMBIGUOUS},       {504, OUTCOME_AMBIGUOUS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct http_client_answer answer = {
            .outcome = HTTP_CLIENT_ANSWERED, .status = cases[i].status, .error = ""};
        struct outcome outcome = classify(&answer, PROVIDER_5XX_DOUBT);
        if (outcome.class != cases[i].class || outcome.http_status != cases[i].status) {
            fail_msg("%d is %s", cases[i].status, outcome_class_names[outcome.class]);
        }
        assert_int_equal(outcome.remedy != NULL, outcome.class == OUTCOME_PROVIDER_CONFIG);
    }
}

static void test_classify__5xx_can_be_set_to_transient(void **state) {
    const struct http_client_answer answer = {
        .outcome = HTTP_CLIENT_ANSWERED, .status = 503, .error = ""};
    assert_int_equal(classify(&answer, PROVIDER_5XX_TRANSIENT).class, OUTCOME_TRANSIENT);
}

static void test_classify__without_an_answer(void **state) {
    const struct http_client_answer not_sent = {.outcome = HTTP_CLIENT_NOT_SENT,
                                                .error = "refused"};
    const struct http_client_answer unknown = {.outcome = HTTP_CLIENT_UNKNOWN, .error = "timeout"};
    const struct http_client_answer tls = {.outcome = HTTP_CLIENT_TLS, .error = "bad certificate"};
    assert_int_equal(classify(&not_sent, 0).class, OUTCOME_TRANSIENT);
    assert_string_equal(classify(&not_sent, 0).reason, "refused");
    assert_int_equal(classify(&unknown, 0).class, OUTCOME_AMBIGUOUS);
    assert_int_equal(classify(&tls, 0).class, OUTCOME_PROVIDER_CONFIG);
    assert_non_null(classify(&tls, 0).remedy);
}

static void test_classify__names_the_key_or_the_sender(void **state) {
    const struct http_client_answer key = {
        .outcome = HTTP_CLIENT_ANSWERED, .status = 401, .error = ""};
    const struct http_client_answer sender = {
        .outcome = HTTP_CLIENT_ANSWERED, .status = 403, .error = ""};
    assert_non_null(strstr(classify(&key, 0).remedy, "SENDGRID_API_KEY"));
    assert_non_null(strstr(classify(&sender, 0).remedy, "SENDGRID_FROM"));
}

static void test_classify__keeps_the_message_id(void **state) {
    const struct http_client_answer answer = {.outcome = HTTP_CLIENT_ANSWERED,
                                              .status = 202,
                                              .message_id = SPAN_LITERAL("abc.def-123"),
                                              .error = ""};
    struct outcome outcome = classify(&answer, 0);
    assert_string_equal(outcome.message_id, "abc.def-123");
    assert_string_equal(outcome.reason, "");
}

static void test_classify__quotes_the_provider_on_one_line(void **state) {
    const struct http_client_answer answer = {
        .outcome = HTTP_CLIENT_ANSWERED,
        .status = 400,
        .body = SPAN_LITERAL("{\"errors\":[{\"message\":\"no\\nsuch\\taddress\",\"field\":null}]}"),
        .error = ""};
    const struct http_client_answer html = {.outcome = HTTP_CLIENT_ANSWERED,
                                            .status = 400,
                                            .body = SPAN_LITERAL("<html>no</html>"),
                                            .error = ""};
    const struct http_client_answer odd = {.outcome = HTTP_CLIENT_ANSWERED,
                                           .status = 400,
                                           .body = SPAN_LITERAL("{\"errors\":[7]}"),
                                           .error = ""};
    assert_string_equal(classify(&answer, 0).reason, "SendGrid answered 400: no such address");
    assert_string_equal(classify(&html, 0).reason, "SendGrid answered 400");
    assert_string_equal(classify(&odd, 0).reason, "SendGrid answered 400");
}

static void test_classify__429_waits_as_long_as_asked(void **state) {
    static const struct {
        const char *retry_after, *reset;
        int64_t hold_ms;
    } cases[] = {
        {"7", NULL, 7000},
        {NULL, "1795341690", 90000},
        {"7", "1795341690", 90000},
        {"120", "1795341690", 120000},
        {NULL, NULL, 60000},
        {"999999", NULL, 3600000},
        {"0", NULL, 1000},
        {NULL, "1", 1000},
        {"soon", NULL, 1000},
        /* 2026-11-22T10:00:30Z, thirty seconds from now */
        {"Sun, 22 Nov 2026 10:00:30 GMT", NULL, 30000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct http_client_answer answer = {.outcome = HTTP_CLIENT_ANSWERED,
                                                  .status = 429,
                                                  .retry_after = span_text(cases[i].retry_after),
                                                  .ratelimit_reset = span_text(cases[i].reset),
                                                  .error = ""};
        assert_int_equal(classify(&answer, 0).hold_ms, cases[i].hold_ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build__writes_the_v3_request),
        cmocka_unit_test(test_classify__statuses),
        cmocka_unit_test(test_classify__5xx_can_be_set_to_transient),
        cmocka_unit_test(test_classify__without_an_answer),
        cmocka_unit_test(test_classify__names_the_key_or_the_sender),
        cmocka_unit_test(test_classify__keeps_the_message_id),
        cmocka_unit_test(test_classify__quotes_the_provider_on_one_line),
        cmocka_unit_test(test_classify__429_waits_as_long_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
