/* Whatever json_parse() accepts, json_convert() writes, and reading that gives the same text again.
 */
#include <eventbox/base/error.h>
#include <eventbox/base/json.h>
#include <eventbox/base/utf8.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct json_limits wide = {MIB(4), 32, 10000};
    struct json_error error;
    struct json *json = NULL;
    struct json *again = NULL;
    struct text first, second;
    int r = json_parse(span_of(data, size), &limits, &json, &error);

    if (r == JSON_E_INVALID) {
        require(error.position <= size && error.characters <= error.position && error.text);
    }
    if (r) {
        return 0;
    }
    text_init(&first);
    text_init(&second);
    json_convert(json, &first);
    require(!text_failed(&first) && utf8_valid(first.data, first.size));
    require(json_parse(text_span(&first), &wide, &again, NULL) == 0);
    json_convert(again, &second);
    require(span_equal(text_span(&first), text_span(&second)));
    text_deinit(&first);
    text_deinit(&second);
    json_free(json);
    json_free(again);
    return 0;
}
