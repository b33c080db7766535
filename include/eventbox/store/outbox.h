/*
 * Transactional outbox: the events of a change are rows of the change's own transaction, so no
 * event is lost or invented by a crash. One row holds all records of one change; the relay appends
 * them, together with its cursor (store uuid, outbox id), as one journal frame, in id order, and
 * skips what lies at or below the cursor. Ids are AUTOINCREMENT and rise in commit order.
 */
#pragma once

#include <eventbox/base/trace.h>
#include <eventbox/loop/topic.h>
#include <eventbox/store/store.h>

/**
 * outbox_add() - write one row with @count records into the transaction
 * @trace: travels in each record's traceparent header; may be NULL
 * A record with timestamp_ms 0 gets the time of this call.
 * Return: 0 and *ret_id (may be NULL); STORE_E_OUTBOX_FULL; TOPIC_E_TOO_LARGE above 1 MiB;
 * negative.
 */
int outbox_add(struct store_tx *tx, const struct trace *trace, const struct topic_record *records,
               size_t count, int64_t *ret_id);

/** outbox_migrations() - the store's own tables; the host puts them first */
const struct store_migration_set *outbox_migrations(void);
