/*
 * Every log line that can be written: LOG_EVENT(symbol, level, action, message).
 * `action` is what programs look for and never changes; `message` is for people.
 */
/* clang-format off */
/* host */
LOG_EVENT(LOG_HOST_STARTING,       LOG_LEVEL_INFO,  "starting",            "eventbox is starting")
LOG_EVENT(LOG_HOST_STARTED,        LOG_LEVEL_INFO,  "started",             "eventbox is ready")
LOG_EVENT(LOG_HOST_INSECURE,       LOG_LEVEL_WARN,  "insecure",            "listeners off loopback are open without TLS and authentication")
LOG_EVENT(LOG_HOST_DRAINING,       LOG_LEVEL_INFO,  "draining",            "finishing what is in flight")
LOG_EVENT(LOG_HOST_STOPPED,        LOG_LEVEL_INFO,  "stopped",             "eventbox has stopped")
LOG_EVENT(LOG_HOST_RELOADED,       LOG_LEVEL_INFO,  "reloaded",            "settings were read again")
LOG_EVENT(LOG_HOST_RELOAD_FAILED,  LOG_LEVEL_ERROR, "reload_failed",       "settings were not changed")
LOG_EVENT(LOG_HOST_FAILED,         LOG_LEVEL_FATAL, "failed",              "eventbox cannot go on")
LOG_EVENT(LOG_HOST_DISK_LOW,       LOG_LEVEL_WARN,  "disk_low",            "the disk fills up: less is free than the low-water mark")
LOG_EVENT(LOG_HOST_DISK_FULL,      LOG_LEVEL_ERROR, "disk_full",           "the disk is full: what adds is refused until there is room, reads and deletes go on")
LOG_EVENT(LOG_HOST_DISK_AGAIN,     LOG_LEVEL_INFO,  "disk_again",          "there is room on the disk again")
LOG_EVENT(LOG_HTTP_REQUEST,        LOG_LEVEL_DEBUG, "http_request",        "request answered")
LOG_EVENT(LOG_HTTP_REJECTED,       LOG_LEVEL_WARN,  "http_rejected",       "connection closed: not a valid HTTP request")
LOG_EVENT(LOG_HTTP_REJECTED_MORE,  LOG_LEVEL_WARN,  "http_rejected_more",  "more connections were closed for invalid requests than have a line of their own")
LOG_EVENT(LOG_STORE_BEHIND,        LOG_LEVEL_ERROR, "database_behind",     "the database has lost what it had committed: the topic log is ahead; ids go on above all that the log names")
LOG_EVENT(LOG_RELAY_PUBLISHED,     LOG_LEVEL_INFO,  "event_published",     "event appended to its topics")
LOG_EVENT(LOG_RELAY_ERROR,         LOG_LEVEL_ERROR, "relay_error",         "outbox rows could not be published yet")

/* users */
LOG_EVENT(LOG_USERS_CREATED,       LOG_LEVEL_INFO,  "user_created",        "user created")
LOG_EVENT(LOG_USERS_UPDATED,       LOG_LEVEL_INFO,  "user_updated",        "user updated")
LOG_EVENT(LOG_USERS_DELETED,       LOG_LEVEL_INFO,  "user_deleted",        "user deleted")
LOG_EVENT(LOG_USERS_LOGGED_IN,     LOG_LEVEL_INFO,  "user_logged_in",      "user logged in")
LOG_EVENT(LOG_USERS_LOGIN_FAILED,  LOG_LEVEL_WARN,  "login_failed",        "login refused")
LOG_EVENT(LOG_USERS_ERROR,         LOG_LEVEL_ERROR, "user_error",          "request failed")

