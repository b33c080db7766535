/*
 * The notification service with a real store, topics in memory and a SendGrid of our own on the
 * same loop: what a record becomes, what an answer means, and what is left when a process ends
 * between any two of the durable steps.
 */
#include "notify.h"

#include "../../support/rig.h"

#include <errno.h>

extern const struct module notify_module;
static struct rig rig;

/* ---- a SendGrid ---- */

enum { SILENCE = 0, SCRIPT_MAX = 16 };

static struct {
    struct http_service service;
    struct http_server *server;
    int script[SCRIPT_MAX]; /* status of each request in turn; afterwards 202 */
    size_t requests;
    struct http_request *silent[SCRIPT_MAX]; /* not answered yet */
    size_t silent_count;
    char last_to[128];
    char url[64];
} sendgrid;

struct mail {
    struct body_string subject;
};

static void handle_mail(struct http_request *request) {
    int status = sendgrid.requests < SCRIPT_MAX ? sendgrid.script[sendgrid.requests] : 202;
    const struct json *mail = http_request_body_json(request);
    const struct json *person = json_first(json_member(mail, "personalizations"));
    const struct json *to = json_first(json_member(person, "to"));
    struct span address = json_string(json_member(to, "email"));
    snprintf(sendgrid.last_to, sizeof sendgrid.last_to, "%.*s", (int)address.size,
             (const char *)address.data);
    sendgrid.requests++;
    if (status == SILENCE) {
        sendgrid.silent[sendgrid.silent_count++] = request;
        return;
    }
    if (status == 429) {
        http_respond_header(request, "Retry-After", "1");
    }
    http_respond_header(request, "X-Message-Id", "sg-1");
    http_respond_text(request, status, "application/json",
                      SPAN_LITERAL("{\"errors\":[{\"message\":\"because\"}]}"));
}

static const struct body_row mail_rows[] = {
    {.name = "subject", .type = BODY_STRING, .offset = offsetof(struct mail, subject)}, {0}};
static const struct http_route mail_routes[] = {{.method = HTTP_POST,
                                                 .path = "/v3/mail/send",
                                                 .body = mail_rows,
                                                 .body_size = sizeof(struct mail),
                                                 .handle = handle_mail,
                                                 .op_name = "mail.send"},
                                                {0}};

static void sendgrid_open(void) {
    const struct listener_config listen = {.host = "127.0.0.1", .port = 0, .backlog = 16};
    memset(&sendgrid, 0, sizeof sendgrid);
    for (size_t i = 0; i < SCRIPT_MAX; i++) {
        sendgrid.script[i] = 202;
    }
    sendgrid.service = (struct http_service){
        .name = "sendgrid", .title = "x", .version = "x", .routes = mail_routes};
    assert_int_equal(http_server_open(rig.loop, random_system(), &sendgrid.service, &listen,
                                      &HTTP_LIMITS_DEFAULT, &sendgrid.server),
                     0);
    snprintf(sendgrid.url, sizeof sendgrid.url, "http://127.0.0.1:%u",
             http_server_port(sendgrid.server));
}

static void sendgrid_close(void) {
    if (sendgrid.server) {
        while (sendgrid.silent_count) { /* a handler answers once, whoever still listens */
            http_respond_empty(sendgrid.silent[--sendgrid.silent_count], 500);
        }
        http_server_stop(sendgrid.server, 0, rig_flag, &rig);
        rig_wait_flag(&rig);
        sendgrid.server = NULL;
    }
}

/* ---- settings and life ---- */

static void with_sendgrid(struct rig *r) {
    struct notify *notify = r->state;
    rig_string(&notify->sendgrid_api_key, "SG.key");
    rig_string(&notify->sendgrid_from, "Eventbox <no-reply@example.com>");
    rig_string(&notify->sendgrid_url, sendgrid.url);
    notify->retry_base_ms = 20;
    notify->retry_cap_ms = 100;
}

static int setup(void **state) {
    rig_init(&rig, &notify_module);
    return 0;
}

static int teardown(void **state) {
    rig_stop(&rig);
    sendgrid_close();
    rig_deinit(&rig);
    return 0;
}

