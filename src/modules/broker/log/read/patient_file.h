/*
 * A file that is read although the disk refuses some of it.
 *
 * One bad sector fails the whole read that it is in, however much is right around it. So a read
 * that fails with EIO is done again block by block; a block that is refused then counts as zeros,
 * which no batch's checksum takes for right: what follows treats it as rot, with the batches before
 * and behind it as they are. Whether that was it shows in @refused, since another try may succeed
 * where rot stays.
 *
 * A disk that fails for good may take long over each refusal: there are only so many.
 */
#pragma once

#include <eventbox/loop/disk.h>

struct patient_file {
    struct disk_file file; /* to be read instead; it is not closed */
    struct disk disk;
    struct disk_file *below;
    unsigned refusals_left;
    bool refused; /* out: a block was */
};

/** patient_file_init() - @below is borrowed; beyond @refusals_max blocks a read ends where
 * the next one is, with zeros from there on, or fails as it did when it begins there */
void patient_file_init(struct patient_file *patient, struct disk_file *below,
                       unsigned refusals_max);