/* notify */
LOG_EVENT(LOG_NOTIFY_ENGINE,       LOG_LEVEL_INFO,  "notification_engine", "how mail leaves")
LOG_EVENT(LOG_NOTIFY_ACCEPTED,     LOG_LEVEL_INFO,  "notification_accepted", "notification accepted")
LOG_EVENT(LOG_NOTIFY_SENT,         LOG_LEVEL_INFO,  "notification_sent",   "notification sent")
LOG_EVENT(LOG_NOTIFY_RETRY,        LOG_LEVEL_WARN,  "notification_retry",  "provider refused for now, will try again")
LOG_EVENT(LOG_NOTIFY_FAILED,       LOG_LEVEL_ERROR, "notification_failed", "provider refused for good")
LOG_EVENT(LOG_NOTIFY_IN_DOUBT,     LOG_LEVEL_ERROR, "notification_in_doubt", "the provider's answer was lost; not sent again")
LOG_EVENT(LOG_NOTIFY_CONFIG,       LOG_LEVEL_ERROR, "provider_config",     "the provider refuses our settings")
LOG_EVENT(LOG_NOTIFY_FOREIGN,      LOG_LEVEL_INFO,  "foreign_event",       "record of another program kept in the local mailbox")
LOG_EVENT(LOG_NOTIFY_POISON,       LOG_LEVEL_ERROR, "poison_event",        "record could not be understood and was set aside")
LOG_EVENT(LOG_NOTIFY_ERROR,        LOG_LEVEL_ERROR, "notification_error",  "request failed")

/* broker */
LOG_EVENT(LOG_BROKER_READY,        LOG_LEVEL_INFO,  "broker_ready",        "topic log is open")
LOG_EVENT(LOG_BROKER_RECOVERED,    LOG_LEVEL_INFO,  "log_recovered",       "topic log recovered")
LOG_EVENT(LOG_BROKER_TORN_TAIL,    LOG_LEVEL_WARN,  "log_torn_tail",       "unacknowledged end of the journal was cut and kept aside")
LOG_EVENT(LOG_BROKER_DAMAGED,      LOG_LEVEL_ERROR, "log_damaged",         "records were damaged on disk")
LOG_EVENT(LOG_BROKER_MENDED,       LOG_LEVEL_WARN,  "log_mended",          "damage on disk that cost no record was mended")
LOG_EVENT(LOG_BROKER_FAILED,       LOG_LEVEL_FATAL, "log_failed",          "topic log failed; nothing is acknowledged until a restart")
LOG_EVENT(LOG_BROKER_DISK,         LOG_LEVEL_WARN,  "disk_space",          "disk space for the topic log")
LOG_EVENT(LOG_BROKER_HELD,         LOG_LEVEL_WARN,  "log_held",            "a consumer, or a clock that jumped ahead, holds what retention would remove")
LOG_EVENT(LOG_BROKER_TOPIC_CREATED,LOG_LEVEL_INFO,  "topic_created",       "topic created")
LOG_EVENT(LOG_BROKER_TOPIC_DELETED,LOG_LEVEL_INFO,  "topic_deleted",       "topic deleted")
LOG_EVENT(LOG_BROKER_BAD_PEER,     LOG_LEVEL_WARN,  "bad_peer",            "connection closed: not a Kafka request")
LOG_EVENT(LOG_BROKER_CLIENT_ENDED, LOG_LEVEL_WARN,  "client_ended",        "connection of a Kafka client closed")
LOG_EVENT(LOG_BROKER_BAD_PEERS,    LOG_LEVEL_WARN,  "bad_peers",           "more connections of Kafka clients and others were closed than have a line of their own")
LOG_EVENT(LOG_BROKER_CROWDED,      LOG_LEVEL_WARN,  "connections_full",    "connections closed: there are too many")
LOG_EVENT(LOG_BROKER_GROUPS_FULL,  LOG_LEVEL_WARN,  "group_memory_full",   "consumer groups are refused: their memory is full")
LOG_EVENT(LOG_BROKER_GROUP,        LOG_LEVEL_INFO,  "group_rebalanced",    "consumer group rebalanced")

/* fluent */
LOG_EVENT(LOG_FLUENT_DROPPED,      LOG_LEVEL_WARN,  "log_dropped",         "log lines were dropped")
LOG_EVENT(LOG_FLUENT_CONNECTED,    LOG_LEVEL_INFO,  "forward_connected",   "log lines go to the forward server")
LOG_EVENT(LOG_FLUENT_UNREACHABLE,  LOG_LEVEL_INFO,  "forward_unreachable", "no forward server answers; log lines wait in memory and the oldest go first")
LOG_EVENT(LOG_FLUENT_REFUSED,      LOG_LEVEL_WARN,  "log_refused",         "the forward server refuses a log line; it is given up")
LOG_EVENT(LOG_FLUENT_REFUSED_MORE, LOG_LEVEL_WARN,  "log_refused_more",    "more log lines that the forward server refuses")
LOG_EVENT(LOG_FLUENT_PROBE,        LOG_LEVEL_INFO,  "forward_probe",       "a line that asks whether the server takes anything, because it refused others")
/* clang-format on */
