/*
 * One log line inside a sealed chunk, found again: where it ends, and what it says of itself. Only
 * chunks of ours are read, so this knows just what encode.c writes; bytes are still looked at
 * before they are believed. Pure. Thread: any.
 */
#pragma once

#include <eventbox/base/span.h>
#include <eventbox/host/log.h>

struct fluent_entry {
    size_t size; /* bytes in the chunk */
    enum log_level level;
    struct span service, action; /* borrowed from the chunk */
};

/** fluent_entry_read() - the entry that begins @bytes; false when there is none of ours */
bool fluent_entry_read(struct span bytes, struct fluent_entry *ret_entry);
