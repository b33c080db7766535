/*
 * Retention of offsets (KIP-211): offsets live as long as somebody may come back for them.
 *
 *   a group with members         nothing expires; in Stable, an offset of a topic that nobody
 *                                subscribes to expires after its last commit
 *   a group that became Empty    all of it expires, counted from when it became so
 *   a simple consumer (no group  each offset expires after its own last commit
 *   protocol was ever spoken)
 *   an offset with a time asked  at that time (OffsetCommit 2 to 4)
 *   for by its client
 *
 * A group that is Empty and has no offset left goes too. What goes is written as tombstones first.
 * A commit under way may renew an offset, so a group with one is looked at again when it has ended.
 *
 * The check walks the groups in slices, one for each turn of the loop. When the memory of groups is
 * full, it comes early: a group that holds nothing makes room for who is told to try again.
 */
#include "consumer_protocol.h"
#include "coordinator_private.h"

enum { SLICE_OFFSETS = 2000, HURRY_MS = 5000 };

struct rule {
    int64_t now_ms, retention_ms;
    bool from_empty; /* counted from when the group became Empty, not from the commit */
    const struct consumer_topics *subscribed;
};

static bool offset_expired(const struct group *group, const struct offset_entry *offset,
                           const struct rule *rule) {
    const struct committed_offset *committed = &offset->committed;
    if (consumer_topics_has(rule->subscribed, group, offset_entry_topic(offset))) {
        return false;
    }
    if (committed->expire_ms >= 0) {
        return rule->now_ms >= committed->expire_ms;
    }
    int64_t since_ms = rule->from_empty && group->state_since_ms >= 0 ? group->state_since_ms
                                                                      : committed->commit_ms;
    return rule->now_ms - since_ms >= rule->retention_ms;
}

static bool rule_applies(const struct group *group, const struct consumer_topics *subscribed,
                         struct rule *rule) {
    if (!group->protocol_type) {
        return true;
    }
    rule->from_empty = group->state == GROUP_EMPTY;
    return rule->from_empty || (group->state == GROUP_STABLE && subscribed->known);
}

static void write_tombstones(struct group_entry *entry, const struct rule *rule, bool applies) {
    struct tombstones *tombstones = tombstones_new(entry);
    size_t position = 0;
    struct offset_entry *offset;
    while (tombstones && applies && (offset = hashmap_next(&entry->offsets, &position))) {
        if (offset_expired(entry->group, offset, rule)) {
            tombstones_add_offset(tombstones, offset_entry_topic(offset), offset->partition);
        }
    }
    size_t gone = tombstones ? tombstones_count(tombstones) : 0;
    entry->coordinator->stats.expired += gone;
    if (tombstones && gone == entry->offsets.count && entry->group->state == GROUP_EMPTY &&
        entry->group->pending_count == 0) {
        tombstones_add_group(tombstones);
    }
    tombstones_submit(tombstones, NULL, NULL);
}

void expiry_check_group(struct group_entry *entry) {
    struct consumer_topics subscribed;
    struct rule rule = {
        .now_ms = group_write_clock_ms(entry),
        .retention_ms = entry->coordinator->config.retention_ms,
        .subscribed = &subscribed,
    };
    if (entry->writes > 0) {
        entry->expire_later = true;
        return;
    }
    if (consumer_topics_collect(entry->group, &subscribed) != 0) {
        return;
    }
    write_tombstones(entry, &rule, rule_applies(entry->group, &subscribed, &rule));
    consumer_topics_deinit(&subscribed);
}

static void on_timer(struct timer *timer) {
    struct expiry *expiry = container_of(timer, struct expiry, timer);
    struct coordinator *coordinator = container_of(expiry, struct coordinator, expiry);
    size_t seen = 0;
    struct group_entry *entry = NULL;
    if (!expiry->walking) {
        expiry->walking = true;
        expiry->hurried = false;
        expiry->position = 0;
    }
    while (seen < SLICE_OFFSETS &&
           (entry = hashmap_next(&coordinator->groups, &expiry->position))) {
        seen += entry->offsets.count + 1;
        expiry_check_group(entry);
    }
    if (entry) { /* more of them in the next turn */
        timer_start(timer, 0);
    } else {
        expiry->walking = false;
        expiry->ended_ns = loop_now_ns(coordinator->config.loop);
        timer_start_ms(timer, coordinator->config.retention_check_ms);
    }
}

void expiry_start(struct coordinator *coordinator) {
    timer_init(&coordinator->expiry.timer, coordinator->config.loop, on_timer);
    timer_start_ms(&coordinator->expiry.timer, coordinator->config.retention_check_ms);
    coordinator->expiry.ended_ns = loop_now_ns(coordinator->config.loop) - HURRY_MS * NS_PER_MS;
}

/* Once in HURRY_MS at the most: whoever meets full memory may do so as often as they like. */
void expiry_hurry(struct coordinator *coordinator) {
    struct expiry *expiry = &coordinator->expiry;
    if (!expiry->timer.loop || expiry->walking || expiry->hurried) {
        return;
    }
    int64_t since_ms = (loop_now_ns(coordinator->config.loop) - expiry->ended_ns) / NS_PER_MS;
    int64_t wait_ms = MAX(HURRY_MS - since_ms, (int64_t)0);
    expiry->hurried = true;
    timer_start_ms(&expiry->timer, MIN(wait_ms, coordinator->config.retention_check_ms));
}

void expiry_stop(struct coordinator *coordinator) {
    if (coordinator->expiry.timer.loop) {
        timer_stop(&coordinator->expiry.timer);
    }
}
