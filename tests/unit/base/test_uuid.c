#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/uuid.h>
#include <string.h>

static const struct uuid example = {{0x01, 0x8f, 0xbe, 0xef, 0x12, 0x34, 0x7a, 0xbc, 0x9d, 0xef,
                                     0x00, 0xff, 0x11, 0xee, 0x22, 0xdd}};

static void test_uuid_v4__has_version_and_variant(void **state) {
    struct random_seeded seeded;
    struct uuid uuid;

    random_seeded_init(&seeded, 3);
    for (int i = 0; i < 100; i++) {
        uuid_v4(&seeded.random, &uuid);
        assert_int_equal(uuid.bytes[6] >> 4, 4);
        assert_int_equal(uuid.bytes[8] >> 6, 2);
    }
}

static void test_uuid_v7__sorts_by_time(void **state) {
    struct random_seeded seeded;
    struct clock_manual manual;
    struct uuid last = {{0}}, uuid;

    random_seeded_init(&seeded, 3);
    clock_manual_init(&manual, INT64_C(1795341600123456789));
    for (int i = 0; i < 100; i++) {
        uuid_v7(&seeded.random, &manual.clock, &uuid);
        assert_int_equal(uuid.bytes[6] >> 4, 7);
        assert_int_equal(uuid.bytes[8] >> 6, 2);
        assert_true(memcmp(&uuid, &last, sizeof uuid) > 0);
        last = uuid;
        clock_manual_advance(&manual, i < 50 ? 1000 : NS_PER_SEC);
    }
    clock_manual_init(&manual, INT64_C(0x0123456789ab) * NS_PER_MS);
    uuid_v7(&seeded.random, &manual.clock, &uuid);
    assert_memory_equal(uuid.bytes, "\x01\x23\x45\x67\x89\xab\x70\x00", 8);
}

static void test_uuid_format__writes_both_forms(void **state) {
    char text[UUID_TEXT_SIZE], base64[UUID_BASE64_SIZE];
    struct uuid back;

    uuid_format(&example, text);
    assert_string_equal(text, "018fbeef-1234-7abc-9def-00ff11ee22dd");
    assert_true(uuid_parse(text, &back));
    assert_memory_equal(&back, &example, sizeof back);
    uuid_format_base64(&example, base64);
    assert_string_equal(base64, "AY--7xI0eryd7wD_Ee4i3Q");
}

static void test_uuid_parse__takes_the_text_form_only(void **state) {
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"018FBEEF-1234-7ABC-9DEF-00FF11EE22DD", true},
        {"", false},
        {"018fbeef12347abc9def00ff11ee22dd", false},
        {"018fbeef-1234-7abc-9def-00ff11ee22d", false},
        {"018fbeef-1234-7abc-9def-00ff11ee22ddd", false},
        {"018fbeef-1234-7abc-9def_00ff11ee22dd", false},
        {"018fbeef-1234-7abc-9deg-00ff11ee22dd", false},
        {"{18fbeef-1234-7abc-9def-00ff11ee22d}", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct uuid uuid = example;
        assert_int_equal(uuid_parse(cases[i].text, &uuid), cases[i].valid);
        assert_memory_equal(&uuid, &example, sizeof uuid);
    }
}

static void test_uuid_is_zero__means_all_bytes(void **state) {
    struct uuid uuid = {{0}};
    assert_true(uuid_is_zero(&uuid));
    uuid.bytes[15] = 1;
    assert_false(uuid_is_zero(&uuid));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid_v4__has_version_and_variant),
        cmocka_unit_test(test_uuid_v7__sorts_by_time),
        cmocka_unit_test(test_uuid_format__writes_both_forms),
        cmocka_unit_test(test_uuid_parse__takes_the_text_form_only),
        cmocka_unit_test(test_uuid_is_zero__means_all_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
