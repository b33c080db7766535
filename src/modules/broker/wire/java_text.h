/* Texts as Java counts them, in UTF-16 units: Kafka's limits, its places of groups and the order of
 * its hash maps depend on it. */
#pragma once

#include <eventbox/base/span.h>

/** java_text_length() - String.length(); @text is UTF-8, a wrong byte counts as one unit */
size_t java_text_length(struct span text);
/** java_text_hash() - String.hashCode() */
uint32_t java_text_hash(struct span text);
/**
 * java_text_clean() - new String(data, UTF_8), as UTF-8 again: U+FFFD for what is none
 * @out: 3 * size bytes
 * Unlike utf8_clean(), a surrogate that somebody has encoded is one mistake, not three. Return:
 * bytes written.
 */
size_t java_text_clean(const void *data, size_t size, char *out);
/** java_text_place() - abs(String.hashCode()) % count: the partition of a group or transaction */
int32_t java_text_place(struct span text, int32_t count);
