/*
 * Configs of the broker: every one that Apache Kafka 4.3 shows, beside those that topics fall back
 * to, which log/topics/topic_config_table.c has. Names, types and defaults are Kafka's, the
 * sentences are ours. Three kinds of rows:
 *
 *   ACTS   shown with the value that describes what happens here; the settings of eventbox or its
 *          making decide, so requests cannot change it
 *   IDLE   without effect: what it is about is not here, or is not a matter of settings; shown
 *          with Kafka's default and not to be changed, as nobody should believe that it acts
 *   KEPT   without effect as well, but tools that tune Kafka while it runs set it: taken, checked,
 *          kept and shown
 *
 * Documentation says of the last two that they have no effect here.
 */
#pragma once

#include "topics/topic_config.h"

#include <eventbox/base/defs.h>

struct broker_config_def {
    const char *name;
    const char *default_text; /* NULL: none */
    const char *documentation;
    int32_t least; /* of a number that is KEPT; INT32_MIN: any */
    uint8_t type;  /* enum config_type; passwords are sensitive */
    bool idle;
    bool kept;
};

#define ACTS(name, value, kind, doc)                                                               \
    { name, value, doc, .type = CONFIG_TYPE_##kind }
#define IDLE(name, value, kind, doc)                                                               \
    { name, value, doc, .type = CONFIG_TYPE_##kind, .idle = true }
#define KEPT(name, value, kind, lowest, doc)                                                       \
    { name, value, doc, .least = (lowest), .type = CONFIG_TYPE_##kind, .idle = true, .kept = true }

/* Each ends with a row of zeros. */
extern const struct broker_config_def broker_configs_general[];
extern const struct broker_config_def broker_configs_groups[];
extern const struct broker_config_def broker_configs_cluster[];
extern const struct broker_config_def broker_configs_security[];

/** broker_config_at() - the @index-th of all tables; NULL behind the last */
const struct broker_config_def *broker_config_at(size_t index);
size_t broker_config_count(void);
/** broker_config_known() - shown whether set or not: Kafka has such a config */
bool broker_config_known(struct span name);
/** broker_config_type() - of a known name, enum config_type; *ret_default: its text, or NULL */
uint8_t broker_config_type(struct span name, const char **ret_default);
/**
 * broker_config_kept() - the row of @name when requests may change it, in the form that
 * config_def_check() and topics' defaults have
 * Return: false when there is none.
 */
bool broker_config_kept(struct span name, struct topic_config_def *ret_def);