static void start_mailbox(void) {
    assert_int_equal(rig_start(&rig, NULL), 0);
}

static void start_sendgrid(void) {
    if (!sendgrid.server) {
        sendgrid_open();
    }
    assert_int_equal(rig_start(&rig, with_sendgrid), 0);
}

/* ---- records ---- */

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define DATA(id, name)                                                                             \
    "{\"user_id\":" #id ",\"user\":{\"id\":" #id ",\"username\":\"" name "\",\"email\":\"" name    \
    "@example.com\",\"full_name\":null}}"

/* A registration of this store, as the relay would append it. */
static void publish(const char *event_id, const char *data) {
    static char origin[UUID_TEXT_SIZE];
    uuid_format(store_uuid(rig.store), origin);
    const char *const headers[] = {"ce_id",
                                   event_id,
                                   "ce_source",
                                   "/users-service/x",
                                   "ce_type",
                                   "org.eventbox.users.user_created",
                                   "eventbox-origin",
                                   origin,
                                   "traceparent",
                                   "00-" TRACE_ID "-00f067aa0ba902b7-01",
                                   NULL};
    rig_publish(&rig.topics, "users.events", "1", data, headers);
}

static bool caught_up(struct rig *r) {
    for (size_t i = 0; i < r->topics.topic_count; i++) {
        const struct rig_topic *topic = &r->topics.topics[i];
        if (topic->count && topic->committed != topic->count) {
            return false;
        }
    }
    return true;
}

static bool all_recorded(struct rig *r) {
    const struct notify *notify = r->state;
    return caught_up(r) && !notify->sender.flight_count && !notify->sender.claim &&
           !timer_running(&notify->sender.wake);
}

static bool has_request(struct rig *r) {
    return sendgrid.requests > 0;
}

#define STATES "SELECT state FROM notify_delivery ORDER BY id"

/* ---- T1 ---- */

static void test_consume__a_registration_lies_in_the_mailbox(void **state) {
    const char *body;
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, caught_up);
    assert_int_equal(rig_request(&rig, "GET", "/notifications", NULL, NULL, &body), 200);
    assert_memory_equal(body, "[{\"id\":1,\"type\":\"email\",\"kind\":\"welcome\",\"user_id\":1,",
                        50);
    assert_non_null(strstr(body, "\"subject\":\"Welcome, john\""));
    assert_non_null(strstr(body, "\"trace_id\":\"" TRACE_ID "\""));
    assert_non_null(strstr(
        body, "\"address\":\"john@example.com\",\"state\":\"sent\",\"provider\":\"mailbox\""));
    assert_int_equal(
        rig_number(&rig, "SELECT next_offset FROM notify_consumer WHERE topic = 'users.events'"),
        1);
    assert_true(
        rig_logged("notification_engine engine=mailbox reason=SENDGRID_API_KEY is not set"));
    assert_true(rig_logged("notification_accepted user_id=1 notification_id=1"));
    assert_true(rig_logged("notification_sent user_id=1"));
    assert_true(rig_logged("trace=" TRACE_ID));
}

static void test_consume__redelivery_makes_nothing_twice(void **state) {
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    publish("id-1", DATA(1, "john"));
    publish("id-2", DATA(1, "john"));
    rig_wait(&rig, caught_up);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_notification"), 1);
    assert_int_equal(
        rig_number(&rig, "SELECT duplicates FROM notify_inbox WHERE event_id = 'id-1'"), 1);
    assert_int_equal(rig.metrics[NOTIFY_M_DUPLICATES].value, 2);
}

static bool is_healthy(struct rig *r) {
    struct module_health health;
    notify_module.health(r->state, &health);
    return health.state == MODULE_OK;
}

