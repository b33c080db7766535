/* A topic log in memory, with failures on request. One partition a topic; everything is durable. */
#pragma once

#include <eventbox/base/arena.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/topic.h>

enum { FAKE_TOPICS_MAX = 16, FAKE_RECORDS_MAX = 4096 };

struct fake_topic {
    char name[64];
    struct topic_message *records;
    int64_t end;
};

struct fake_topics {
    struct topic_port port;
    struct loop *loop;
    struct arena arena;
    struct fake_topic topics[FAKE_TOPICS_MAX];
    size_t topic_count;
    int appends;

    int refuse_count, refuse_status; /* the next appends are refused so */
    int lose_answer_count;           /* the next appends happen, and answer TOPIC_E_FAILED */
    int fail_count;                  /* the next appends do not happen, and answer TOPIC_E_FAILED */
    size_t records_max;              /* more in one append: TOPIC_E_TOO_LARGE; 0: any */
    bool hold;                       /* appends answer only after fake_topics_release() */

    struct list pending; /* struct topic_append.link, with the status in port_data */
    struct loop_task task;
};

void fake_topics_init(struct fake_topics *fake, struct loop *loop);
void fake_topics_deinit(struct fake_topics *fake);
struct fake_topic *fake_topics_find(struct fake_topics *fake, const char *name); /* NULL */
/** fake_foreign_record() - a record without our headers, as another program writes it */
void fake_foreign_record(struct fake_topics *fake, const char *topic, const char *key);
void fake_topics_release(struct fake_topics *fake);
/** fake_header() - value of a header; data NULL when absent */
struct span fake_header(const struct topic_message *message, const char *name);
