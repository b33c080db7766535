/*
 * The APIs of this folder: what ApiVersions advertises, what is dispatched and what the README
 * lists come from these rows and from the table of group/. Nothing stands here that is not done.
 * The ranges are those of Kafka 4.2.
 */
#include "api_private.h"

const struct kafka_handler broker_handlers[] = {
    /* key, first and last version, served from (0: first) */
    {0, 0, 13, 3,
     handle_produce}, /* 0..2 are listed for librdkafka's sake and answered with error 35 */
    {1, 4, 18, 0, handle_fetch},
    {2, 1, 11, 0, handle_list_offsets},
    {3, 0, 13, 0, handle_metadata},
    {10, 0, 6, 0, handle_find_coordinator},
    {18, 0, 4, 0, handle_api_versions},
    {19, 2, 7, 0, handle_create_topics},
    {20, 1, 6, 0, handle_delete_topics},
    {22, 0, 5, 0, handle_init_producer_id},
    {23, 2, 4, 0, handle_offset_for_leader_epoch},
    {32, 1, 4, 0, handle_describe_configs},
    {60, 0, 2, 0, handle_describe_cluster},
};
const size_t broker_handlers_count = ARRAY_SIZE(broker_handlers);