static void test_health__names_the_consumer_that_is_behind(void **state) {
    struct module_health health;
    start_mailbox();
    rig_wait(&rig, is_healthy);
    ((struct notify *)rig.state)->lag_max = 1;
    publish("id-1", DATA(1, "john"));
    assert_true(is_healthy(&rig)); /* as far behind as it may be */
    publish("id-2", DATA(2, "jane"));
    notify_module.health(rig.state, &health);
    assert_int_equal(health.state, MODULE_BEHIND);
    assert_string_equal(health.detail, "consumer of users.events is 2 records behind");
    rig_wait(&rig, caught_up);
    rig_wait(&rig, is_healthy);
    notify_module.stop(rig.state, rig_done, &rig);
    notify_module.health(rig.state, &health);
    assert_int_equal(health.state, MODULE_DRAINING);
    rig_wait_flag(&rig);
}

static void test_consume__goes_on_where_it_was(void **state) {
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, caught_up);
    rig_stop(&rig);
    start_mailbox();
    publish("id-2", DATA(2, "jane"));
    rig_wait(&rig, caught_up);
    assert_int_equal(rig.metrics[NOTIFY_M_RECORDS].value, 1);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_notification"), 2);
}

static void test_consume__a_topic_made_anew_is_read_from_its_start(void **state) {
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    publish("id-2", DATA(2, "jane"));
    rig_wait(&rig, caught_up);
    rig_stop(&rig);
    struct rig_topic *topic = rig_topic(&rig.topics, "users.events");
    topic->id.bytes[0] ^= 1;
    topic->count = 0;
    topic->committed = -1;
    start_mailbox();
    publish("id-2", DATA(2, "jane"));
    publish("id-3", DATA(3, "jim"));
    rig_wait(&rig, caught_up);
    assert_string_equal(rig_text(&rig, "SELECT user_id FROM notify_notification ORDER BY id"),
                        "1,2,3");
    assert_int_equal(
        rig_number(&rig, "SELECT next_offset FROM notify_consumer WHERE topic = 'users.events'"),
        2);
}

static void test_consume__what_retention_took_is_skipped(void **state) {
    start_mailbox();
    rig_stop(&rig);
    rig_open_store(&rig);
    publish("id-1", DATA(1, "john"));
    publish("id-2", DATA(2, "jane"));
    rig_close_store(&rig);
    rig_topic(&rig.topics, "users.events")->log_start = 1;
    start_mailbox();
    rig_wait(&rig, caught_up);
    assert_string_equal(rig_text(&rig, "SELECT user_id FROM notify_notification"), "2");
}

static void test_consume__poison_is_set_aside_and_neighbours_go_on(void **state) {
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    rig_publish(&rig.topics, "users.events", "k", "no json at all", NULL);
    publish("id-1", DATA(1, "another"));
    publish("id-2", DATA(2, "jane"));
    rig_wait(&rig, caught_up);
    assert_string_equal(rig_text(&rig, "SELECT user_id FROM notify_notification ORDER BY id"),
                        "1,2");
    assert_string_equal(rig_text(&rig, "SELECT record_offset FROM notify_dead_letter ORDER BY id"),
                        "1,2");
    assert_string_equal(
        rig_text(&rig, "SELECT raw FROM notify_dead_letter WHERE record_offset = 1"),
        "no json at all");
    assert_true(rig_logged("poison_event topic=users.events offset=1 error=not a CloudEvent"));
    assert_true(
        rig_logged("poison_event topic=users.events offset=2 error=the event's id was used"));
}

static void test_consume__another_programs_records_are_kept_and_mailed_to_nobody(void **state) {
    const char *body;
    start_sendgrid();
    rig_publish(&rig.topics, "notification", "user_created", "User created with ID: 1", NULL);
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_int_equal(sendgrid.requests, 1);
    assert_string_equal(sendgrid.last_to, "john@example.com");
    assert_int_equal(
        rig_number(&rig, "SELECT count(*) FROM notify_notification WHERE kind = 'foreign'"), 1);
    assert_int_equal(rig_request(&rig, "GET", "/notifications", NULL, NULL, &body), 200);
    assert_non_null(strstr(body, "\"message\":\"User created with ID: 1\""));
    assert_non_null(strstr(body, "\"address\":null,\"state\":\"sent\",\"provider\":\"mailbox\""));
}

