#include <eventbox/base/crypto.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

/*
 * EVP_sha256() looks its implementation up at every digest, a fetched one does not. The first call
 * fetches, since OpenSSL costs several milliseconds to wake up and a start needs no digest. Two
 * threads may both fetch; the second keeps the first one's.
 */
static const EVP_MD *sha256_get(void) {
    static EVP_MD *cached;
    EVP_MD *known = __atomic_load_n(&cached, __ATOMIC_ACQUIRE);
    EVP_MD *fetched;

    if (likely(known)) {
        return known;
    }
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (fetched && !__atomic_compare_exchange_n(&cached, &known, fetched, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_ACQUIRE)) {
        EVP_MD_free(fetched);
        return known;
    }
    return fetched;
}

void crypto_sha256(struct span data, uint8_t ret_digest[SHA256_BYTES]) {
    const EVP_MD *sha256 = sha256_get();
    const void *bytes = data.data ? data.data : "";

    if (!sha256 || EVP_Digest(bytes, data.size, ret_digest, NULL, sha256, NULL) != 1) {
        abort(); /* no memory or no OpenSSL: a wrong digest would be worse than no process */
    }
}

bool crypto_equal(const void *a, const void *b, size_t size) {
    return CRYPTO_memcmp(a, b, size) == 0;
}

void crypto_wipe(void *data, size_t size) {
    explicit_bzero(data, size);
}
