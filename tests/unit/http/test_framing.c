/*
 * Raw requests against a whole server: status, end of the connection, and not one byte of a second
 * response. Every case is sent in one piece, and again cut in two at every byte.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

struct framing_case {
    const char *name;
    const char *bytes;
    size_t size;
    int status;
    bool closed;
    unsigned responses;
};

#define CASE(name, bytes, status, closed, responses)                                               \
    { name, bytes, sizeof(bytes) - 1, status, closed, responses }
#define REFUSED(name, bytes) CASE(name, bytes, 400, true, 1)
#define G                    "GET / HTTP/1.1\r\nHost: a\r\n"
#define P                    "POST / HTTP/1.1\r\nHost: a\r\n"
#define NEXT                 "GET /users/7 HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKED              P "Transfer-Encoding: chunked\r\n\r\n"

static const struct framing_case cases[] = {
    /* what llhttp 8.1 takes and we do not */
    REFUSED("head ended by CRLF CR X", G "\r"
                                         "X" NEXT),
    REFUSED("CR separates fields",
            "GET / HTTP/1.1\r\nHost: a\r\nDummy: x\rTransfer-Encoding: chunked\r\n\r\n" NEXT),
    REFUSED("empty value, CR, then encoding", P "Dummy:\rTransfer-Encoding: chunked\r\n\r\n" NEXT),
    REFUSED("head ended by CR alone", G "\r\r" NEXT),
    REFUSED("chunk data without CRLF", CHUNKED "3\r\nabcX0\r\n\r\n"),
    REFUSED("CR in a chunk extension", CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    REFUSED("LF in a chunk extension", CHUNKED "3;a\nabc\r\n0\r\n\r\n"),
    REFUSED("bytes above 0x7E in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("TAB in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("TAB in the target", "GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("folded line", G "X: a\r\n b\r\n\r\n"),
    REFUSED("folded by TAB", G "X: a\r\n\tb\r\n\r\n"),
    REFUSED("folded Transfer-Encoding", P "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("blank before Content-Length", P " Content-Length: 5\r\n\r\nhello"),
    REFUSED("blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    REFUSED("empty field name", G ": x\r\n\r\n"),
    REFUSED("Content-Length in a trailer", CHUNKED "0\r\nContent-Length: 5\r\n\r\n"),
    REFUSED("any trailer", CHUNKED "3\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    /* what every version leaves to the application */
    REFUSED("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    REFUSED("two Hosts on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    REFUSED("no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n"),
    REFUSED("no field at all", "GET / HTTP/1.1\r\n\r\n"),
    REFUSED("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    REFUSED("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    REFUSED("Host with a user", "GET / HTTP/1.1\r\nHost: x@a\r\n\r\n"),
    REFUSED("Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    REFUSED("Host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    REFUSED("Host with a list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    REFUSED("Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    REFUSED("fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("asterisk of a GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("target without a slash", "GET users HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    REFUSED("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    REFUSED("HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    REFUSED("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    REFUSED("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    REFUSED("lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("no version", "GET /\r\nHost: a\r\n\r\n"),
    REFUSED("two blanks before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    REFUSED("leading LF", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("leading blank", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("RTSP method", "DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("lower case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* lengths */
    REFUSED("length and encoding",
            P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("encoding and length",
            P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    REFUSED("two lengths", P "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    REFUSED("two equal lengths", P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    REFUSED("list of lengths", P "Content-Length: 3, 3\r\n\r\nabc"),
    REFUSED("length with plus", P "Content-Length: +3\r\n\r\nabc"),
    REFUSED("negative length", P "Content-Length: -1\r\n\r\nabc"),
    REFUSED("hexadecimal length", P "Content-Length: 0x3\r\n\r\nabc"),
    REFUSED("length with a blank inside", P "Content-Length: 1 2\r\n\r\nabc"),
    REFUSED("empty length", P "Content-Length:\r\n\r\n"),
    REFUSED("length 2^64-1", P "Content-Length: 18446744073709551615\r\n\r\n"),
    REFUSED("length that overflows", P "Content-Length: 99999999999999999999999\r\n\r\n"),
    REFUSED("blank before the colon", P "Content-Length : 3\r\n\r\nabc"),
    REFUSED("TAB before the colon", P "Content-Length\t: 3\r\n\r\nabc"),
    /* encodings */
    REFUSED("xchunked", P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    REFUSED("identity", P "Transfer-Encoding: identity\r\n\r\n"),
    REFUSED("chunked is not last", P "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    REFUSED("gzip, chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("two encodings",
            P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("identity and chunked",
            P "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("quoted chunked", P "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    REFUSED("chunked with VT", P "Transfer-Encoding: \x0b"
                                 "chunked\r\n\r\n0\r\n\r\n"),
    REFUSED("encoding on HTTP/1.0",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    /* bytes */
    REFUSED("bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
    REFUSED("bare LF in fields", G "X: a\nY: b\r\n\r\n"),
    REFUSED("NUL in a value", G "X: a\0b\r\n\r\n"),
    REFUSED("NUL in a name", G "X\0: a\r\n\r\n"),
    REFUSED("control byte in a value", G "X: a\x01\r\n\r\n"),
    REFUSED("field without colon", G "nonsense\r\n\r\n"),
    REFUSED("blank in a name", G "X Y: a\r\n\r\n"),
    REFUSED("parenthesis in a name", G "X(: a\r\n\r\n"),
    REFUSED("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01"),
    /* chunks */
    REFUSED("size 0x1", CHUNKED "0x1\r\na\r\n0\r\n\r\n"),
    REFUSED("size with minus", CHUNKED "-1\r\na\r\n0\r\n\r\n"),
    REFUSED("size overflows", CHUNKED "fffffffffffffffff\r\na\r\n"),
    REFUSED("no size", CHUNKED "\r\na\r\n0\r\n\r\n"),
    REFUSED("blank behind the size", CHUNKED "1 \r\na\r\n0\r\n\r\n"),
    REFUSED("bare LF behind the size", CHUNKED "1\na\r\n0\r\n\r\n"),
    REFUSED("bare LF behind the data", CHUNKED "1\r\na\n0\r\n\r\n"),
    REFUSED("junk behind the last chunk", CHUNKED "0\r\nX\r\n"),
    /* percent signs */
    REFUSED("hidden NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    REFUSED("hidden slash", "GET /a%2fb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    REFUSED("hidden line break", "GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    REFUSED("half a percent sign", "GET /a%4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    REFUSED("no UTF-8", "GET /a%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    /* nothing behind the end of a connection is looked at */
    CASE("data behind close", G "Connection: close\r\n\r\n" NEXT, 200, true, 1),
    CASE("data behind close and TAB", G "Connection: close\t\r\n\r\n" NEXT, 200, true, 1),
    CASE("close in a list", G "Connection: x, Close\r\n\r\n" NEXT, 200, true, 1),
    CASE("close beside keep-alive", G "Connection: keep-alive, close\r\n\r\n" NEXT, 200, true, 1),
    CASE("close in a second field", G "Connection: x\r\nConnection: close\r\n\r\n" NEXT, 200, true,
         1),
    CASE("unknown expectation", P "Expect: more\r\nContent-Length: 3\r\n\r\n", 417, true, 1),
    /* what is fine */
    CASE("plain", G "\r\n", 200, false, 1),
    CASE("pipelined", G "\r\n" NEXT NEXT, 200, false, 3),
    CASE("empty line before", "\r\n" G "\r\n", 200, false, 1),
    CASE("HTTP/1.0 ends", "GET / HTTP/1.0\r\n\r\n" NEXT, 200, true, 1),
    CASE("HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" NEXT, 200, false,
         2),
    CASE("length", P "Content-Length: 5\r\n\r\nhello" NEXT, 200, false, 2),
    CASE("length with blanks around", P "Content-Length:   5  \r\n\r\nhello" NEXT, 200, false, 2),
    CASE("length 0", P "Content-Length: 0\r\n\r\n" NEXT, 200, false, 2),
    CASE("chunked", CHUNKED "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n" NEXT, 200, false, 2),
    CASE("chunked in capitals", P "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n" NEXT, 200, false,
         2),
    CASE("chunk extension", CHUNKED "3;a=b\r\nabc\r\n000\r\n\r\n" NEXT, 200, false, 2),
    CASE("body of a GET", G "Content-Length: 5\r\n\r\nhello" NEXT, 200, false, 2),
    CASE("Upgrade is ignored", G "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" NEXT, 200, false, 2),
    CASE("Upgrade with a body",
         P "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab" NEXT, 200, false, 2),
    CASE("bytes above 0x7F in a value", G "X: \xc3\xa9\r\n\r\n" NEXT, 200, false, 2),
    CASE("empty value", G "X:\r\nY: \r\n\r\n" NEXT, 200, false, 2),
    CASE("Host with port", "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n" NEXT, 200, false, 2),
    CASE("Host of IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n" NEXT, 200, false, 2),
    CASE("OPTIONS of everything", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" NEXT, 204, false, 2),
    CASE("unknown path with a body",
         "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" NEXT, 404, false, 2),
};

static void check(struct rig *rig, const struct framing_case *c, size_t cut) {
    struct peer peer;
    peer_open(rig, &peer);
    if (cut) {
        peer_send(rig, &peer, c->bytes, cut);
    }
    peer_send(rig, &peer, c->bytes + cut, c->size - cut);
    if (peer_status(&peer, 0) != c->status || peer.closed != c->closed ||
        peer_responses(&peer) != c->responses) {
        fail_msg("%s, cut at %zu: status %d, closed %d, %u responses", c->name, cut,
                 peer_status(&peer, 0), peer.closed, peer_responses(&peer));
    }
    peer_close(rig, &peer);
}

static void test_framing__whole(void **state) {
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check(&rig, &cases[i], 0);
    }
    rig_stop(&rig);
}

static void test_framing__cut_at_every_byte(void **state) {
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t cut = 1; cut < cases[i].size; cut++) {
            check(&rig, &cases[i], cut);
        }
    }
    rig_stop(&rig);
}

static void test_framing__byte_by_byte(void **state) {
    struct rig rig;
    rig_start(&rig, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct peer peer;
        peer_open(&rig, &peer);
        for (size_t at = 0; at < cases[i].size; at++) {
            peer_send(&rig, &peer, cases[i].bytes + at, 1);
        }
        assert_int_equal(peer_status(&peer, 0), cases[i].status);
        assert_int_equal(peer_responses(&peer), cases[i].responses);
        assert_int_equal(peer.closed, cases[i].closed);
        peer_close(&rig, &peer);
    }
    rig_stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing__whole),
        cmocka_unit_test(test_framing__cut_at_every_byte),
        cmocka_unit_test(test_framing__byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
