/* What strangers at a Kafka port seem to speak, and that no Kafka client is taken for one. */
#include "api_private.h"

#include <eventbox/base/bytes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_stranger__is_told_by_its_first_bytes(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, "HTTP"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9, "TLS"},
        {"SSH-2.0-OpenSSH\r\n", 17, "SSH"},
        {"AMQP\0\0\x09\x01", 8, "AMQP"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, "HTTP/2"},
        {"*1\r\n$4\r\nPING\r\n", 14, "Redis (RESP)"},
        {"*10\r\n", 5, "Redis (RESP)"},
        {"PING\r\n", 6, "Redis (RESP)"},
        {"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", 14, "MQTT"},
        {"\x10\x90\x01\0\6MQIsdp\3", 12, "MQTT"},
        {"\x93\xa9user.info\x90\x80", 13, "Fluentd's forward protocol"},
        {"\x92\xd9\x20"
         "app",
         6, "Fluentd's forward protocol"},
        {"\0\0\0\x08\x04\xd2\x16\x2f", 8, "PostgreSQL"},
        {"\0\0\0\x08\x04\xd2\x16\x30", 8, "PostgreSQL"},
        {"\0\0\0\x16\0\3\0\0user\0postgres\0\0", 22, "PostgreSQL"},
        {"\x3a\0\0\0\1\0\0\0\0\0\0\0\xd4\7\0\0", 16, "MongoDB"},
        {"\4\0\0\0\5\0\0\0\0", 9, "Cassandra (CQL)"},
        {"\3\0\0\x13\x0e\xe0\0\0", 8, "RDP"},
        {"\xff\xfd\x18\xff", 4, "Telnet"},
        {"ruok\n", 5, "a protocol of text lines"},
        {"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0\0\x10", 32,
         "ZooKeeper"},
        {"*1x", 3, NULL},
        {"\xff\xff\xff\xff", 4, NULL},
        {"\0\0\0\0", 4, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *name = what_speaks((const uint8_t *)rows[i].bytes, rows[i].size);

        if (!name || !rows[i].expected) {
            assert_ptr_equal(name, rows[i].expected);
        } else {
            assert_string_equal(name, rows[i].expected);
        }
    }
}

/* What a client may send first is no other protocol, whatever its API, version, id and size. */
static void test_stranger__is_no_client(void **state) {
    static const char *const ids[] = {NULL, "", "a", "user", "rdkafka", "adminclient-1"};
    static const uint32_t sizes[] = {8, 10, 22, 44, 45, 300, 70000, 50331648, 67108864, 104857600};
    static const uint16_t versions[] = {0, 1, 2, 9, 13};
    uint8_t frame[40];
    size_t at;

    for (int key = 0; key < 100; key++) {
        for (int i = 0; i < 5 * 3 * (int)ARRAY_SIZE(ids) * (int)ARRAY_SIZE(sizes); i++) {
            const char *id = ids[i % (int)ARRAY_SIZE(ids)];
            int rest = i / (int)ARRAY_SIZE(ids);

            memset(frame, 0, sizeof frame);
            put_be32(frame, sizes[rest % (int)ARRAY_SIZE(sizes)]);
            rest /= (int)ARRAY_SIZE(sizes);
            put_be16(frame + 4, (uint16_t)key);
            put_be16(frame + 6, versions[rest % 5]);
            put_be32(frame + 8, (uint32_t)(rest / 5)); /* correlation ids begin near zero */
            put_be16(frame + 12, id ? (uint16_t)strlen(id) : 0xffff);
            at = 14;
            memcpy(frame + at, id ? id : "", id ? strlen(id) : 0);
            for (size_t size = 0; size <= sizeof frame; size += 4) {
                const char *name = what_speaks(frame, size);

                /* A Produce of version 0 with no client id, which nobody serves any more. */
                if (name && !(key == 0 && id && !*id && strcmp(name, "ZooKeeper") == 0)) {
                    fail_msg("api key %d, row %d, %zu bytes: %s", key, i, size, name);
                }
            }
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stranger__is_told_by_its_first_bytes),
        cmocka_unit_test(test_stranger__is_no_client),
    };
    return cmocka_run_group_tests_name("stranger", tests, NULL, NULL);
}