static void test_ingest_body__an_overtaken_consumer_changes_nothing(void **state) {
    struct event events[1] = {{.action = EVENT_FOREIGN,
                               .source = SPAN_LITERAL("s"),
                               .event_id = SPAN_LITERAL("late"),
                               .subject = SPAN_LITERAL("x"),
                               .message = SPAN_LITERAL("x")}};
    start_mailbox();
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, caught_up);
    struct ingest ingest = {.job = {.body = ingest_body},
                            .events = events,
                            .count = 1,
                            .topic = "users.events",
                            .expected_offset = 0,
                            .next_offset = 1,
                            .mail = &provider_mailbox};
    uuid_format(&rig_topic(&rig.topics, "users.events")->id, ingest.topic_id);
    assert_int_equal(rig_write(&rig, &ingest.job), -ESTALE);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_inbox WHERE event_id = 'late'"),
                     0);
    ingest.expected_offset = 1;
    ingest.next_offset = 2;
    assert_int_equal(rig_write(&rig, &ingest.job), 0);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_inbox WHERE event_id = 'late'"),
                     1);
}

/* ---- T2, T3 ---- */

static void test_send__202_is_sent_with_the_providers_id(void **state) {
    start_sendgrid();
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_string_equal(rig_text(&rig, "SELECT provider_message_id FROM notify_delivery"), "sg-1");
    assert_int_equal(
        rig_number(
            &rig,
            "SELECT count(*) FROM notify_attempt WHERE class = 'accepted' AND http_status = 202"),
        1);
    assert_true(rig_logged("notification_sent user_id=1 notification_id=1 provider=sendgrid "
                           "attempt=1 status=202 provider_message_id=sg-1"));
    assert_false(rig_logged("SG.key"));
}

static void test_send__the_claim_is_durable_before_a_byte_leaves(void **state) {
    start_sendgrid();
    sendgrid.script[0] = SILENCE;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, has_request);
    assert_string_equal(rig_text(&rig, STATES), "sending");
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_attempt WHERE ended_at IS NULL"),
                     1);
    assert_int_equal(rig_number(&rig, "SELECT fence FROM notify_delivery"), 1);
}

static void test_send__400_fails_for_good(void **state) {
    start_sendgrid();
    sendgrid.script[0] = 400;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "failed");
    assert_string_equal(rig_text(&rig, "SELECT reason FROM notify_delivery"),
                        "SendGrid answered 400: because");
    assert_int_equal(sendgrid.requests, 1);
}

static void test_send__500_is_in_doubt_and_not_repeated(void **state) {
    start_sendgrid();
    sendgrid.script[0] = 500;
    publish("id-1", DATA(1, "john"));
    publish("id-2", DATA(2, "jane"));
    rig_wait(&rig, all_recorded);
    assert_int_equal(
        rig_number(&rig, "SELECT count(*) FROM notify_delivery WHERE state = 'in_doubt'"), 1);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_delivery WHERE state = 'sent'"),
                     1);
    assert_int_equal(sendgrid.requests, 2);
    assert_true(rig_logged("notification_in_doubt user_id="));
}

static void test_send__401_holds_the_lane_with_one_line_and_counts_nothing(void **state) {
    start_sendgrid();
    sendgrid.script[0] = sendgrid.script[1] = sendgrid.script[2] = 401;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_int_equal(rig_number(&rig, "SELECT attempts FROM notify_delivery"), 1);
    assert_int_equal(sendgrid.requests, 4);
    assert_true(rig_logged("remedy=check notify.sendgrid_api_key (SENDGRID_API_KEY)"));
    const char *first = strstr(rig_log.data, "provider_config");
    assert_null(strstr(first + 1, "provider_config"));
}

static void test_send__429_waits_and_counts_nothing(void **state) {
    start_sendgrid();
    sendgrid.script[0] = 429;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_int_equal(rig_number(&rig, "SELECT attempts FROM notify_delivery"), 1);
    assert_int_equal(rig_number(&rig, "SELECT fence FROM notify_delivery"), 2);
}

static void nowhere(struct rig *r) {
    with_sendgrid(r);
    ((struct notify *)r->state)->retry_max = 3;
}

