/*
 * Runs a fuzz target over every file of a corpus folder: as it is, and cut at each of its lengths,
 * since most mistakes of parsers are at the end of the input. The input ends where its memory ends,
 * so that the address sanitizer sees the first byte read behind it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 1 << 20, CUTS_MAX = 2000 };

static void run(const uint8_t *bytes, size_t size) {
    uint8_t *input = malloc(size ? size : 1);
    if (!input) {
        abort();
    }
    memcpy(input, bytes, size);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
}

static int replay(const char *path, uint8_t *bytes) {
    FILE *file = fopen(path, "rb");
    size_t size;

    if (!file) {
        perror(path);
        return 1;
    }
    size = fread(bytes, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    run(bytes, size);
    for (size_t cut = 0; cut < size && cut < CUTS_MAX; cut++) {
        run(bytes, cut);
    }
    return 0;
}

int main(int argc, char **argv) {
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    unsigned count = 0;
    int failed = 0;

    if (!bytes) {
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *entry;
        if (!folder) {
            perror(argv[i]);
            failed = 1;
            continue;
        }
        while ((entry = readdir(folder))) {
            char path[4096];
            if (entry->d_name[0] == '.') {
                continue;
            }
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed |= replay(path, bytes);
            count++;
        }
        closedir(folder);
    }
    free(bytes);
    printf("%u inputs\n", count);
    return failed || count == 0; /* an empty corpus would prove nothing */
}
