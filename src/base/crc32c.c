/*
 * CRC-32C three ways.
 *
 * All bits are reflected: bit 31 of a register is the coefficient of x^0. The tables follow from
 * the polynomial and are filled once, before main().
 *
 * The instruction of the CPU takes 8 bytes and answers three cycles later, but a new one may start
 * each cycle. So long inputs are cut into three neighbouring lanes that advance together. The CRC
 * of lane one is then moved over the bytes of lane two, which is a multiplication by x^(8 n) and
 * linear: four lookups in a table made for n. Three lane sizes cover large batches and small ones;
 * in the largest a lane is long enough for the CPU to fetch all three ahead from memory.
 *
 * For any n the factor x^(8 n) is the product of the powers x^(8 2^k) whose bits n has.
 */
#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)

/* slices[k][b]: the byte b followed by k zero bytes. */
static uint32_t slices[8][256];
/* powers[k]: x^(8 2^k), a register moved over 2^k zero bytes. */
static uint32_t powers[sizeof(size_t) * 8];

static void fill_slices(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        slices[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = slices[k - 1][byte];
            slices[k][byte] = crc >> 8 ^ slices[0][crc & 0xff];
        }
    }
}

/* @a times @b, modulo the polynomial. */
static uint32_t multiplied(uint32_t a, uint32_t b) {
    uint32_t product = 0;

    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        product ^= a & bit ? b : 0;
        b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

static void fill_powers(void) {
    powers[0] = UINT32_C(1) << (31 - 8);
    for (size_t k = 1; k < ARRAY_SIZE(powers); k++) {
        powers[k] = multiplied(powers[k - 1], powers[k - 1]);
    }
}

/* A register moved over @zero_bytes. */
static uint32_t moved(uint32_t crc, size_t zero_bytes) {
    for (size_t k = 0; zero_bytes > 0; k++, zero_bytes >>= 1) {
        crc = zero_bytes & 1 ? multiplied(powers[k], crc) : crc;
    }
    return crc;
}

uint32_t crc32c_concat(uint32_t first, uint32_t second, size_t second_size) {
    return moved(first, second_size) ^ second;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size) {
    const uint8_t *in = data;

    crc = ~crc;
    for (; size >= 8; size -= 8, in += 8) {
        uint32_t low = crc ^ get_le32(in);
        uint32_t high = get_le32(in + 4);
        crc = slices[7][low & 0xff] ^ slices[6][low >> 8 & 0xff] ^ slices[5][low >> 16 & 0xff] ^
              slices[4][low >> 24] ^ slices[3][high & 0xff] ^ slices[2][high >> 8 & 0xff] ^
              slices[1][high >> 16 & 0xff] ^ slices[0][high >> 24];
    }
    for (; size > 0; size--, in++) {
        crc = crc >> 8 ^ slices[0][(crc ^ *in) & 0xff];
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC_TARGET           __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word)  _mm_crc32_u64((crc), (word))
#define CRC_BYTE(crc, byte)  _mm_crc32_u8((uint32_t)(crc), (byte))
#define CRC_INSTRUCTION()    (__builtin_cpu_init(), __builtin_cpu_supports("sse4.2"))
#define HAVE_CRC_INSTRUCTION 1
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define CRC_TARGET           __attribute__((target("+crc")))
#define CRC_WORD(crc, word)  __builtin_aarch64_crc32cx((uint32_t)(crc), (word))
#define CRC_BYTE(crc, byte)  __builtin_aarch64_crc32cb((uint32_t)(crc), (byte))
#define CRC_INSTRUCTION()    ((getauxval(AT_HWCAP) & 1UL << 7) != 0) /* HWCAP_CRC32 */
#define HAVE_CRC_INSTRUCTION 1
#endif

#ifdef HAVE_CRC_INSTRUCTION

enum { LANE_LONG = 32768, LANE_MIDDLE = 2048, LANE_SHORT = 128 };

/* shift[k][b]: byte k of a register has the value b; the register after the lane's zero bytes. */
static uint32_t shift_long[4][256];
static uint32_t shift_middle[4][256];
static uint32_t shift_short[4][256];

/* After fill_powers(). */
static void fill_shift(uint32_t shift[4][256], size_t zero_bytes) {
    for (int k = 0; k < 4; k++) {
        for (int bit = 0; bit < 8; bit++) {
            uint32_t crc = moved(UINT32_C(1) << (8 * k + bit), zero_bytes);
            for (int byte = 0; byte < 1 << bit; byte++) { /* linear: add the lower bits */
                shift[k][byte | 1 << bit] = crc ^ shift[k][byte];
            }
        }
    }
}

static inline uint32_t shifted(uint32_t shift[4][256], uint64_t crc) {
    return shift[0][crc & 0xff] ^ shift[1][crc >> 8 & 0xff] ^ shift[2][crc >> 16 & 0xff] ^
           shift[3][crc >> 24 & 0xff];
}

CRC_TARGET static inline uint64_t three_lanes(uint64_t crc, const uint8_t *in, size_t lane,
                                              uint32_t shift[4][256]) {
    uint64_t second = 0;
    uint64_t third = 0;

    for (size_t i = 0; i < lane; i += 8) {
        crc = CRC_WORD(crc, get_le64(in + i));
        second = CRC_WORD(second, get_le64(in + lane + i));
        third = CRC_WORD(third, get_le64(in + 2 * lane + i));
    }
    crc = shifted(shift, crc) ^ second;
    return shifted(shift, crc) ^ third;
}

CRC_TARGET static uint32_t crc32c_instruction(uint32_t start, const void *data, size_t size) {
    const uint8_t *in = data;
    uint64_t crc = (uint32_t)~start;

    for (; size >= 3 * LANE_LONG; size -= 3 * LANE_LONG, in += 3 * LANE_LONG) {
        crc = three_lanes(crc, in, LANE_LONG, shift_long);
    }
    for (; size >= 3 * LANE_MIDDLE; size -= 3 * LANE_MIDDLE, in += 3 * LANE_MIDDLE) {
        crc = three_lanes(crc, in, LANE_MIDDLE, shift_middle);
    }
    for (; size >= 3 * LANE_SHORT; size -= 3 * LANE_SHORT, in += 3 * LANE_SHORT) {
        crc = three_lanes(crc, in, LANE_SHORT, shift_short);
    }
    for (; size >= 8; size -= 8, in += 8) {
        crc = CRC_WORD(crc, get_le64(in));
    }
    for (; size > 0; size--, in++) {
        crc = CRC_BYTE(crc, *in);
    }
    return ~(uint32_t)crc;
}

#endif

static uint32_t (*crc32c_fn)(uint32_t crc, const void *data, size_t size) = crc32c_portable;

__attribute__((constructor)) static void crc32c_prepare(void) {
    fill_slices();
    fill_powers();
#ifdef HAVE_CRC_INSTRUCTION
    if (CRC_INSTRUCTION()) {
        fill_shift(shift_long, LANE_LONG);
        fill_shift(shift_middle, LANE_MIDDLE);
        fill_shift(shift_short, LANE_SHORT);
        crc32c_fn = crc32c_instruction;
    }
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return crc32c_fn(crc, data, size);
}
