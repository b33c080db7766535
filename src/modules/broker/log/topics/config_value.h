/*
 * The value of a config, as Kafka's ConfigDef reads and checks it: what it means, or in which words
 * it is refused. Java's rules decide: what a number may look like, what a list is, how the value
 * of a refused range is written.
 */
#pragma once

#include "topic_config.h"

/* A value while it is looked at: what it means, and what is wrong with it. */
struct config_value {
    int64_t number; /* of a list: bits of its words; of a word: its index; of a boolean: 0 or 1 */
    double real;
    char *message; /* of message_size bytes; may be NULL with 0 */
    size_t message_size;
};

/**
 * config_value_parse() - read @text as a value of @def's type, without a look at its range
 * Return: 0; BROKER_E_CONFIG with the message.
 */
int config_value_parse(const struct topic_config_def *def, struct span text,
                       struct config_value *ret_value);
/** config_value_check() - and its range; the same answers */
int config_value_check(const struct topic_config_def *def, struct span text,
                       struct config_value *ret_value);
/** config_value_refuse() - with a message of the caller's. Return BROKER_E_CONFIG */
_printf_(2, 3) int config_value_refuse(struct config_value *value, const char *format, ...);

enum { JAVA_DOUBLE_SIZE = 32 };
/** java_double_text() - @value as Java's Double.toString() writes it */
void java_double_text(double value, char ret_text[JAVA_DOUBLE_SIZE]);