static void test_send__no_connection_is_retried_until_dead(void **state) {
    sendgrid_open();
    sendgrid_close(); /* its port refuses now */
    assert_int_equal(rig_start(&rig, nowhere), 0);
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "dead");
    assert_int_equal(
        rig_number(&rig, "SELECT count(*) FROM notify_attempt WHERE class = 'transient'"), 3);
    assert_true(rig_logged("notification_retry user_id=1"));
}

/* ---- what a process leaves behind ---- */

static void claim_one(void) {
    struct claim claim = {.job = {.body = claim_body},
                          .notify = rig.state,
                          .provider = "sendgrid",
                          .limit = 1,
                          .now_ms = clock_wall_ms(clock_system())};
    struct list *link;
    list_init(&claim.flights);
    uuid_v4(random_system(), &claim.attempt_ids[0]);
    assert_int_equal(rig_write(&rig, &claim.job), 0);
    assert_int_equal(claim.count, 1);
    while ((link = list_pop_front(&claim.flights))) {
        flight_free(list_entry(link, struct flight, link));
    }
}

/* A delivery in state queued, and no service running. */
static void leave_one_queued(void) {
    start_sendgrid();
    sendgrid.script[0] = SILENCE;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, has_request);
    rig_text(&rig, "UPDATE notify_delivery SET state = 'queued', fence = 0, attempts = 0");
    rig_text(&rig, "DELETE FROM notify_attempt");
    ((struct notify *)rig.state)->context.drain_ms = 0;
    rig_stop(&rig); /* the outcome of the aborted request has another fence: it changes nothing */
    sendgrid.requests = 0;
    sendgrid.script[0] = 202;
}

static void test_crash__before_the_claim_it_is_sent_after_the_start(void **state) {
    leave_one_queued();
    start_sendgrid();
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_int_equal(sendgrid.requests, 1);
}

static void test_crash__between_claim_and_outcome_it_is_in_doubt(void **state) {
    const char *body;
    leave_one_queued();
    rig_open_store(&rig);
    claim_one();
    rig_close_store(&rig);
    start_sendgrid();
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "in_doubt");
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_attempt WHERE ended_at IS NULL"),
                     0);
    assert_int_equal(sendgrid.requests, 0);
    assert_true(rig_logged("notification_in_doubt user_id=1 notification_id=1"));
    assert_int_equal(rig_request(&rig, "GET", "/notifications?state=in_doubt", NULL, NULL, &body),
                     200);
    assert_non_null(
        strstr(body, "\"reason\":\"the process ended before the provider's answer was recorded"));
    rig_stop(&rig);
    start_sendgrid();
    rig_wait(&rig, all_recorded);
    assert_int_equal(sendgrid.requests, 0);
}

static void test_crash__after_the_outcome_it_stays_sent(void **state) {
    start_sendgrid();
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, all_recorded);
    rig_stop(&rig);
    start_sendgrid();
    rig_wait(&rig, all_recorded);
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_int_equal(sendgrid.requests, 1);
}

static void test_outcome_body__of_an_older_fence_changes_nothing(void **state) {
    leave_one_queued();
    rig_open_store(&rig);
    claim_one();
    struct flight late = {.job = {.body = outcome_body},
                          .delivery_id = 1,
                          .fence = 0,
                          .next_state = DELIVERY_SENT,
                          .outcome = {.class = OUTCOME_ACCEPTED}};
    assert_int_equal(rig_write(&rig, &late.job), 0);
    assert_string_equal(rig_text(&rig, STATES), "sending");
    late.fence = 1;
    assert_int_equal(rig_write(&rig, &late.job), 0);
    assert_string_equal(rig_text(&rig, STATES), "sent");
}

static void test_stop__at_the_deadline_what_is_on_the_wire_is_in_doubt(void **state) {
    start_sendgrid();
    sendgrid.script[0] = SILENCE;
    publish("id-1", DATA(1, "john"));
    rig_wait(&rig, has_request);
    ((struct notify *)rig.state)->context.drain_ms = 0;
    rig_stop(&rig);
    rig_open_store(&rig);
    assert_string_equal(rig_text(&rig, STATES), "in_doubt");
    assert_true(rig_logged("notification_in_doubt user_id=1"));
}

/* ---- routes and settings ---- */

