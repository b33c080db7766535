/* The form of session tokens. */
#include "users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_session_token_format__has_prefix_length_and_check(void **state) {
    uint8_t secret[SESSION_TOKEN_RANDOM_BYTES] = {0};
    char token[SESSION_TOKEN_SIZE];
    uint8_t digest[SHA256_BYTES], expected[SHA256_BYTES];
    session_token_format(secret, token);
    assert_int_equal(strlen(token), 4 + 43 + 6);
    assert_memory_equal(token, "tts_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 47);
    assert_true(session_token_digest(span_text(token), digest));
    crypto_sha256(span_text(token), expected);
    assert_memory_equal(digest, expected, SHA256_BYTES);
}

static void test_session_token_digest__refuses_every_change_of_one_character(void **state) {
    uint8_t secret[SESSION_TOKEN_RANDOM_BYTES];
    char token[SESSION_TOKEN_SIZE];
    uint8_t digest[SHA256_BYTES];
    memset(secret, 0x9b, sizeof secret);
    session_token_format(secret, token);
    for (size_t i = 0; i < SESSION_TOKEN_SIZE - 1; i++) {
        char kept = token[i];
        token[i] = kept == 'Q' ? 'R' : 'Q';
        assert_false(session_token_digest(span_text(token), digest));
        token[i] = kept;
    }
    assert_true(session_token_digest(span_text(token), digest));
    assert_false(session_token_digest(span_of(token, strlen(token) - 1), digest));
    assert_false(session_token_digest(SPAN_NULL, digest));
    assert_false(session_token_digest(SPAN_LITERAL("eyJhbGciOiJIUzI1NiJ9.e30.x"), digest));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_token_format__has_prefix_length_and_check),
        cmocka_unit_test(test_session_token_digest__refuses_every_change_of_one_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
