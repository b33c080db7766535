/* Block by block where a read fails. */
#include "patient_file.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <string.h>

static struct patient_file *patient_of(struct disk_file *file) {
    return container_of(file, struct patient_file, file);
}

static int read_blocks(struct patient_file *patient, uint8_t *data, size_t size, uint64_t offset,
                       size_t *ret_size) {
    size_t done = 0, got = 0, n = 0;
    while (done < size && got == n) {
        uint64_t at = offset + done;
        n = MIN(size - done, (size_t)(DISK_ALIGN - at % DISK_ALIGN));
        int r = disk_pread(patient->below, data + done, n, at, &got);
        if (r == -EIO && patient->refusals_left > 0) {
            patient->refusals_left--;
            patient->refused = true;
            memset(data + done, 0, n);
            got = n;
            r = 0;
        }
        if (r == -EIO && done > 0) {
            memset(data + done, 0, size - done); /* what came before it is of use all the same */
            got = n = size - done;
            r = 0;
        }
        if (r) {
            return err_trace(r);
        }
        done += got;
    }
    *ret_size = done;
    return 0;
}

static int patient_pread(struct disk_file *file, void *data, size_t size, uint64_t offset,
                         size_t *ret_size) {
    struct patient_file *patient = patient_of(file);
    int r = disk_pread(patient->below, data, size, offset, ret_size);
    return r == -EIO ? read_blocks(patient, data, size, offset, ret_size) : r;
}

static int patient_size(struct disk_file *file, uint64_t *ret_size) {
    return disk_size(patient_of(file)->below, ret_size);
}

static int patient_fd(struct disk_file *file) {
    return disk_fd(patient_of(file)->below);
}

static const struct disk_ops patient_ops = {
    .pread = patient_pread, .size = patient_size, .fd = patient_fd};

void patient_file_init(struct patient_file *patient, struct disk_file *below,
                       unsigned refusals_max) {
    *patient = (struct patient_file){
        .disk = {&patient_ops}, .below = below, .refusals_left = refusals_max};
    patient->file.disk = &patient->disk;
}
