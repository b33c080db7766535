/* The user service over HTTP with a real store: what the six endpoints answer, and what they leave.
 */
#include "users.h"

#include "../../support/rig.h"

#define JOHN                                                                                       \
    "{\"username\":\"john_doe\",\"email\":\"john@example.com\",\"password\":\"SecurePass123\","    \
    "\"role\":\"user\",\"age\":25,\"full_name\":\" John Doe \"}"

extern const struct module users_module;
static struct rig rig;

static void cheap(struct rig *r) {
    struct users *users = r->state;
    users->argon2_memory_kib = 64;
    users->argon2_passes = 1;
}

static int setup(void **state) {
    rig_init(&rig, &users_module);
    return rig_start(&rig, cheap);
}

static int teardown(void **state) {
    rig_deinit(&rig);
    return 0;
}

static void restart(void (*configure)(struct rig *)) {
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig, configure), 0);
}

static int call(const char *method, const char *path, const char *body, const char **ret_body) {
    return rig_request(&rig, method, path, NULL, body, ret_body);
}

/* A session token for a new user. */
static void login(const char *username, const char *password, char token[SESSION_TOKEN_SIZE]) {
    char body[200];
    const char *answer;
    snprintf(body, sizeof body, "{\"username\":\"%s\",\"password\":\"%s\"}", username, password);
    assert_int_equal(call("POST", "/users/login", body, &answer), 200);
    const char *found = strstr(answer, "\"access_token\":\"");
    assert_non_null(found);
    snprintf(token, SESSION_TOKEN_SIZE, "%s", found + strlen("\"access_token\":\""));
}

static void test_create__answers_the_public_user_first_six_as_in_the_original(void **state) {
    const char *body;
    assert_int_equal(call("POST", "/users/", JOHN, &body), 201);
    static const char expected[] =
        "{\"id\":1,\"username\":\"john_doe\",\"email\":\"john@example.com\",\"role\":\"user\","
        "\"age\":25,\"full_name\":\"John Doe\",\"created_at\":\"";
    assert_memory_equal(body, expected, sizeof expected - 1);
    assert_null(strstr(body, "password"));
    assert_null(strstr(body, "argon2"));
    assert_true(rig_logged("user_created user_id=1 username=john_doe role=user"));
    assert_false(rig_logged("SecurePass123"));
}

static void test_create__leaves_user_and_outbox_row_or_neither(void **state) {
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_user"), 1);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 1);
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 409);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_user"), 1);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 1);
}

static void test_create__eight_at_once_make_one_row(void **state) {
    static struct rig_call calls[8];
    unsigned waiting = 0, created = 0, refused = 0;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        rig_send(&calls[i], &rig, &waiting, "POST", "/users/", NULL, JOHN);
    }
    rig_wait_flag(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        created += calls[i].status == 201;
        refused += calls[i].status == 409;
    }
    assert_int_equal(created, 1);
    assert_int_equal(refused, 7);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_user"), 1);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 1);
}

static void test_create__names_are_unique_in_any_case(void **state) {
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"JOHN_DOE\",\"email\":\"x@example.com\","
                          "\"password\":\"SecurePass123\"}",
                          NULL),
                     409);
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"other\",\"email\":\"John@EXAMPLE.com\","
                          "\"password\":\"SecurePass123\"}",
                          NULL),
                     409);
}

static void test_create__a_password_like_the_name_is_refused_and_not_echoed(void **state) {
    const char *body;
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"john_doe\",\"email\":\"j@example.com\","
                          "\"password\":\"xJOHN_DOE77\"}",
                          &body),
                     422);
    assert_non_null(strstr(body, "\"loc\":[\"body\",\"password\"]"));
    assert_null(strstr(body, "xJOHN_DOE77"));
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_user"), 0);
}

static void test_create__only_the_first_admin_is_free(void **state) {
    char token[SESSION_TOKEN_SIZE];
    static const char eve[] = "{\"username\":\"eve\",\"email\":\"eve@example.com\","
                              "\"password\":\"SecurePass123\",\"role\":\"admin\"}";
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"root\",\"email\":\"root@example.com\","
                          "\"password\":\"SecurePass123\",\"role\":\"admin\"}",
                          NULL),
                     201);
    assert_int_equal(call("POST", "/users/", eve, NULL), 403);
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("PUT", "/users/2", "{\"role\":\"admin\"}", NULL), 403);
    assert_int_equal(call("PUT", "/users/1", "{\"password\":\"OtherPass123\"}", NULL), 403);
    login("root", "SecurePass123", token);
    assert_int_equal(rig_request(&rig, "POST", "/users/", token, eve, NULL), 201);
    assert_int_equal(rig_request(&rig, "PUT", "/users/2", token, "{\"role\":\"admin\"}", NULL),
                     200);
}

