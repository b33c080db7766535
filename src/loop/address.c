#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void set_v4(union address *address, struct in_addr host, uint16_t port) {
    *address = (union address){0};
    address->in.sin_family = AF_INET;
    address->in.sin_addr = host;
    address->in.sin_port = htons(port);
}

static void set_v6(union address *address, struct in6_addr host, uint16_t port) {
    *address = (union address){0};
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_addr = host;
    address->in6.sin6_port = htons(port);
}

int address_parse(const char *host, uint16_t port, union address ret_addresses[2]) {
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(host, "localhost") == 0) {
        set_v4(&ret_addresses[0], (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
        set_v6(&ret_addresses[1], in6addr_loopback, port);
        return 2;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        set_v4(&ret_addresses[0], v4, port);
        return 1;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        set_v6(&ret_addresses[0], v6, port);
        return 1;
    }
    return 0;
}

socklen_t address_size(const union address *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->in6 : sizeof address->in;
}

uint16_t address_port(const union address *address) {
    switch (address->any.sa_family) {
    case AF_INET:
        return ntohs(address->in.sin_port);
    case AF_INET6:
        return ntohs(address->in6.sin6_port);
    default:
        return 0;
    }
}

void address_set_port(union address *address, uint16_t port) {
    if (address->any.sa_family == AF_INET6) {
        address->in6.sin6_port = htons(port);
    } else {
        address->in.sin_port = htons(port);
    }
}

static bool v4_is_loopback(uint32_t host_order) {
    return host_order >> 24 == 127;
}

bool address_is_loopback(const union address *address) {
    const struct in6_addr *v6 = &address->in6.sin6_addr;
    switch (address->any.sa_family) {
    case AF_INET:
        return v4_is_loopback(ntohl(address->in.sin_addr.s_addr));
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(v6)) {
            return v6->s6_addr[12] == 127;
        }
        return IN6_IS_ADDR_LOOPBACK(v6);
    case AF_UNIX:
        return true;
    default:
        return false;
    }
}

void address_format(const union address *address, bool with_port, char out[ADDRESS_TEXT_SIZE]) {
    char host[INET6_ADDRSTRLEN] = "unknown";
    bool v6 = address->any.sa_family == AF_INET6;
    if (address->any.sa_family == AF_UNIX) {
        snprintf(out, ADDRESS_TEXT_SIZE, "local");
        return;
    }
    if (v6 && IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr)) {
        v6 = false; /* a dual-stack listener's way of saying IPv4 */
        inet_ntop(AF_INET, &address->in6.sin6_addr.s6_addr[12], host, sizeof host);
    } else if (v6) {
        inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof host);
    } else if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->in.sin_addr, host, sizeof host);
    }
    if (with_port) {
        snprintf(out, ADDRESS_TEXT_SIZE, v6 ? "[%s]:%u" : "%s:%u", host, address_port(address));
    } else {
        snprintf(out, ADDRESS_TEXT_SIZE, "%s", host);
    }
}
