/*
 * Who else knocks at a Kafka port: programs that were given the wrong address, and scanners. Kafka
 * would read the first four bytes of each as the length of a frame and say that it is too large, or
 * wait for the rest of it for good. Here the log says what the peer seems to speak.
 *
 * A connection is looked at only until its first request was understood, and a row must not match
 * what a Kafka client may send first: a length below the limit, an api key that exists, a small
 * version, a correlation id that begins near zero. Rows whose first four bytes are a length beyond
 * any limit are safe by that alone; what the others rely on stands at each.
 */
#include "api_private.h"

#include <eventbox/base/bytes.h>

#include <ctype.h>

#define BYTES(text) (text), sizeof(text) - 1

/* In the order in which they are tried: the first that matches is told. */
static const struct {
    size_t at; /* where its bytes stand */
    const char *bytes;
    size_t size;
    const char *name;
} peers[] = {
    {0, BYTES("GET "), "HTTP"},
    {0, BYTES("POST"), "HTTP"},
    {0, BYTES("PUT "), "HTTP"},
    {0, BYTES("HEAD"), "HTTP"},
    {0, BYTES("DELE"), "HTTP"},
    {0, BYTES("OPTI"), "HTTP"},
    {0, BYTES("PATC"), "HTTP"},
    {0, BYTES("TRAC"), "HTTP"},
    {0, BYTES("CONNECT {"), "NATS"},
    {0, BYTES("CONN"), "HTTP"},
    {0, BYTES("PRI "), "HTTP/2"},
    {0, BYTES("\x16\x03"), "TLS"},
    {0, BYTES("SSH-"), "SSH"},
    {0, BYTES("HELO"), "SMTP"},
    {0, BYTES("EHLO"), "SMTP"},
    {0, BYTES("PING"), "Redis (RESP)"},
    {0, BYTES("INFO"), "Redis (RESP)"},
    {0, BYTES("AMQP"), "AMQP"},
    {0, BYTES("RTSP"), "RTSP"},
    {0, BYTES("PROXY "), "the PROXY protocol"},
    {0, BYTES("\r\n\r\n\0\r\nQUIT\n"), "the PROXY protocol"},
    {12, BYTES("\xdd\x07\0\0"), "MongoDB"}, /* behind a length with its lowest byte first */
    {12, BYTES("\xd4\x07\0\0"), "MongoDB"},
    /* 8 bytes from api key 1234 on: questions for TLS and for GSSAPI */
    {0, BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), "PostgreSQL"},
    {0, BYTES("\0\0\0\x08\x04\xd2\x16\x30"), "PostgreSQL"},
    /* Metadata of version 0 or 2 with the correlation id "user": its first parameter */
    {4, BYTES("\0\x03\0\0user\0"), "PostgreSQL"},
    {4, BYTES("\0\x03\0\x02user\0"), "PostgreSQL"},
    {4, BYTES("\xffSMB"), "SMB"}, /* negative api keys */
    {4, BYTES("\xfeSMB"), "SMB"},
    /* OPTIONS and STARTUP of versions 3 to 5: api keys of 256 and more */
    {0, BYTES("\x03\0\0\0\x05\0\0\0\0"), "Cassandra (CQL)"},
    {0, BYTES("\x03\0\0\0\x01\0\0\0"), "Cassandra (CQL)"},
    {0, BYTES("\x04\0\0\0\x05\0\0\0\0"), "Cassandra (CQL)"},
    {0, BYTES("\x04\0\0\0\x01\0\0\0"), "Cassandra (CQL)"},
    {0, BYTES("\x05\0\0\0\x05\0\0\0\0"), "Cassandra (CQL)"},
    {0, BYTES("\x05\0\0\0\x01\0\0\0"), "Cassandra (CQL)"},
};

/* *1\r\n: an array of so many words. */
static bool is_redis(const uint8_t *bytes, size_t size) {
    size_t at = 1;

    while (at < size && isdigit(bytes[at])) {
        at++;
    }
    return bytes[0] == '*' && at > 1 && (at == size || bytes[at] == '\r');
}

/* CONNECT, a length of one to four bytes, the name of the protocol. */
static bool is_mqtt(const uint8_t *bytes, size_t size) {
    size_t at = 1;

    while (at < 4 && at < size && bytes[at] & 0x80) {
        at++;
    }
    at++;
    return bytes[0] == 0x10 && size >= at + 6 &&
           (memcmp(bytes + at, "\0\4MQTT", 6) == 0 || memcmp(bytes + at, "\0\6MQIs", 6) == 0);
}

/* A msgpack array of two to four, the first of them a tag: text. */
static bool is_forward(const uint8_t *bytes, size_t size) {
    return bytes[0] >= 0x92 && bytes[0] <= 0x94 && size > 2 &&
           ((bytes[1] > 0xa0 && bytes[1] < 0xc0) || bytes[1] == 0xd9) && isprint(bytes[2]);
}

/* What older tools send that look for ZooKeeper here: protocol 0, zxid 0, a password of 16 bytes.
 * As a frame it would be a Produce of version 0 with a client id of no bytes. */
static bool is_zookeeper(const uint8_t *bytes, size_t size) {
    static const uint8_t password[] = {0, 0, 0, 16};
    uint32_t length = get_be32(bytes);

    return (length == 44 || length == 45) && size >= 32 && get_be32(bytes + 4) == 0 &&
           get_be32(bytes + 8) == 0 && get_be32(bytes + 12) == 0 &&
           memcmp(bytes + 28, password, sizeof password) == 0;
}

/* A connection request of Remote Desktop: TPKT version 3, and what would be a negative length of a
 * client id or an api key of 3,000 and more. */
static bool is_rdp(const uint8_t *bytes, size_t size) {
    return size > 5 && bytes[0] == 3 && bytes[1] == 0 && bytes[2] == 0 && bytes[5] == 0xe0;
}

/* Somebody types, or a protocol of lines that no row knows. */
static bool is_text(const uint8_t *bytes) {
    for (int i = 0; i < 4; i++) {
        if (!isprint(bytes[i]) && bytes[i] != '\r' && bytes[i] != '\n' && bytes[i] != '\t') {
            return false;
        }
    }
    return true;
}

const char *what_speaks(const uint8_t *bytes, size_t size) {
    if (size < 4) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        if (size >= peers[i].at + peers[i].size &&
            memcmp(bytes + peers[i].at, peers[i].bytes, peers[i].size) == 0) {
            return peers[i].name;
        }
    }
    return is_redis(bytes, size)                                     ? "Redis (RESP)"
           : is_mqtt(bytes, size)                                    ? "MQTT"
           : is_forward(bytes, size)                                 ? "Fluentd's forward protocol"
           : is_zookeeper(bytes, size)                               ? "ZooKeeper"
           : is_rdp(bytes, size)                                     ? "RDP"
           : bytes[0] == 0xff && bytes[1] >= 0xfb && bytes[1] < 0xff ? "Telnet"
           : is_text(bytes)                                          ? "a protocol of text lines"
                                                                     : NULL;
}