static void test_get__one_and_none(void **state) {
    const char *body;
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("GET", "/users/1", NULL, &body), 200);
    assert_non_null(strstr(body, "\"username\":\"john_doe\""));
    assert_int_equal(call("GET", "/users/2", NULL, &body), 404);
    assert_string_equal(body, "{\"detail\":\"User not found\"}");
    assert_int_equal(call("GET", "/users/0", NULL, NULL), 404);
}

static void test_list__is_a_bare_array_with_skip_and_limit(void **state) {
    char body[200];
    const char *answer;
    assert_int_equal(call("GET", "/users/", NULL, &answer), 200);
    assert_string_equal(answer, "[]");
    for (int i = 0; i < 4; i++) {
        snprintf(body, sizeof body,
                 "{\"username\":\"user%d\",\"email\":\"u%d@example.com\",\"password\":"
                 "\"SecurePass123\"}",
                 i, i);
        assert_int_equal(call("POST", "/users/", body, NULL), 201);
    }
    assert_int_equal(call("GET", "/users/?skip=1&limit=2", NULL, &answer), 200);
    assert_memory_equal(answer, "[{\"id\":2,", 9);
    assert_non_null(strstr(answer, "},{\"id\":3,"));
    assert_null(strstr(answer, "\"id\":4"));
    assert_int_equal(call("GET", "/users/?limit=0", NULL, NULL), 422);
}

static void test_update__changes_what_is_named(void **state) {
    const char *body;
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("PUT", "/users/1",
                          "{\"username\":\"john_updated\",\"email\":\"john.updated@example.com\"}",
                          &body),
                     200);
    assert_non_null(strstr(body,
                           "\"username\":\"john_updated\",\"email\":\"john.updated@example.com\","
                           "\"role\":\"user\",\"age\":25,\"full_name\":\"John Doe\""));
    assert_int_equal(
        call("PUT", "/users/1", "{\"age\":null,\"username\":null,\"full_name\":null}", &body), 200);
    assert_non_null(strstr(body, "\"username\":\"john_updated\""));
    assert_non_null(strstr(body, "\"age\":null,\"full_name\":null"));
    assert_int_equal(rig_number(&rig, "SELECT version FROM users_user"), 3);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 3);
    /* Nothing new: no version, no event. */
    assert_int_equal(call("PUT", "/users/1", "{\"role\":\"user\"}", NULL), 200);
    assert_int_equal(rig_number(&rig, "SELECT version FROM users_user"), 3);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM outbox"), 3);
    assert_int_equal(call("PUT", "/users/9", "{\"age\":1}", NULL), 404);
}

static void test_update__a_taken_name_is_a_conflict(void **state) {
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"jane\",\"email\":\"jane@example.com\","
                          "\"password\":\"SecurePass123\"}",
                          NULL),
                     201);
    assert_int_equal(call("PUT", "/users/2", "{\"username\":\"John_Doe\"}", NULL), 409);
    /* Its own name in another case is no conflict. */
    assert_int_equal(call("PUT", "/users/2", "{\"username\":\"JANE\"}", NULL), 200);
}

static void test_update__a_new_password_ends_the_sessions(void **state) {
    char token[SESSION_TOKEN_SIZE];
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    login("john_doe", "SecurePass123", token);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_session"), 1);
    assert_int_equal(call("PUT", "/users/1", "{\"password\":\"myJohn_DOE1\"}", NULL), 422);
    assert_int_equal(call("PUT", "/users/1", "{\"password\":\"OtherPass123\"}", NULL), 200);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_session"), 0);
    assert_int_equal(call("POST", "/users/login",
                          "{\"username\":\"john_doe\",\"password\":\"SecurePass123\"}", NULL),
                     401);
    login("john_doe", "OtherPass123", token);
}

static void test_delete__takes_row_and_sessions_and_never_the_number_again(void **state) {
    char token[SESSION_TOKEN_SIZE];
    const char *body;
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    login("john_doe", "SecurePass123", token);
    assert_int_equal(call("DELETE", "/users/1", NULL, &body), 204);
    assert_string_equal(body, "");
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_session"), 0);
    assert_int_equal(call("DELETE", "/users/1", NULL, NULL), 404);
    restart(cheap);
    assert_int_equal(call("POST", "/users/", JOHN, &body), 201);
    assert_memory_equal(body, "{\"id\":2,", 8);
}

