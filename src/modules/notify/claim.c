/*
 * The durable steps of an attempt, in the order in which they protect it:
 *
 *   T2 claim     the delivery becomes `sending` with a higher fence, and an attempt row begins;
 *                only then may a byte leave
 *   T3 outcome   the attempt row ends, and the delivery gets its next state, if the fence is still
 * ours recovery     at start, every attempt that has begun and not ended becomes `in_doubt`
 *
 * A process may die between any two of them: before T2 the delivery is still due, after T3 it is
 * done, and between them nobody can know whether the provider took it. That is said, not guessed.
 */
#include "notify.h"

#include <errno.h>
#include <stdlib.h>

void flight_free(struct flight *flight) {
    if (!flight) {
        return;
    }
    text_deinit(&flight->address);
    text_deinit(&flight->subject);
    text_deinit(&flight->message);
    free(flight);
}

static void free_flights(struct claim *claim) {
    struct list *link;
    while ((link = list_pop_front(&claim->flights))) {
        flight_free(list_entry(link, struct flight, link));
    }
    claim->count = 0;
}

void claim_free(struct claim *claim) {
    if (claim) {
        free_flights(claim);
        free(claim);
    }
}

#ifdef MUTANT_CLAIM
/* The measure that this build leaves out: deliveries stay due while they are sent. */
static bool is_in_flight(const struct claim *claim, int64_t delivery_id) {
    for (size_t i = 0; i < claim->in_flight_count; i++) {
        if (claim->in_flight[i] == delivery_id) {
            return true;
        }
    }
    return false;
}
#endif

static int read_flight(struct store_stmt *stmt, struct claim *claim) {
    struct span text;
    struct flight *flight = calloc(1, sizeof *flight);
    if (!flight) {
        return err_origin(-ENOMEM);
    }
    list_push_back(&claim->flights, &flight->link);
    flight->notify = claim->notify;
    flight->delivery_id = store_column_int(stmt, 0);
    flight->notification_id = store_column_int(stmt, 1);
    flight->attempts = store_column_int(stmt, 2) + 1;
    flight->fence = store_column_int(stmt, 3) + 1;
    flight->has_user_id = !store_column_is_null(stmt, 4);
    flight->user_id = store_column_int(stmt, 4);
    flight->has_trace = trace_parse(store_column_text(stmt, 5), &flight->trace);
    text = store_column_text(stmt, 6);
    text_append(&flight->address, text.data, text.size);
    text = store_column_text(stmt, 7);
    text_append(&flight->subject, text.data, text.size);
    text = store_column_text(stmt, 8);
    text_append(&flight->message, text.data, text.size);
    uuid_format(&claim->attempt_ids[claim->count++], flight->attempt_id);
    return text_failed(&flight->address) || text_failed(&flight->subject) ||
                   text_failed(&flight->message)
               ? err_origin(-ENOMEM)
               : 0;
}

static int select_due(struct store_tx *tx, struct claim *claim) {
    struct store_stmt *stmt;
    int status = store_prepare(
        tx,
        "SELECT d.id, d.notification_id, d.attempts, d.fence, n.user_id, n.traceparent, d.address,"
        " n.subject, n.message, d.next_at FROM notify_delivery d JOIN notify_notification n"
        " ON n.id = d.notification_id WHERE d.provider = $1 AND d.state IN ('queued', 'retrying')"
        " ORDER BY d.next_at, d.id LIMIT $2",
        &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(claim->provider));
    /* One row more than can be claimed: it tells when to look again. */
    store_bind_int(stmt, 2, (int64_t)claim->limit + 1);
    while ((status = store_step(stmt)) == STORE_ROW) {
        int64_t next_at_ms = store_column_int(stmt, 9);
#ifdef MUTANT_CLAIM
        if (is_in_flight(claim, store_column_int(stmt, 0))) {
            continue;
        }
#endif
        if (next_at_ms > claim->now_ms || claim->count == claim->limit) {
            claim->next_due_ms = MAX(next_at_ms, 1);
            return 0;
        }
        status = read_flight(stmt, claim);
        if (status) {
            return err_trace(status);
        }
    }
    return err_trace(status);
}

static _unused_ int begin_attempt(struct store_tx *tx, const struct claim *claim,
                                  const struct flight *flight) {
    struct store_stmt *stmt;
    int status = store_prepare(tx,
                               "UPDATE notify_delivery SET state = 'sending', fence = $2,"
                               " attempts = $3, updated_at = $4 WHERE id = $1",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, flight->delivery_id);
    store_bind_int(stmt, 2, flight->fence);
    store_bind_int(stmt, 3, flight->attempts);
    store_bind_int(stmt, 4, claim->now_ms);
    status = store_run(stmt, NULL);
    if (!status) {
        status = store_prepare(tx,
                               "INSERT INTO notify_attempt (id, delivery_id, fence, provider,"
                               " started_at) VALUES ($1, $2, $3, $4, $5)",
                               &stmt);
    }
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(flight->attempt_id));
    store_bind_int(stmt, 2, flight->delivery_id);
    store_bind_int(stmt, 3, flight->fence);
    store_bind_text(stmt, 4, span_text(claim->provider));
    store_bind_int(stmt, 5, claim->now_ms);
    return err_trace(store_run(stmt, NULL));
}

