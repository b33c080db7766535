/* UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include <eventbox/base/defs.h>

/** utf8_prefix() - bytes of valid UTF-8 at the beginning */
size_t utf8_prefix(const void *data, size_t size);
/** utf8_valid() - true when all of it is */
bool utf8_valid(const void *data, size_t size);
/** utf8_count() - code points of valid UTF-8 */
size_t utf8_count(const void *data, size_t size);
/** utf8_clean() - copy to @out with U+FFFD for each invalid sequence; @out needs 3 * size; returns
 * bytes written */
size_t utf8_clean(const void *data, size_t size, char *out);
/** utf8_cut() - the largest length at most @limit that does not split a code point */
size_t utf8_cut(const void *data, size_t size, size_t limit);