static void test_post__each_type_and_its_rules(void **state) {
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {"{\"type\":\"email\",\"to\":\"a@example.com\",\"subject\":\"Hello\",\"body\":\"Text\"}",
         202},
        {"{\"type\":\"email\",\"recipient\":\"a@example.com\",\"subject\":\"Hello\",\"message\":"
         "\"Text\"}",
         202},
        {"{\"type\":\"sms\",\"to\":\"+4915112345678\",\"body\":\"Text\"}", 202},
        {"{\"type\":\"push\",\"to\":\"token\",\"body\":\"Text\",\"user_id\":7}", 202},
        {"{\"type\":\"fax\",\"to\":\"x\",\"body\":\"y\"}", 422},
        {"{\"type\":\"email\",\"to\":\"nobody\",\"subject\":\"s\",\"body\":\"b\"}", 422},
        {"{\"type\":\"email\",\"to\":\"a@example.com\",\"body\":\"b\"}", 422},
        {"{\"type\":\"email\",\"to\":\"a@example.com\",\"subject\":\"a\\nb\",\"body\":\"b\"}", 422},
        {"{\"type\":\"sms\",\"to\":\"12345\",\"body\":\"b\"}", 422},
        {"{\"type\":\"sms\",\"to\":\"+4915112345678\"}", 422},
        {"{\"type\":\"push\",\"body\":\"b\"}", 422},
        {"{}", 422},
    };
    const char *body;
    start_mailbox();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (rig_request(&rig, "POST", "/notifications", NULL, cases[i].body, &body) !=
            cases[i].status) {
            fail_msg("%s: %s", cases[i].body, body);
        }
    }
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM notify_notification"), 4);
    assert_int_equal(rig_request(&rig, "GET", "/notifications?channel=sms", NULL, NULL, &body),
                     200);
    assert_memory_equal(body, "[{\"id\":3,", 9);
    assert_int_equal(rig_request(&rig, "GET", "/notifications?user_id=7", NULL, NULL, &body), 200);
    assert_memory_equal(body, "[{\"id\":4,", 9);
    assert_int_equal(rig_request(&rig, "GET", "/notifications?state=failed", NULL, NULL, &body),
                     200);
    assert_string_equal(body, "[]");
    assert_int_equal(rig_request(&rig, "GET", "/notifications?limit=2&cursor=4", NULL, NULL, &body),
                     200);
    assert_memory_equal(body, "[{\"id\":3,", 9);
    assert_non_null(strstr(body, "},{\"id\":2,"));
    assert_null(strstr(body, "{\"id\":1,\"type\""));
    assert_int_equal(rig_request(&rig, "GET", "/notifications/4", NULL, NULL, &body), 200);
    assert_memory_equal(body, "{\"id\":4,", 8);
    assert_int_equal(rig_request(&rig, "GET", "/notifications/5", NULL, NULL, &body), 404);
    assert_int_equal(rig_request(&rig, "GET", "/notifications?state=lost", NULL, NULL, &body), 422);
}

static void test_post__email_goes_through_the_provider(void **state) {
    const char *body;
    start_sendgrid();
    assert_int_equal(
        rig_request(
            &rig, "POST", "/notifications", NULL,
            "{\"type\":\"email\",\"to\":\"a@example.com\",\"subject\":\"s\",\"body\":\"b\"}",
            &body),
        202);
    assert_non_null(strstr(body, "\"state\":\"queued\""));
    rig_wait(&rig, has_request);
    rig_wait(&rig, all_recorded);
    assert_string_equal(sendgrid.last_to, "a@example.com");
    assert_string_equal(rig_text(&rig, STATES), "sent");
    assert_int_equal(rig_request(&rig, "GET", "/providers", NULL, NULL, &body), 200);
    assert_non_null(strstr(body, "\"channel\":\"email\",\"provider\":\"sendgrid\",\"reason\":"
                                 "\"SENDGRID_API_KEY is set\",\"state\":\"ok\""));
    assert_null(strstr(body, "SG.key"));
}