int claim_body(struct store_tx *tx, struct store_job *job) {
    struct claim *claim = container_of(job, struct claim, job);
    free_flights(claim);
    claim->next_due_ms = 0;
    int status = select_due(tx, claim);
#ifdef MUTANT_CLAIM
    list_for_each(link, &claim->flights) {
        list_entry(link, struct flight, link)->fence--; /* nothing was raised in the store */
    }
#else
    for (struct list *link = claim->flights.next; !status && link != &claim->flights;
         link = link->next) {
        status = begin_attempt(tx, claim, list_entry(link, struct flight, link));
    }
#endif
    return err_trace(status);
}

static int end_attempt(struct store_tx *tx, const struct flight *flight) {
    struct store_stmt *stmt;
    int status =
        store_prepare(tx,
                      "UPDATE notify_attempt SET ended_at = $2, class = $3, http_status = $4,"
                      " provider_message_id = $5, detail = $6 WHERE id = $1",
                      &stmt);
    if (status) {
        return err_trace(status);
    }
    const struct outcome *outcome = &flight->outcome;
    store_bind_text(stmt, 1, span_text(flight->attempt_id));
    store_bind_int(stmt, 2, flight->now_ms);
    store_bind_text(stmt, 3, span_text(outcome_class_names[outcome->class]));
    store_bind_int(stmt, 4, outcome->http_status);
    store_bind_text(stmt, 5, outcome->message_id[0] ? span_text(outcome->message_id) : SPAN_NULL);
    store_bind_text(stmt, 6, outcome->reason[0] ? span_text(outcome->reason) : SPAN_NULL);
    return err_trace(store_run(stmt, NULL));
}

int outcome_body(struct store_tx *tx, struct store_job *job) {
    struct flight *flight = container_of(job, struct flight, job);
    const struct outcome *outcome = &flight->outcome;
    struct store_stmt *stmt;
    int status = end_attempt(tx, flight);
    if (!status) {
        status = store_prepare(tx,
                               "UPDATE notify_delivery SET state = $3, attempts = $4, next_at = $5,"
                               " provider_message_id = $6, reason = $7, updated_at = $8"
                               " WHERE id = $1 AND fence = $2",
                               &stmt);
    }
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, flight->delivery_id);
    store_bind_int(stmt, 2, flight->fence);
    store_bind_text(stmt, 3, span_text(delivery_state_names[flight->next_state]));
    store_bind_int(stmt, 4, flight->next_attempts);
    store_bind_int(stmt, 5, flight->next_at_ms);
    store_bind_text(stmt, 6, outcome->message_id[0] ? span_text(outcome->message_id) : SPAN_NULL);
    store_bind_text(stmt, 7, outcome->reason[0] ? span_text(outcome->reason) : SPAN_NULL);
    store_bind_int(stmt, 8, flight->now_ms);
    return err_trace(store_run(stmt, NULL));
}

static const char in_doubt_reason[] =
    "the process ended before the provider's answer was recorded; not sent again";

static int mark_in_doubt(struct store_tx *tx, int64_t now_ms) {
    struct store_stmt *stmt;
    int status = store_prepare(tx,
                               "UPDATE notify_attempt SET ended_at = $1, class = 'ambiguous',"
                               " detail = $2 WHERE ended_at IS NULL",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, now_ms);
    store_bind_text(stmt, 2, span_text(in_doubt_reason));
    status = store_run(stmt, NULL);
    if (!status) {
        status = store_prepare(tx,
                               "UPDATE notify_delivery SET state = 'in_doubt', updated_at = $1,"
                               " reason = $2 WHERE state = 'sending'",
                               &stmt);
    }
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, now_ms);
    store_bind_text(stmt, 2, span_text(in_doubt_reason));
    return err_trace(store_run(stmt, NULL));
}

int recovery_body(struct store_tx *tx, struct store_job *job) {
    struct recovery *recovery = container_of(job, struct recovery, job);
    struct store_stmt *stmt;
    recovery->count = 0;
    int status = store_prepare(tx,
                               "SELECT n.id, n.user_id, n.traceparent FROM notify_delivery d"
                               " JOIN notify_notification n ON n.id = d.notification_id"
                               " WHERE d.state = 'sending' ORDER BY d.id",
                               &stmt);
    if (status) {
        return err_trace(status);
    }
    while ((status = store_step(stmt)) == STORE_ROW) {
        size_t at = recovery->count++;
        if (at < ARRAY_SIZE(recovery->found)) {
            recovery->found[at].notification_id = store_column_int(stmt, 0);
            recovery->found[at].has_user_id = !store_column_is_null(stmt, 1);
            recovery->found[at].user_id = store_column_int(stmt, 1);
            recovery->found[at].has_trace =
                trace_parse(store_column_text(stmt, 2), &recovery->found[at].trace);
        }
    }
    return status ? err_trace(status) : err_trace(mark_in_doubt(tx, recovery->now_ms));
}
