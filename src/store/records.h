/*
 * Records of an outbox row as bytes. Version 1, numbers are varints (u unsigned, i zig-zag):
 *
 *     u8 version = 1
 *     u count
 *     count times:
 *         u topic bytes, topic
 *         i partition
 *         i timestamp_ms
 *         u key bytes + 1 (0: null), key
 *         u value bytes + 1 (0: null), value
 *         u header count
 *         header count times: u name bytes, name; u value bytes + 1 (0: null), value
 */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/base/text.h>
#include <eventbox/loop/topic.h>

void records_encode(const struct topic_record *records, size_t count, struct text *out);

/**
 * records_decode() - the records in @bytes
 * Ownership: arrays and topic names live in @arena, keys, values and headers borrow from @bytes.
 * Return: 0; -EBADMSG when @bytes are damaged; -ENOMEM.
 */
int records_decode(struct span bytes, struct arena *arena, struct topic_record **ret_records,
                   size_t *ret_count);
