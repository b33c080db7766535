/*
 * The local mailbox: what is accepted is delivered, in the same transaction, to the table that GET
 * /notifications shows. The one channel where exactly once is provable. It serves mail while no
 * provider is set, SMS and push until theirs come, and what other programs write to `notification`.
 */
#include "provider.h"

const struct provider provider_mailbox = {.name = "mailbox", .same_transaction = true};
