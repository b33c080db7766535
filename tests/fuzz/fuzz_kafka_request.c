/*
 * Input: one byte (0 request, 1 response), the API key and the version with two bytes each, then
 * the body. Whatever the walker accepts, it writes, and reading that gives the same bytes again.
 */
#include "kafka_messages_all.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_BYTES = 5, ARENA_BYTES = 8 << 20 };

static void require(bool condition) {
    if (!condition) {
        abort();
    }
}

static void check_message(const struct kafka_struct *type, int16_t version, bool flexible,
                          struct span in) {
    struct kafka_encoded first, second;
    struct arena arena;
    size_t size = 0;
    void *body;
    int r;

    arena_init(&arena, ARENA_BYTES);
    kafka_encoded_init(&first);
    kafka_encoded_init(&second);
    body = arena_alloc(&arena, type->size);
    r = kafka_decode(type, version, flexible, in, &arena, body, &size);
    require(r <= 0 || r == BROKER_E_MALFORMED);
    if (r == 0) {
        require(size <= in.size);
        require(kafka_encode(type, version, flexible, body, &first) == 0);
        arena_deinit(&arena);
        body = arena_alloc(&arena, type->size);
        require(kafka_decode(type, version, flexible, text_span(&first.text), &arena, body,
                             &size) == 0);
        require(size == first.text.size);
        require(kafka_encode(type, version, flexible, body, &second) == 0);
        require(span_equal(text_span(&first.text), text_span(&second.text)));
    }
    kafka_encoded_deinit(&first);
    kafka_encoded_deinit(&second);
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct kafka_api *api;
    int16_t version;

    if (size < HEADER_BYTES) {
        return 0;
    }
    api = kafka_api_find((int16_t)get_be16(data + 1));
    version = (int16_t)get_be16(data + 3);
    if (api && kafka_versions_has(api->versions, version)) {
        check_message(data[0] ? api->response : api->request, version,
                      version >= api->flexible_first,
                      span_of(data + HEADER_BYTES, size - HEADER_BYTES));
    }
    return 0;
}
