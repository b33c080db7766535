/* Handlers of the group APIs; rows in handle_admin.c. Each takes a decoded request and answers it
 * once. */
#pragma once

#include "consumer_protocol.h"
#include "coordinator_private.h"
#include "java_text.h"
#include "kafka_messages.h"

#include <string.h>
#include <strings.h>

void handle_join_group(struct kafka_request *request);
void handle_sync_group(struct kafka_request *request);
void handle_heartbeat(struct kafka_request *request);
void handle_leave_group(struct kafka_request *request);
void handle_offset_commit(struct kafka_request *request);
void handle_offset_fetch(struct kafka_request *request);
void handle_offset_delete(struct kafka_request *request);
void handle_describe_groups(struct kafka_request *request);
void handle_list_groups(struct kafka_request *request);
void handle_delete_groups(struct kafka_request *request);