static void test_login__answers_token_and_user_and_stores_a_digest(void **state) {
    const char *body;
    char token[SESSION_TOKEN_SIZE];
    uint8_t digest[SHA256_BYTES];
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("POST", "/users/login",
                          "{\"username\":\"JOHN_DOE\",\"password\":\"SecurePass123\"}", &body),
                     200);
    assert_memory_equal(body, "{\"token\":\"tts_", 14);
    assert_non_null(strstr(body, "\"token_type\":\"bearer\",\"expires_in\":43200,"));
    assert_non_null(strstr(body, "\"user\":{\"id\":1,"));
    snprintf(token, sizeof token, "%s", body + 10);
    assert_true(session_token_digest(span_text(token), digest));
    assert_int_equal(rig_number(&rig, "SELECT length(token_sha256) FROM users_session"), 32);
    assert_int_equal(call("POST", "/users/login",
                          "{\"email\":\"john@example.com\",\"password\":\"SecurePass123\"}", NULL),
                     200);
    assert_int_equal(call("POST", "/users/login",
                          "{\"username\":\"john@example.com\",\"password\":\"SecurePass123\"}",
                          NULL),
                     200);
    assert_false(rig_logged("tts_"));
}

static void test_login__one_answer_for_all_refusals(void **state) {
    static const char *const bodies[] = {
        "{\"username\":\"john_doe\",\"password\":\"WrongPass999\"}",
        "{\"username\":\"nobody\",\"password\":\"SecurePass123\"}",
        "{\"username\":\"\",\"password\":\"SecurePass123\"}",
        "{\"username\":\"john_doe\",\"password\":\"\"}",
    };
    const char *body;
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        assert_int_equal(call("POST", "/users/login", bodies[i], &body), 401);
        assert_string_equal(body, "{\"detail\":\"Invalid credentials\"}");
    }
    assert_int_equal(rig.metrics[USERS_M_LOGINS_FAILED].value, 4);
    assert_true(rig_logged("login_failed cause=unknown"));
    assert_true(rig_logged("login_failed user_id=1 cause=password"));
    assert_false(rig_logged("nobody"));
    assert_int_equal(call("POST", "/users/login", "{\"password\":\"SecurePass123\"}", &body), 422);
    assert_non_null(strstr(body, "\"type\":\"missing\",\"loc\":[\"body\",\"username\"]"));
}

static void test_login__a_stored_hash_above_the_ceilings_is_refused(void **state) {
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    rig_text(&rig, "UPDATE users_user SET password = replace(password, 'm=64', 'm=4194304')");
    assert_int_equal(call("POST", "/users/login",
                          "{\"username\":\"john_doe\",\"password\":\"SecurePass123\"}", NULL),
                     401);
    assert_true(rig_logged("cause=stored_hash_refused"));
}

static void dearer(struct rig *r) {
    cheap(r);
    ((struct users *)r->state)->argon2_memory_kib = 128;
}

static void test_login__renews_a_hash_of_other_parameters(void **state) {
    char token[SESSION_TOKEN_SIZE];
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    restart(dearer);
    login("john_doe", "SecurePass123", token);
    assert_int_equal(
        rig_number(&rig, "SELECT count(*) FROM users_user WHERE password LIKE '%m=128,%'"), 1);
    login("john_doe", "SecurePass123", token);
}

static void test_login__keeps_at_most_fifty_sessions(void **state) {
    char token[SESSION_TOKEN_SIZE];
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    for (int i = 0; i < SESSIONS_PER_USER + 3; i++) {
        login("john_doe", "SecurePass123", token);
    }
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_session"), SESSIONS_PER_USER);
}

static void test_login__ends_the_session_that_came_along(void **state) {
    char token[SESSION_TOKEN_SIZE];
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    login("john_doe", "SecurePass123", token);
    assert_int_equal(rig_request(&rig, "POST", "/users/login", token,
                                 "{\"username\":\"john_doe\",\"password\":\"SecurePass123\"}",
                                 NULL),
                     200);
    assert_int_equal(rig_number(&rig, "SELECT count(*) FROM users_session"), 1);
}

static void one_slot(struct rig *r) {
    cheap(r);
    ((struct users *)r->state)->hash_queue_max = 1;
    ((struct users *)r->state)->hash_threads = 1;
    ((struct users *)r->state)->argon2_memory_kib = 19456;
}

static void test_hash__a_full_queue_answers_503(void **state) {
    static struct rig_call calls[8];
    unsigned waiting = 0, busy = 0, refused = 0;
    restart(one_slot);
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        rig_send(&calls[i], &rig, &waiting, "POST", "/users/login", NULL,
                 "{\"username\":\"nobody\",\"password\":\"SecurePass123\"}");
    }
    rig_wait_flag(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        busy += calls[i].status == 503;
        refused += calls[i].status == 401;
    }
    assert_int_equal(busy + refused, 8);
    assert_true(busy > 0 && refused > 0);
    assert_int_equal(rig.metrics[USERS_M_HASHES_REFUSED].value, busy);
    assert_true(rig_logged("operation=users.login")); /* what is our own fault is told */
    assert_true(rig_logged("status=503"));
}

