/* CRC-32C (Castagnoli, RFC 3720 B.4): SSE 4.2 / ARMv8 instruction where the CPU has it, tables
 * elsewhere. */
#pragma once

#include <eventbox/base/defs.h>

/** crc32c() - continue from @crc (0 to begin) over @size bytes */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/**
 * crc32c_concat() - of two neighbouring ranges, from the checksum of each
 * @second_size: bytes of the second one. Costs some 0.3 us, however many they are.
 */
uint32_t crc32c_concat(uint32_t first, uint32_t second, size_t second_size);
/** crc32c_portable() - the table version, for tests and CPUs without the instruction */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);
