/* Texts as Java counts them, in UTF-16 units: Kafka's limits, its places of groups and the order of
 * its hash maps depend on it. */
#pragma once

#include <eventbox/base/span.h>

/** java_text_length() - String.length(); @text is UTF-8, a wrong byte counts as one unit */
size_t java_text_length(struct span text);
/** java_text_hash() - String.hashCode() */
uint32_t java_text_hash(struct span text);
/** java_text_place() - abs(String.hashCode()) % count: the partition of a group or transaction */
int32_t java_text_place(struct span text, int32_t count);
