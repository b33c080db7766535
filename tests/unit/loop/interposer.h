/*
 * System calls of the disk that a test can interrupt, cut short or fail. The test that links
 * interposer.c, with the link arguments of meson.build, says what happens. Thread: the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** interposed_interrupt() - the test's: true for EINTR in place of the call, in errno */
bool interposed_interrupt(void);
/** interposed_allow() - the test's: how much of @size is done; -1: the call fails with errno */
ssize_t interposed_allow(int fd, size_t size);
