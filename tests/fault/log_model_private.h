/* What the files of the model share. */
#pragma once

#include "log_model.h"

uint64_t roll(struct model *model, uint64_t limit);
/** wrong() - the words of model_verify(); valid until the next ones */
const char *wrong(const char *format, ...) _printf_(1, 2);
/** live() - the topic of the running log; NULL when it is not there or about to go */
struct topic *live(struct model *model, struct model_topic *topic);
struct model_topic *any_topic(struct model *model);
int64_t model_now_ms(const struct model *model);
/**
 * may_be_compacted() - whether compaction may have taken record @n of a batch: any record once
 * there is a later one of its key, a tombstone when its time is over too
 */
bool may_be_compacted(const struct model_topic *topic, const struct model_partition *partition,
                      size_t index, unsigned n);
/** batch_with() - the batch that held an offset when it was appended */
const struct model_batch *batch_with(const struct model_partition *partition, int64_t offset);

/* ---- log_model_front.c ---- */

/** front_config() - room for what @topic keeps for a short time only; rows are added to @configs */
void front_config(struct model *model, struct model_topic *topic,
                  struct topic_config_entry *configs);
/** front_date() - a timestamp for a topic that forgets by age: our clock, behind it or before it */
int64_t front_date(struct model *model);
/** front_check() - whether the log may begin where it does; settles what was in doubt */
const char *front_check(struct model *model, struct model_topic *topic, int32_t at,
                        struct partition *real);
/** front_count() - batches that end before the log's start */
size_t front_count(const struct model_partition *partition, int64_t start);
bool front_in_flight(const struct model_topic *topic);
void front_crashed(struct model_topic *topic);

/* ---- log_model_lookup.c ---- */

/** lookup_check() - looks for some times in a log at rest; NULL, or what is wrong */
const char *lookup_check(struct model *model, struct model_topic *topic, int32_t at,
                         struct partition *real);