/* A peer that is not loopback, without insecure: what caller_check() says, route by route. */
struct check_job {
    struct store_job job;
    struct caller caller;
    enum http_auth auth;
    int64_t target_id;
};

static int check_body(struct store_tx *tx, struct store_job *job) {
    struct check_job *check = container_of(job, struct check_job, job);
    return caller_check(&check->caller, tx, check->auth, check->target_id);
}

static int check(const char *token, bool changes, enum http_auth auth, int64_t target_id) {
    struct check_job job = {.caller = {.changes = changes, .now_ms = clock_wall_ms(clock_system())},
                            .auth = auth,
                            .target_id = target_id};
    job.caller.has_token = token && session_token_digest(span_text(token), job.caller.digest);
    job.job.body = check_body;
    return rig_write(&rig, &job.job);
}

static void test_caller_check__off_loopback_a_session_decides(void **state) {
    char admin[SESSION_TOKEN_SIZE], john[SESSION_TOKEN_SIZE], guest[SESSION_TOKEN_SIZE];
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"root\",\"email\":\"root@example.com\","
                          "\"password\":\"SecurePass123\",\"role\":\"admin\"}",
                          NULL),
                     201);
    assert_int_equal(call("POST", "/users/", JOHN, NULL), 201);
    assert_int_equal(call("POST", "/users/",
                          "{\"username\":\"guest\",\"email\":\"guest@example.com\","
                          "\"password\":\"SecurePass123\",\"role\":\"guest\"}",
                          NULL),
                     201);
    login("root", "SecurePass123", admin);
    login("john_doe", "SecurePass123", john);
    login("guest", "SecurePass123", guest);

    assert_int_equal(check(NULL, true, HTTP_AUTH_NONE, 0), 0);
    assert_int_equal(check(NULL, false, HTTP_AUTH_OWNER, 2), HTTP_E_UNAUTHORIZED);
    assert_int_equal(check(john, false, HTTP_AUTH_OWNER, 2), 0);
    assert_int_equal(check(john, true, HTTP_AUTH_OWNER, 2), 0);
    assert_int_equal(check(john, false, HTTP_AUTH_OWNER, 1), HTTP_E_FORBIDDEN);
    assert_int_equal(check(john, false, HTTP_AUTH_ADMIN, 0), HTTP_E_FORBIDDEN);
    assert_int_equal(check(guest, false, HTTP_AUTH_OWNER, 3), 0);
    assert_int_equal(check(guest, true, HTTP_AUTH_OWNER, 3), HTTP_E_FORBIDDEN);
    assert_int_equal(check(admin, true, HTTP_AUTH_OWNER, 2), 0);
    assert_int_equal(check(admin, false, HTTP_AUTH_ADMIN, 0), 0);
    rig_text(&rig, "UPDATE users_session SET idle_expires_at = 1 WHERE user_id = 1");
    assert_int_equal(check(admin, false, HTTP_AUTH_ADMIN, 0), HTTP_E_UNAUTHORIZED);
    rig_text(&rig, "UPDATE users_user SET role = 'admin' WHERE id = 2");
    assert_int_equal(check(john, false, HTTP_AUTH_ADMIN, 0), 0);
    assert_int_equal(call("DELETE", "/users/2", NULL, NULL), 204);
    assert_int_equal(check(john, false, HTTP_AUTH_ADMIN, 0), HTTP_E_UNAUTHORIZED);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_create__answers_the_public_user_first_six_as_in_the_original),
        TEST(test_create__leaves_user_and_outbox_row_or_neither),
        TEST(test_create__eight_at_once_make_one_row),
        TEST(test_create__names_are_unique_in_any_case),
        TEST(test_create__a_password_like_the_name_is_refused_and_not_echoed),
        TEST(test_create__only_the_first_admin_is_free),
        TEST(test_get__one_and_none),
        TEST(test_list__is_a_bare_array_with_skip_and_limit),
        TEST(test_update__changes_what_is_named),
        TEST(test_update__a_taken_name_is_a_conflict),
        TEST(test_update__a_new_password_ends_the_sessions),
        TEST(test_delete__takes_row_and_sessions_and_never_the_number_again),
        TEST(test_login__answers_token_and_user_and_stores_a_digest),
        TEST(test_login__one_answer_for_all_refusals),
        TEST(test_login__a_stored_hash_above_the_ceilings_is_refused),
        TEST(test_login__renews_a_hash_of_other_parameters),
        TEST(test_login__keeps_at_most_fifty_sessions),
        TEST(test_login__ends_the_session_that_came_along),
        TEST(test_hash__a_full_queue_answers_503),
        TEST(test_caller_check__off_loopback_a_session_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
