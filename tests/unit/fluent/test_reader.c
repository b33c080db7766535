#include "support.h"

#include <reader.h>

struct seen {
    char acks[8][72];
    int count;
};

static int on_answer(void *userdata, struct span ack) {
    struct seen *seen = userdata;
    snprintf(seen->acks[seen->count++], sizeof seen->acks[0], "%.*s", ack.data ? (int)ack.size : 4,
             ack.data ? (const char *)ack.data : "none");
    return 0;
}

static int feed(const void *bytes, size_t size, struct seen *seen) {
    struct ack_reader reader;
    ack_reader_init(&reader);
    *seen = (struct seen){0};
    return ack_reader_feed(&reader, bytes, size, on_answer, seen);
}

static void test_ack_reader__understands_an_answer_split_at_every_byte(void **state) {
    static const char stream[] = "\x81\xa3"
                                 "ack\xa4"
                                 "one="
                                 "\x81\xa3"
                                 "ack\xd9\x05"
                                 "two=="
                                 "\x80";
    size_t size = sizeof stream - 1;
    for (size_t first = 0; first <= size; first++) {
        for (size_t second = first; second <= size; second++) {
            struct ack_reader reader;
            struct seen seen = {0};
            ack_reader_init(&reader);
            assert_int_equal(ack_reader_feed(&reader, stream, first, on_answer, &seen), 0);
            assert_int_equal(
                ack_reader_feed(&reader, stream + first, second - first, on_answer, &seen), 0);
            assert_int_equal(
                ack_reader_feed(&reader, stream + second, size - second, on_answer, &seen), 0);
            assert_int_equal(seen.count, 3);
            assert_string_equal(seen.acks[0], "one=");
            assert_string_equal(seen.acks[1], "two==");
            assert_string_equal(seen.acks[2], "none"); /* a map without `ack` */
        }
    }
}

static void test_ack_reader__reads_past_what_it_does_not_know(void **state) {
    static const char stream[] = "\xde\x00\x07" /* map 16 */
                                 "\xa1"
                                 "a"
                                 "\xc0"
                                 "\xa1"
                                 "b"
                                 "\xcd\x01\x02"
                                 "\xa1"
                                 "c"
                                 "\xcb"
                                 "12345678"
                                 "\xa1"
                                 "d"
                                 "\xc4\x02"
                                 "xy"
                                 "\xa1"
                                 "e"
                                 "\xa2"
                                 "xy"
                                 "\xa3"
                                 "ack"
                                 "\xa2"
                                 "id"
                                 "\xa1"
                                 "f"
                                 "\xff";
    struct seen seen;
    assert_int_equal(feed(stream, sizeof stream - 1, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.acks[0], "id");
}

static void test_ack_reader__refuses_what_is_no_answer(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
#define ROW(literal) {literal, sizeof(literal) - 1}
        ROW("{\"ack\":\"x\"}"),      /* JSON */
        ROW("\xc0"),                 /* nil */
        ROW("\x92\xa4HELO\x80"),     /* HELO: a shared key is wanted */
        ROW("\xdf\xff\xff\xff\xff"), /* a map of four billion */
        ROW("\x81\xa3"
            "ack\xc4\x01x"), /* bin is not str */
        ROW("\x81\xa3"
            "ack\x01"), /* an integer */
        ROW("\x81\xa3"
            "ack\xdb\x00\xff\xff\xff"), /* 16 MB of id */
        ROW("\x81\xa3"
            "ack\xd9\x41"),  /* 65 bytes of id */
        ROW("\x81\x01\x02"), /* a name that is a number */
        ROW("\x81\xa1"
            "a\x90"), /* deeper than one */
        ROW("\x81\xa1"
            "a\x80"),
        ROW("\x81\xa1"
            "a\xc1"),
        ROW("\x81\xa1"
            "a\xd4\x00\x00"),
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct seen seen;
        assert_int_equal(feed(rows[i].bytes, rows[i].size, &seen), -EPROTO);
        assert_int_equal(seen.count, 0);
    }
}

static void test_ack_reader__an_answer_has_a_longest_length(void **state) {
    /* 16 members of 2 + 64 + 2 + 64 bytes are more than 1 KiB, and never complete. */
    char stream[3 + 16 * 132] = {(char)0xde, 0x00, 0x10};
    size_t size = 3;
    for (int i = 0; i < 16; i++) {
        for (int part = 0; part < 2; part++) {
            stream[size++] = (char)0xd9;
            stream[size++] = 64;
            memset(stream + size, 'x', 64);
            size += 64;
        }
    }
    struct seen seen;
    assert_int_equal(feed(stream, ACK_ANSWER_BYTES_MAX - 1, &seen), 0);
    assert_int_equal(feed(stream, size, &seen), -EPROTO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ack_reader__understands_an_answer_split_at_every_byte),
        cmocka_unit_test(test_ack_reader__reads_past_what_it_does_not_know),
        cmocka_unit_test(test_ack_reader__refuses_what_is_no_answer),
        cmocka_unit_test(test_ack_reader__an_answer_has_a_longest_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
