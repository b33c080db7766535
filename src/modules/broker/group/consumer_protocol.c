#include "consumer_protocol.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>
#include <stdlib.h>

bool group_is_consumers(const struct group *group) {
    return group->protocol_type &&
           span_equal(span_text(group->protocol_type), SPAN_LITERAL("consumer"));
}

static int names_add(struct consumer_topics *topics, struct span name) {
    if (hashmap_find(&topics->names, name)) {
        return 0;
    }
    struct span *kept = malloc(sizeof *kept);
    if (!kept) {
        return err_origin(-ENOMEM);
    }
    *kept = name;
    int r = hashmap_put(&topics->names, name, kept, NULL);
    if (r != 0) {
        free(kept);
    }
    return err_trace(r);
}

/* The topics of one member's metadata; *ret_readable false when it is not the consumer protocol. */
static int names_add_all(struct consumer_topics *topics, struct span metadata, bool *ret_readable) {
    const uint8_t *at = metadata.data;
    size_t left = metadata.size;
    *ret_readable = false;
    if (left < 6) {
        return 0;
    }
    int32_t count = (int32_t)get_be32(at + 2);
    at += 6;
    left -= 6;
    for (int32_t i = 0; i < count; i++) {
        size_t size = left >= 2 ? get_be16(at) : 0;
        if (left < 2 || size > left - 2) {
            return 0;
        }
        int r = names_add(topics, span_of(at + 2, size));
        if (r != 0) {
            return err_trace(r);
        }
        at += 2 + size;
        left -= 2 + size;
    }
    *ret_readable = count >= 0;
    return 0;
}

int consumer_topics_collect(const struct group *group, struct consumer_topics *topics) {
    hashmap_init(&topics->names, random_u64(group->random), random_u64(group->random));
    topics->known = group_is_consumers(group) && (group->protocol || group->member_count == 0);
    list_for_each(link, &group->members) {
        bool readable = false;
        struct span metadata = group_member_metadata(list_entry(link, struct group_member, link));
        int r = topics->known ? names_add_all(topics, metadata, &readable) : 0;
        if (r != 0) {
            consumer_topics_deinit(topics);
            return err_trace(r);
        }
        topics->known = topics->known && readable;
    }
    return 0;
}

void consumer_topics_deinit(struct consumer_topics *topics) {
    size_t position = 0;
    struct span *name;
    while ((name = hashmap_next(&topics->names, &position))) {
        free(name);
    }
    hashmap_deinit(&topics->names);
}

bool consumer_topics_has(const struct consumer_topics *topics, const struct group *group,
                         struct span topic) {
    return topics->known ? hashmap_find(&topics->names, topic) != NULL : group_is_consumers(group);
}
