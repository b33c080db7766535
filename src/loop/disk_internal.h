/* What both disks agree on. */
#pragma once

#include <eventbox/loop/disk.h>

/** disk_path_valid() - relative, no empty, "." or ".." part; "." alone names the root itself */
bool disk_path_valid(const char *path);