static struct {
    const char *key, *from, *url;
    int status;
    const char *text; /* of the message, or of the engine's reason */
} engines[] = {
    {"", "", "https://x", 0, "SENDGRID_API_KEY is not set"},
    {"your_sendgrid_api_key_here", "", "https://x", 0, "placeholder"},
    {"SG.x", "a@example.com", "https://x", 0, "SENDGRID_API_KEY is set"},
    {"SG.x", "Eventbox <a@example.com>", "http://x", 0, "SENDGRID_API_KEY is set"},
    {"SG.x", "", "https://x", CONF_E_VALUE, "SENDGRID_FROM"},
    {"SG.x", "nobody", "https://x", CONF_E_VALUE, "nobody"},
    {"SG.x", "a@example.com", "ftp://x", CONF_E_VALUE, "ftp://x"},
    {"SG.x\nX: y", "a@example.com", "https://x", CONF_E_VALUE, "spaces"},
};

static void test_init__chooses_the_engine_or_names_the_mistake(void **state) {
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        const struct module_context context = {.loop = rig.loop};
        struct notify *notify = calloc(1, sizeof *notify);
        const char *message = NULL;
        for (const struct conf_row *row = notify_module.conf; row->name; row++) {
            rig_set_default(notify, row);
        }
        rig_string(&notify->sendgrid_api_key, engines[i].key);
        rig_string(&notify->sendgrid_from, engines[i].from);
        rig_string(&notify->sendgrid_url, engines[i].url);
        int status = notify_module.init(notify, &context, &message);
        assert_int_equal(status, engines[i].status);
        assert_non_null(strstr(status ? message : notify->engine_reason, engines[i].text));
        notify_module.fini(notify);
        for (const struct conf_row *row = notify_module.conf; row->name; row++) {
            if (row->type == CONF_STRING) {
                free(*(char **)(void *)((char *)notify + row->offset));
            }
        }
        free(notify);
    }
}

static void test_sender_backoff_ms__is_random_below_a_doubling_cap(void **state) {
    struct random_seeded seeded;
    random_seeded_init(&seeded, 7);
    static const int64_t tops[] = {100, 200, 400, 500, 500};
    for (int64_t attempts = 1; attempts <= 5; attempts++) {
        int64_t largest = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t pause = sender_backoff_ms(&seeded.random, 100, 500, attempts);
            assert_in_range(pause, 0, tops[attempts - 1]);
            largest = MAX(largest, pause);
        }
        assert_true(largest > tops[attempts - 1] * 9 / 10);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_consume__a_registration_lies_in_the_mailbox),
        TEST(test_consume__redelivery_makes_nothing_twice),
        TEST(test_health__names_the_consumer_that_is_behind),
        TEST(test_consume__goes_on_where_it_was),
        TEST(test_consume__a_topic_made_anew_is_read_from_its_start),
        TEST(test_consume__what_retention_took_is_skipped),
        TEST(test_consume__poison_is_set_aside_and_neighbours_go_on),
        TEST(test_consume__another_programs_records_are_kept_and_mailed_to_nobody),
        TEST(test_ingest_body__an_overtaken_consumer_changes_nothing),
        TEST(test_send__202_is_sent_with_the_providers_id),
        TEST(test_send__the_claim_is_durable_before_a_byte_leaves),
        TEST(test_send__400_fails_for_good),
        TEST(test_send__500_is_in_doubt_and_not_repeated),
        TEST(test_send__401_holds_the_lane_with_one_line_and_counts_nothing),
        TEST(test_send__429_waits_and_counts_nothing),
        TEST(test_send__no_connection_is_retried_until_dead),
        TEST(test_crash__before_the_claim_it_is_sent_after_the_start),
        TEST(test_crash__between_claim_and_outcome_it_is_in_doubt),
        TEST(test_crash__after_the_outcome_it_stays_sent),
        TEST(test_outcome_body__of_an_older_fence_changes_nothing),
        TEST(test_stop__at_the_deadline_what_is_on_the_wire_is_in_doubt),
        TEST(test_post__each_type_and_its_rules),
        TEST(test_post__email_goes_through_the_provider),
        TEST(test_init__chooses_the_engine_or_names_the_mistake),
        TEST(test_sender_backoff_ms__is_random_below_a_doubling_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
