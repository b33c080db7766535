/*
 * From due to done. The sender keeps at most in_flight_max deliveries on the wire, which is also
 * the most that one crash can leave in doubt:
 *
 *   wake -> claim (T2, durable) -> request -> answer -> classify -> outcome (T3, durable) -> wake
 *
 * The lane to a provider is held when it says to wait (429) or refuses our settings (401, 403, a
 * bad certificate): then nothing is claimed, nothing is counted, and deliveries stay where they
 * are. After a refusal of settings one delivery at a time goes out to try, until something is
 * taken.
 */
#include "notify.h"

#include <stdlib.h>

enum { STORE_RETRY_MS = 200, CLAIM_RETRY_MS = 1000 };

static void on_claimed(struct store_job *job, int status);
static void on_answer(void *userdata, const struct http_client_answer *answer);
static void on_recorded(struct store_job *job, int status);

int64_t sender_backoff_ms(struct random *random, int64_t base_ms, int64_t cap_ms,
                          int64_t attempts) {
    int64_t top = base_ms;
    for (int64_t i = 1; i < attempts && top < cap_ms; i++) {
        top *= 2;
    }
    return (int64_t)random_below(random, (uint64_t)MIN(top, cap_ms) + 1);
}

/* ---- claims ---- */

static size_t free_slots(const struct sender *sender) {
    size_t max = sender->config_refusals ? 1 : (size_t)sender->notify->in_flight_max;
    return sender->flight_count < max ? max - sender->flight_count : 0;
}

static int64_t held_ms(const struct sender *sender) {
    int64_t left_ns = sender->held_until_ns - loop_now_ns(sender->notify->context.loop);
    return left_ns > 0 ? left_ns / NS_PER_MS + 1 : 0;
}

static void on_wake(struct timer *timer) {
    sender_wake(container_of(timer, struct sender, wake));
}

void sender_wake(struct sender *sender) {
    struct notify *notify = sender->notify;
    if (!notify || sender->stopping || notify->mail->same_transaction) {
        return;
    }
    if (sender->claim) {
        sender->wake_again = true; /* it may have looked before what is due now was there */
        return;
    }
    int64_t wait_ms = held_ms(sender);
    if (wait_ms) {
        timer_start_ms(&sender->wake, wait_ms);
        return;
    }
    size_t limit = MIN(free_slots(sender), (size_t)CLAIM_MAX);
    struct claim *claim = limit ? calloc(1, sizeof *claim) : NULL;
    if (!claim) {
        return; /* the next outcome wakes again; without memory the next delivery does */
    }
    claim->notify = notify;
    claim->provider = notify->mail->name;
    claim->limit = limit;
    claim->now_ms = clock_wall_ms(notify->context.clock);
#ifdef MUTANT_CLAIM
    list_for_each(link, &sender->flights) {
        claim->in_flight[claim->in_flight_count++] =
            list_entry(link, struct flight, link)->delivery_id;
    }
#endif
    claim->job.body = claim_body;
    claim->job.done = on_claimed;
    list_init(&claim->flights);
    for (size_t i = 0; i < limit; i++) {
        uuid_v7(notify->context.random, notify->context.clock, &claim->attempt_ids[i]);
    }
    if (store_write(notify->context.store, &claim->job)) {
        claim_free(claim);
        timer_start_ms(&sender->wake, CLAIM_RETRY_MS);
        return;
    }
    sender->claim = claim;
}

/* ---- outcomes ---- */

static void log_flight(struct flight *flight, enum log_event event) {
    struct notify *notify = flight->notify;
    struct log_field fields[8];
    size_t count = 0;
    if (flight->has_user_id) {
        fields[count++] = LOG_INT("user_id", flight->user_id);
    }
    fields[count++] = LOG_INT("notification_id", flight->notification_id);
    fields[count++] = LOG_TEXT("provider", notify->mail->name);
    fields[count++] = LOG_INT("attempt", flight->attempts);
    if (flight->outcome.http_status) {
        fields[count++] = LOG_INT("status", flight->outcome.http_status);
    }
    if (flight->outcome.message_id[0]) {
        fields[count++] = LOG_TEXT("provider_message_id", flight->outcome.message_id);
    }
    if (flight->outcome.reason[0]) {
        fields[count++] = LOG_TEXT("reason", flight->outcome.reason);
    }
    log_write(notify->context.log, event, flight->has_trace ? &flight->trace : NULL, fields, count);
}

/* What became of a delivery is logged and counted once it is durable, so that log and table agree.
 */
