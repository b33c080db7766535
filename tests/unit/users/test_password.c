/* PHC strings, their ceilings, and what a hash of a known input is. */
#include "password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct password_params cheap = {.memory_kib = 64, .passes = 1, .lanes = 1};
static const uint8_t salt[PASSWORD_SALT_BYTES] = "0123456789abcdef";

static void test_password_hash__writes_the_string_of_the_reference(void **state) {
    char phc[PASSWORD_PHC_SIZE];
    assert_int_equal(password_hash(&cheap, salt, SPAN_LITERAL("SecurePass123"), phc), 0);
    /* As printed by argon2_hash_encoded() of the reference implementation. */
    assert_string_equal(phc, "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
                             "Pde34G5bDvYdpwTHlquJpm3H8OxrckKIqhBAaDdjC5w");
}

static void test_password_verify__tells_right_from_wrong(void **state) {
    char phc[PASSWORD_PHC_SIZE];
    struct password_phc parsed;
    bool match = false;
    assert_int_equal(password_hash(&cheap, salt, SPAN_LITERAL("SecurePass123"), phc), 0);
    assert_true(password_parse(span_text(phc), &parsed));
    assert_int_equal(password_verify(&parsed, SPAN_LITERAL("SecurePass123"), &match), 0);
    assert_true(match);
    assert_int_equal(password_verify(&parsed, SPAN_LITERAL("SecurePass124"), &match), 0);
    assert_false(match);
}

static void test_password_parse__refuses_what_is_above_the_ceilings_or_malformed(void **state) {
#define REST "$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    static const struct {
        const char *phc;
        bool good;
    } cases[] = {
        {"$argon2id$v=19$m=19456,t=2,p=1" REST, true},
        {"$argon2id$v=19$m=262144,t=10,p=4" REST, true},
        {"$argon2id$v=19$m=262145,t=2,p=1" REST, false},
        {"$argon2id$v=19$m=4194304,t=2,p=1" REST, false},
        {"$argon2id$v=19$m=99999999999999999999,t=2,p=1" REST, false},
        {"$argon2id$v=19$m=19456,t=11,p=1" REST, false},
        {"$argon2id$v=19$m=19456,t=2,p=5" REST, false},
        {"$argon2id$v=19$m=8,t=2,p=4" REST, false},
        {"$argon2id$v=19$m=0,t=2,p=1" REST, false},
        {"$argon2id$v=19$m=019456,t=2,p=1" REST, false},
        {"$argon2id$v=19$m=-1,t=2,p=1" REST, false},
        {"$argon2id$v=16$m=19456,t=2,p=1" REST, false},
        {"$argon2i$v=19$m=19456,t=2,p=1" REST, false},
        {"$2b$12$abcdefghijklmnopqrstuv", false},
        {"$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg", false},
        {"$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$", false},
        {"$argon2id$v=19$m=19456,t=2,p=1$MDEy$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false},
        {"$argon2id$v=19$m=19456,t=2,p=1" REST "$", false},
        {"$argon2id$v=19$m=19456,t=2,p=1" REST "=", false},
        {"$argon2id$v=19$m=19456,t=2,p=1" REST " ", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct password_phc parsed;
        if (password_parse(span_text(cases[i].phc), &parsed) != cases[i].good) {
            fail_msg("%s", cases[i].phc);
        }
    }
#undef REST
}

static void test_password_parse__takes_any_prefix_without_reading_on(void **state) {
    char phc[PASSWORD_PHC_SIZE];
    assert_int_equal(password_hash(&cheap, salt, SPAN_LITERAL("SecurePass123"), phc), 0);
    for (size_t size = 0; size < strlen(phc); size++) {
        struct password_phc parsed;
        char *exact = malloc(size ? size : 1);
        memcpy(exact, phc, size);
        bool good = password_parse(span_of(exact, size), &parsed);
        free(exact);
        /* A shorter tag of at least 16 bytes is a tag, too; anything before that is not. */
        assert_true(!good || parsed.tag_size < PASSWORD_TAG_BYTES);
    }
}

static void test_password_is_current__compares_every_parameter(void **state) {
    char phc[PASSWORD_PHC_SIZE];
    struct password_phc parsed;
    assert_int_equal(password_hash(&cheap, salt, SPAN_LITERAL("SecurePass123"), phc), 0);
    assert_true(password_parse(span_text(phc), &parsed));
    assert_true(password_is_current(&parsed, &cheap));
    assert_false(password_is_current(&parsed, &(struct password_params){65, 1, 1}));
    assert_false(password_is_current(&parsed, &(struct password_params){64, 2, 1}));
    assert_false(password_is_current(&parsed, &(struct password_params){64, 1, 2}));
}

static void test_password_unknown__matches_nothing_and_costs_the_same(void **state) {
    struct password_phc unknown;
    bool match = true;
    password_unknown(&cheap, &unknown);
    assert_true(password_is_current(&unknown, &cheap));
    assert_int_equal(password_verify(&unknown, SPAN_LITERAL("SecurePass123"), &match), 0);
    assert_false(match);
}

static void test_password_resembles__finds_the_name_in_any_case(void **state) {
    assert_true(password_resembles(SPAN_LITERAL("xJohn_DOE99"), SPAN_LITERAL("john_doe")));
    assert_true(password_resembles(SPAN_LITERAL("john_doe"), SPAN_LITERAL("JOHN_DOE")));
    assert_false(password_resembles(SPAN_LITERAL("SecurePass123"), SPAN_LITERAL("john_doe")));
    assert_false(password_resembles(SPAN_LITERAL("john_do"), SPAN_LITERAL("john_doe")));
    assert_false(password_resembles(SPAN_LITERAL("SecurePass123"), SPAN_LITERAL("se")));
    assert_false(password_resembles(SPAN_LITERAL("SecurePass123"), SPAN_NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password_hash__writes_the_string_of_the_reference),
        cmocka_unit_test(test_password_verify__tells_right_from_wrong),
        cmocka_unit_test(test_password_parse__refuses_what_is_above_the_ceilings_or_malformed),
        cmocka_unit_test(test_password_parse__takes_any_prefix_without_reading_on),
        cmocka_unit_test(test_password_is_current__compares_every_parameter),
        cmocka_unit_test(test_password_unknown__matches_nothing_and_costs_the_same),
        cmocka_unit_test(test_password_resembles__finds_the_name_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
