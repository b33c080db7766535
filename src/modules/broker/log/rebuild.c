/* A start without a valid checkpoint: every folder is read. */
#include "recovery.h"

int recovery_rebuild(struct recovery *recovery) {
    (void)recovery;
    return err_origin(BROKER_E_CORRUPT);
}