static void report(struct flight *flight) {
    struct metric *metrics = flight->notify->context.metrics;
    switch (flight->next_state) {
    case DELIVERY_SENT:
        metric_inc(&metrics[NOTIFY_M_SENT]);
        log_flight(flight, LOG_NOTIFY_SENT);
        break;
    case DELIVERY_FAILED:
    case DELIVERY_DEAD:
        metric_inc(&metrics[NOTIFY_M_FAILED]);
        log_flight(flight, LOG_NOTIFY_FAILED);
        break;
    case DELIVERY_IN_DOUBT:
        metric_inc(&metrics[NOTIFY_M_IN_DOUBT]);
        log_flight(flight, LOG_NOTIFY_IN_DOUBT);
        break;
    default:
        metric_inc(&metrics[NOTIFY_M_RETRIED]);
        if (flight->outcome.class != OUTCOME_PROVIDER_CONFIG) { /* that one has a line of its own */
            log_flight(flight, LOG_NOTIFY_RETRY);
        }
        break;
    }
}

static void hold(struct sender *sender, int64_t ms) {
    int64_t until_ns = loop_now_ns(sender->notify->context.loop) + ms * NS_PER_MS;
    sender->held_until_ns = MAX(sender->held_until_ns, until_ns);
}

/* One line for one episode, with what the operator can do. */
static void hold_for_config(struct sender *sender, const struct flight *flight) {
    struct notify *notify = sender->notify;
    const struct outcome *outcome = &flight->outcome;
    if (sender->config_refusals && held_ms(sender)) {
        return; /* one of several that left together */
    }
    if (sender->config_refusals++ == 0) {
        log_emit(notify->context.log, LOG_NOTIFY_CONFIG, flight->has_trace ? &flight->trace : NULL,
                 LOG_TEXT("provider", notify->mail->name), LOG_INT("status", outcome->http_status),
                 LOG_TEXT("reason", outcome->reason), LOG_TEXT("remedy", outcome->remedy));
    }
    int64_t wait_ms = notify->retry_base_ms;
    for (unsigned i = 1; i < sender->config_refusals && wait_ms < notify->retry_cap_ms; i++) {
        wait_ms *= 2;
    }
    hold(sender, MIN(wait_ms, notify->retry_cap_ms));
}

/* From the class of an outcome to the next state; the only place that knows these edges. */
static void decide(struct sender *sender, struct flight *flight) {
    struct notify *notify = sender->notify;
    struct outcome *outcome = &flight->outcome;
    flight->now_ms = clock_wall_ms(notify->context.clock);
    flight->next_attempts = flight->attempts;
    flight->next_at_ms = flight->now_ms;
    switch (outcome->class) {
    case OUTCOME_ACCEPTED:
        sender->config_refusals = 0;
        flight->next_state = DELIVERY_SENT;
        break;
    case OUTCOME_PERMANENT:
        sender->config_refusals = 0;
        flight->next_state = DELIVERY_FAILED;
        break;
    case OUTCOME_AMBIGUOUS:
        flight->next_state = DELIVERY_IN_DOUBT;
        break;
    case OUTCOME_TRANSIENT:
        flight->next_state =
            flight->attempts >= notify->retry_max ? DELIVERY_DEAD : DELIVERY_RETRYING;
        flight->next_at_ms += sender_backoff_ms(notify->context.random, notify->retry_base_ms,
                                                notify->retry_cap_ms, flight->attempts);
        break;
    case OUTCOME_THROTTLED:
        hold(sender, outcome->hold_ms);
        flight->next_state = DELIVERY_RETRYING;
        flight->next_attempts--;
        break;
    case OUTCOME_PROVIDER_CONFIG:
        hold_for_config(sender, flight);
        flight->next_state = DELIVERY_RETRYING;
        flight->next_attempts--;
        break;
    }
}

static void end_flight(struct flight *flight) {
    struct sender *sender = &flight->notify->sender;
    struct notify *notify = flight->notify;
    list_remove(&flight->link);
    sender->flight_count--;
    metric_set(&notify->context.metrics[NOTIFY_M_IN_FLIGHT], (int64_t)sender->flight_count);
    flight_free(flight);
    if (sender->stopping) {
        notify_progress(notify);
    } else {
        sender_wake(sender);
    }
}

/* Where the store has failed for good the attempt stays without outcome, and the next start says in
 * doubt. */
static void record(struct flight *flight) {
    flight->job.body = outcome_body;
    flight->job.done = on_recorded;
    int status = store_write(flight->notify->context.store, &flight->job);
    if (status == STORE_E_BUSY) {
        timer_start_ms(&flight->retry, STORE_RETRY_MS); /* the outcome waits here */
    } else if (status) {
        end_flight(flight);
    }
}

static void on_record_again(struct timer *timer) {
    record(container_of(timer, struct flight, retry));
}

