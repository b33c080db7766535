/* Is a range of a file in the page cache? Asked on the loop before sendfile, so that it never waits
 * for the disk. */
#pragma once

#include <eventbox/base/defs.h>

/** range_cached() - true when all of it is, and false when not or when nobody can tell */
bool range_cached(int fd, uint64_t offset, size_t size);

/* For a reader that passes by once, and shall leave the cache as it was. */

/** file_reads_apart() - the kernel reads nothing ahead on this descriptor */
void file_reads_apart(int fd);
/** range_forget() - out of the page cache, but for what is not yet written */
void range_forget(int fd, uint64_t offset, size_t size);
