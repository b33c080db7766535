/*
 * The APIs of this folder: what ApiVersions advertises, what is dispatched and what the README
 * lists come from these rows and from the table of group/. Nothing stands here that is not done.
 * The ranges are those of Kafka 4.3.
 */
#include "api_private.h"

const struct kafka_handler broker_handlers[] = {
    /* key, first and last version, served from (0: first), handler, what the README says */
    {0, 0, 13, 3, handle_produce,
     "0–2 are answered with error 35; they are listed because librdkafka looks for 0 before it "
     "compresses"},
    {1, 4, 18, 0, handle_fetch, "long poll; sessions from 7, topic ids from 13"},
    {2, 1, 11, 0, handle_list_offsets,
     "by time, earliest, latest, largest timestamp; no second tier"},
    {3, 0, 13, 0, handle_metadata, "makes topics on first use"},
    {10, 0, 6, 0, handle_find_coordinator, "groups; transactions get error 53"},
    {18, 0, API_VERSIONS_COUNT - 1, 0, handle_api_versions,
     "any other version is answered in version 0 with error 35"},
    {19, 2, 7, 0, handle_create_topics, "any replication factor, reported as 1"},
    {20, 1, 6, 0, handle_delete_topics, "not those that a module declares (44)"},
    {21, 0, 2, 0, handle_delete_records, "not of topics that are only compacted (44)"},
    {22, 0, 5, 0, handle_init_producer_id, "idempotent producers; transactional ids get error 53"},
    {23, 2, 4, 0, handle_offset_for_leader_epoch},
    {32, 1, 4, 0, handle_describe_configs, "topics, the broker, groups, telemetry; no loggers"},
    {33, 0, 2, 0, handle_alter_configs},
    {34, 1, 2, 0, handle_alter_replica_log_dirs, "there is one folder"},
    {35, 1, 5, 0, handle_describe_log_dirs},
    {37, 0, 3, 0, handle_create_partitions, "not of topics that a module declares (44)"},
    {43, 0, 2, 0, handle_elect_leaders, "never needed (84)"},
    {44, 0, 1, 0, handle_incremental_alter_configs,
     "of the broker what Kafka changes while it runs, but for what our settings decide (42)"},
    {45, 0, 1, 0, handle_alter_partition_reassignments, "there is one node"},
    {46, 0, 0, 0, handle_list_partition_reassignments, "always none"},
    {55, 0, 2, 0, handle_describe_quorum, "this node is the one voter"},
    {57, 0, 2, 0, handle_update_features, "levels cannot be changed (95)"},
    {60, 0, 2, 0, handle_describe_cluster},
    {64, 0, 0, 0, handle_unregister_broker, "not the one node (44)"},
    {74, 0, 1, 0, handle_list_config_resources},
    {75, 0, 0, 0, handle_describe_topic_partitions},
};
const size_t broker_handlers_count = ARRAY_SIZE(broker_handlers);
