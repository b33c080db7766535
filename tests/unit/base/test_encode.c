#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/crypto.h>

static void test_crypto_sha256__matches_known_digests(void **state) {
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        crypto_sha256(span_text(cases[i].text), digest);
        hex_encode(digest, sizeof digest, hex);
        assert_string_equal(hex, cases[i].digest);
    }
    crypto_sha256(SPAN_NULL, digest);
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, cases[0].digest);
}

static void test_crypto_equal__compares_content(void **state) {
    assert_true(crypto_equal("secret", "secret", 6));
    assert_false(crypto_equal("secret", "secreT", 6));
    assert_true(crypto_equal("a", "b", 0));
}

static void test_crypto_wipe__zeroes(void **state) {
    char secret[4] = "abc";
    crypto_wipe(secret, sizeof secret);
    assert_memory_equal(secret, "\0\0\0\0", 4);
}

static void test_hex_decode__takes_exactly_the_digits(void **state) {
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"00ff10", true},  {"00FF1a", true},    {"", false},
        {"00ff1", false},  {"00ff1000", false}, {"00fg10", false},
        {"0x0010", false}, {" 0ff10", false},   {"00ff1\xc3", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[3];
        assert_int_equal(hex_decode(span_text(cases[i].text), bytes, sizeof bytes), cases[i].valid);
    }
}

static void test_hex__survives_a_round_trip(void **state) {
    uint8_t bytes[256], back[256];
    char text[513];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    hex_encode(bytes, sizeof bytes, text);
    assert_true(hex_decode(span_text(text), back, sizeof back));
    assert_memory_equal(bytes, back, sizeof bytes);
}

/* RFC 4648 10 */
static void test_base64_encode__matches_the_rfc(void **state) {
    static const struct {
        const char *in, *padded, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char out[16];
        assert_int_equal(base64_encode(cases[i].in, strlen(cases[i].in), out),
                         strlen(cases[i].padded));
        assert_string_equal(out, cases[i].padded);
        assert_int_equal(base64url_encode(cases[i].in, strlen(cases[i].in), out),
                         strlen(cases[i].url));
        assert_string_equal(out, cases[i].url);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crypto_sha256__matches_known_digests),
        cmocka_unit_test(test_crypto_equal__compares_content),
        cmocka_unit_test(test_crypto_wipe__zeroes),
        cmocka_unit_test(test_hex_decode__takes_exactly_the_digits),
        cmocka_unit_test(test_hex__survives_a_round_trip),
        cmocka_unit_test(test_base64_encode__matches_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
