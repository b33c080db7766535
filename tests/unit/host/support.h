/* What the tests of the host share: cmocka in its order, files with a content. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <eventbox/base/defs.h>

enum { PATH_SIZE = 64 };

/* A new file with @content; the caller unlinks @path. */
static inline _unused_ void make_file(char path[PATH_SIZE], const char *content) {
    snprintf(path, PATH_SIZE, "/tmp/eventbox-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static inline _unused_ void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) {
        fail_msg("\"%s\" is not in \"%s\"", part, text);
    }
}