static void on_recorded(struct store_job *job, int status) {
    struct flight *flight = container_of(job, struct flight, job);
    if (status == STORE_E_FULL && !flight->notify->sender.stopping) {
        timer_start_ms(&flight->retry, STORE_RETRY_MS); /* no space: nothing was written */
        return;
    }
    if (!status) {
        report(flight);
    }
    end_flight(flight);
}

static void on_answer(void *userdata, const struct http_client_answer *answer) {
    struct flight *flight = userdata;
    struct notify *notify = flight->notify;
    notify->mail->classify(&notify->provider_settings, answer, clock_wall_ms(notify->context.clock),
                           &flight->outcome);
    decide(&notify->sender, flight);
    record(flight);
}

/* ---- departures ---- */

static void not_sent(struct flight *flight, const char *reason) {
    const struct http_client_answer answer = {.outcome = HTTP_CLIENT_NOT_SENT, .error = reason};
    on_answer(flight, &answer);
}

/* Claimed and not on the wire: back to the queue, not counted. */
static void give_back(struct flight *flight) {
    flight->outcome =
        (struct outcome){.class = OUTCOME_TRANSIENT, .reason = "the service was stopping"};
    flight->now_ms = flight->next_at_ms = clock_wall_ms(flight->notify->context.clock);
    flight->next_attempts = flight->attempts - 1;
    flight->next_state = DELIVERY_RETRYING;
    record(flight);
}

static void depart(struct sender *sender, struct flight *flight) {
    struct notify *notify = sender->notify;
    const struct outgoing outgoing = {
        .notification_id = flight->notification_id,
        .attempt_id = flight->attempt_id,
        .address = text_span(&flight->address),
        .subject = text_span(&flight->subject),
        .message = text_span(&flight->message),
    };
    struct provider_request request = {.header_count = 0};
    struct http_client_call *call;
    if (sender->stopping) {
        give_back(flight);
        return;
    }
    if (notify->mail->build(&notify->provider_settings, &outgoing, &request)) {
        not_sent(flight, "out of memory");
        return;
    }
    const struct http_client_request http = {
        .method = "POST",
        .url = request.url.data,
        .headers = request.headers,
        .header_count = request.header_count,
        .body = text_span(&request.body),
        .connect_ms = notify->connect_timeout_ms,
        .total_ms = notify->total_timeout_ms,
        .done = on_answer,
        .userdata = flight,
    };
    int status = http_client_send(sender->client, &http, &call);
    provider_request_deinit(&request);
    if (status) {
        not_sent(flight, err_text(status));
    }
}

static void on_claimed(struct store_job *job, int status) {
    struct claim *claim = container_of(job, struct claim, job);
    struct notify *notify = claim->notify;
    struct sender *sender = &notify->sender;
    struct list *link;
    sender->claim = NULL;
    if (!status) {
        if (claim->next_due_ms) {
            timer_start_ms(&sender->wake, MAX(claim->next_due_ms - claim->now_ms, 1));
        }
        while ((link = list_pop_front(&claim->flights))) {
            struct flight *flight = list_entry(link, struct flight, link);
            timer_init(&flight->retry, notify->context.loop, on_record_again);
            list_push_back(&sender->flights, &flight->link);
            sender->flight_count++;
            metric_set(&notify->context.metrics[NOTIFY_M_IN_FLIGHT], (int64_t)sender->flight_count);
            depart(sender, flight);
        }
    } else if (!sender->stopping) {
        timer_start_ms(&sender->wake, CLAIM_RETRY_MS);
    }
    claim_free(claim);
    if (sender->stopping) {
        notify_progress(notify);
    } else if (sender->wake_again) {
        sender->wake_again = false;
        sender_wake(sender);
    }
}

/* ---- life ---- */

int sender_start(struct sender *sender, struct notify *notify) {
    sender->notify = notify;
    list_init(&sender->flights);
    timer_init(&sender->wake, notify->context.loop, on_wake);
    if (notify->mail->same_transaction) {
        return 0;
    }
    int status = http_client_new(notify->context.loop, &sender->client);
    if (!status) {
        sender_wake(sender);
    }
    return err_trace(status);
}

bool sender_stop(struct sender *sender) {
    sender->stopping = true;
    if (sender->notify) {
        timer_stop(&sender->wake);
    }
    return !sender->claim && !sender->flight_count;
}

void sender_abort(struct sender *sender) {
    struct http_client *client = sender->client;
    sender->client = NULL;
    http_client_free(client); /* each request on the wire ends, as unsent or unknown */
}

void sender_deinit(struct sender *sender) {
    http_client_free(sender->client);
    sender->client = NULL;
}
