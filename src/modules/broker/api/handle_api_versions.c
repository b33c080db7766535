/*
 * ApiVersions: the first that every client asks. The answer depends on the version alone and lists
 * some sixty APIs, so its bytes are kept: encoding it again cost more than all else of the request.
 */
#include "api_private.h"

/* Letters and digits with dots and dashes inside (KIP-511). */
static bool software_name_valid(struct span name) {
    const char *text = name.data;

    for (size_t i = 0; i < name.size; i++) {
        bool alphanumeric =
            (text[i] >= '0' && text[i] <= '9') || ((text[i] | 32) >= 'a' && (text[i] | 32) <= 'z');
        bool inside = i > 0 && i + 1 < name.size;

        if (!alphanumeric && !(inside && (text[i] == '.' || text[i] == '-'))) {
            return false;
        }
    }
    return name.size > 0;
}

/* Without memory for them the answer says less. */
static void add_features(const struct kafka_request *request,
                         struct api_versions_response *answer) {
    struct api_versions_response_supported_feature *supported =
        KAFKA_NEW(request->arena, api_versions_response_supported_feature, kafka_features_count);
    struct api_versions_response_finalized_feature *finalized =
        KAFKA_NEW(request->arena, api_versions_response_finalized_feature, kafka_features_count);

    for (size_t i = 0; supported && finalized && i < kafka_features_count; i++) {
        const struct kafka_feature *feature = &kafka_features[i];

        supported[i].name = finalized[i].name = span_text(feature->name);
        supported[i].min_version = feature->min;
        supported[i].max_version = feature->max;
        finalized[i].min_version_level = finalized[i].max_version_level = feature->level;
        answer->supported_features_count++;
        answer->finalized_features_count++;
    }
    answer->supported_features = supported;
    answer->finalized_features = finalized;
    answer->finalized_features_epoch = 0;
}

/* NULL without memory. @body NULL: for a version that we do not know. */
static struct api_versions_response *make_answer(const struct kafka_request *request) {
    const struct broker *broker = request->userdata;
    struct api_versions_response *answer = KAFKA_NEW(request->arena, api_versions_response, 1);
    struct api_versions_response_api_version *rows =
        KAFKA_NEW(request->arena, api_versions_response_api_version, API_KEYS_MAX);

    if (!answer || !rows) {
        return NULL;
    }
    if (request->body && request->version >= 3) {
        add_features(request, answer);
    }
    answer->api_keys = rows;
    for (int16_t key = 0; key < API_KEYS_MAX; key++) {
        const struct kafka_handler *handler = broker->find_api(broker->server, key);

        if (handler && (request->body || key == request->api->key)) {
            rows[answer->api_keys_count++] = (struct api_versions_response_api_version){
                key, handler->version_first, handler->version_last};
        }
    }
    return answer;
}

/* What has no body to be refused by is answered in version 0: which versions of this API we do
 * know. */
static void refuse_version(struct kafka_request *request) {
    struct api_versions_response *answer = make_answer(request);

    if (!answer) {
        out_of_memory(request);
        return;
    }
    answer->error_code = KAFKA_UNSUPPORTED_VERSION;
    kafka_respond(request, answer);
}

static void refuse_software_name(struct kafka_request *request) {
    struct api_versions_response *answer = KAFKA_NEW(request->arena, api_versions_response, 1);

    if (!answer) {
        out_of_memory(request);
        return;
    }
    answer->error_code = KAFKA_INVALID_REQUEST;
    kafka_respond(request, answer);
}

/* The bytes of the answer in this version, made when first asked for; empty without memory. */
static struct span kept_answer(struct kafka_request *request) {
    struct broker *broker = request->userdata;
    struct kafka_encoded *kept = &broker->api_versions[request->version];
    bool flexible = request->version >= request->api->flexible_first;

    if (kept->text.size == 0) {
        struct api_versions_response *answer = make_answer(request);

        if (!answer ||
            kafka_encode(request->api->response, request->version, flexible, answer, kept) != 0) {
            kafka_encoded_deinit(kept);
        }
    }
    return text_span(&kept->text);
}

void api_versions_deinit(struct broker *broker) {
    for (size_t i = 0; i < API_VERSIONS_COUNT; i++) {
        kafka_encoded_deinit(&broker->api_versions[i]);
    }
}

void handle_api_versions(struct kafka_request *request) {
    const struct api_versions_request *body = request->body;
    struct span answer;

    if (!body) {
        refuse_version(request);
        return;
    }
    if (request->version >= 3 && (!software_name_valid(body->client_software_name) ||
                                  !software_name_valid(body->client_software_version))) {
        refuse_software_name(request);
        return;
    }
    answer = kept_answer(request);
    if (answer.size == 0) {
        out_of_memory(request);
        return;
    }
    kafka_respond_encoded(request, answer);
}
