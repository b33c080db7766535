/* What the files of the walker share: codec_walk.c (tables, defaults), codec_decode.c,
 * codec_encode.c. */
#pragma once

#include "codec_walk.h"

static inline bool codec_is_tagged(const struct kafka_field *field, int16_t version) {
    return field->tag >= 0 && kafka_versions_has(field->tagged, version);
}

static inline struct span *codec_unknown_tags(const struct kafka_struct *type, const void *body) {
    return type->unknown_tags_offset == KAFKA_NO_TAGS
               ? NULL
               : (struct span *)((uintptr_t)body + type->unknown_tags_offset);
}

static inline int32_t *codec_count(const struct kafka_field *field, const void *body) {
    return (int32_t *)((uintptr_t)body + field->count_offset);
}

/* ---- codec_walk.c ---- */
/** codec_element_bytes() - of one element in its C array */
size_t codec_element_bytes(const struct kafka_field *field);
/** codec_init_field() - of the struct at @body, at its default; codec_init_tags() - no unknown ones
 */
void codec_init_field(const struct kafka_field *field, uint8_t *body);
void codec_init_tags(const struct kafka_struct *type, uint8_t *body);
/** codec_is_default() - a field that is need not be written where it is tagged */
bool codec_is_default(const struct kafka_field *field, const uint8_t *body);

/* ---- codec_decode.c ---- */
struct codec_reader {
    const uint8_t *at;
    size_t left;
    int16_t version;
    bool flexible;
    struct arena *arena;
};
/** codec_take_varint() - 0 or BROKER_E_MALFORMED, as of all that takes from a reader */
int codec_take_varint(struct codec_reader *in, uint32_t *ret_value);
/** codec_take_tag() - one tagged field, whole */
int codec_take_tag(struct codec_reader *in, uint32_t *ret_tag, struct span *ret_value);
/** codec_find_tag() - the field that is tagged so in @version; NULL: a newer schema's */
const struct kafka_field *codec_find_tag(const struct kafka_struct *type, int16_t version,
                                         uint32_t tag);
