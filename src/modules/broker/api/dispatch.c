#include "api_private.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/varint.h>

#include <errno.h>
#include <stdio.h>

enum {
    API_VERSIONS_KEY = 18,
    SASL_HANDSHAKE_KEY = 17,
    HEADER_LEAST_BYTES = 8,
    VERSIONS_MAX = 64, /* no API has so many, nor will soon */
};

/*
 * A request begins with api key, version and correlation id, then the client id as a nullable
 * string of the old form (even where the rest is flexible), then, in flexible versions, tagged
 * fields. Any length below 0 is null.
 */
struct frame_reader {
    const uint8_t *at;
    size_t left;
};

static bool read_client_id(struct frame_reader *in, struct span *ret_client_id) {
    int16_t size;

    *ret_client_id = SPAN_NULL;
    if (in->left < 2) {
        return false;
    }
    size = (int16_t)get_be16(in->at);
    in->at += 2;
    in->left -= 2;
    if (size > 0 && (size_t)size > in->left) {
        return false;
    }
    if (size >= 0) {
        *ret_client_id = span_of(in->at, (size_t)size);
        in->at += size;
        in->left -= (size_t)size;
    }
    return true;
}

static bool read_varint(struct frame_reader *in, uint32_t *ret_value) {
    size_t n = varint_get_u32(in->at, in->left, ret_value);

    in->at += n;
    in->left -= n;
    return n > 0;
}

static bool skip_tags(struct frame_reader *in) {
    uint32_t count;
    uint32_t tag;
    uint32_t size;

    if (!read_varint(in, &count)) {
        return false;
    }
    for (int32_t i = 0; i < (int32_t)count; i++) { /* beyond 2^31 is below 0 for Kafka: none */
        if (!read_varint(in, &tag) || !read_varint(in, &size) || size > in->left) {
            return false;
        }
        in->at += size;
        in->left -= size;
    }
    return true;
}

/* A column of the response that can say "unsupported version" for the whole request. */
static const struct kafka_field *find_error_field(const struct kafka_api *api, int16_t version) {
    for (unsigned i = 0; i < api->response->field_count; i++) {
        const struct kafka_field *field = &api->response->fields[i];

        if (strcmp(field->name, "ErrorCode") == 0 && kafka_versions_has(field->versions, version)) {
            return field;
        }
    }
    return NULL;
}

/*
 * A version that is not served. ApiVersions answers in version 0 with the table, so that
 * the client can choose again; others say so where the layout is known and has a place for it.
 */
static int refuse_version(struct kafka_server *server, struct api_request *request,
                          const struct api_entry *entry) {
    struct kafka_request *public = &request->public;
    const struct kafka_api *api = entry->api;
    const struct kafka_field *field;
    void *body;

    server->stats.unsupported_versions++;
    if (kafka_versions_has(api->versions, public->version) &&
        (field = find_error_field(api, public->version)) != NULL) {
        body = kafka_new(public->arena, api->response, 1);
        if (body) {
            *(int16_t *)(void *)((uint8_t *)body + field->offset) = KAFKA_UNSUPPORTED_VERSION;
            kafka_respond(public, body);
            return 0;
        }
    }
    return -EPROTO;
}

static int bad(const char **ret_reason, char *buffer, size_t size,
               const struct api_request *request, const char *name, const char *what) {
    const struct span client = request->public.client_id;

    snprintf(buffer, size, "%s version %d of client '%.*s' %s", name, request->public.version,
             (int)MIN(client.size, (size_t)100), client.data ? (const char *)client.data : "",
             what);
    *ret_reason = buffer;
    return -EPROTO;
}

bool dispatch_seems_kafka(const struct kafka_server *server, const uint8_t *frame, size_t size) {
    int16_t key = size >= 4 ? (int16_t)get_be16(frame) : -1;

    return key >= 0 && key < API_KEYS_MAX && frame[2] == 0 && frame[3] < VERSIONS_MAX &&
           (server->entries[key].handler || key == SASL_HANDSHAKE_KEY);
}

int dispatch_frame(struct kafka_server *server, struct api_request *request,
                   const char **ret_reason) {
    static char reason[256];
    char unknown[24];
    struct kafka_request *public = &request->public;
    struct frame_reader in = {public->frame->data, public->frame->size};
    const struct api_entry *entry = NULL;
    const struct kafka_handler *handler;
    bool flexible;
    void *body;
    int16_t key;
    int r;

    if (in.left < HEADER_LEAST_BYTES) {
        *ret_reason = "a frame is shorter than a request header";
        return -EPROTO;
    }
    key = (int16_t)get_be16(in.at);
    public->version = (int16_t)get_be16(in.at + 2);
    public->correlation_id = (int32_t)get_be32(in.at + 4);
    in.at += HEADER_LEAST_BYTES;
    in.left -= HEADER_LEAST_BYTES;
    if (!read_client_id(&in, &public->client_id) ||
        kafka_clean_text(public->arena, &public->client_id)) {
        *ret_reason = "the request header is damaged";
        return -EPROTO;
    }
    if (key >= 0 && key < API_KEYS_MAX && server->entries[key].handler) {
        entry = &server->entries[key];
    }
    if (!entry && key == SASL_HANDSHAKE_KEY) {
        return bad(ret_reason, reason, sizeof reason, request, "SaslHandshake",
                   "wants SASL, which this listener does not ask for: set security.protocol to "
                   "PLAINTEXT");
    }
    if (!entry) {
        snprintf(unknown, sizeof unknown, "api key %d", key);
        return bad(ret_reason, reason, sizeof reason, request, unknown, "is not served");
    }
    handler = entry->handler;
    public->api = entry->api;
    public->userdata = entry->userdata;

    if (key == API_VERSIONS_KEY &&
        (public->version < 0 || public->version > handler->version_last)) {
        public->version = 0;
        public->body = NULL; /* says that the version is unknown */
        handler->handle(public);
        return 0;
    }
    if (public->version < handler->version_first || public->version > handler->version_last) {
        r = refuse_version(server, request, entry);
        return r ? bad(ret_reason, reason, sizeof reason, request, entry->api->name,
                       "is not served")
                 : 0;
    }
    flexible = public->version >= entry->api->flexible_first;
    if (flexible && !skip_tags(&in)) {
        return bad(ret_reason, reason, sizeof reason, request, entry->api->name,
                   "has a damaged header");
    }
    body = arena_alloc(public->arena, entry->api->request->size);
    r = body ? kafka_decode(entry->api->request, public->version, flexible, span_of(in.at, in.left),
                            public->arena, body, NULL)
             : -ENOMEM;
    if (r) {
        return bad(ret_reason, reason, sizeof reason, request, entry->api->name,
                   r == BROKER_E_MALFORMED ? "cannot be decoded" : "needs too much memory");
    }
    public->body = body;
    handler->handle(public);
    return 0;
}
