/* Socket addresses as text and back. */
#pragma once

#include <eventbox/base/defs.h>

#include <netinet/in.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_SIZE = 128 };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage storage;
};

/**
 * address_parse() - the addresses of a numeric host or of "localhost" (127.0.0.1, then ::1)
 * Return: their number, at most 2; 0 when @host is another name.
 */
int address_parse(const char *host, uint16_t port, union address ret_addresses[2]);
socklen_t address_size(const union address *address);
uint16_t address_port(const union address *address);
void address_set_port(union address *address, uint16_t port);
/** address_is_loopback() - 127.0.0.0/8, ::1, the former mapped into IPv6, or a local socket */
bool address_is_loopback(const union address *address);
/** address_format() - "127.0.0.1:80", "[::1]:80"; without @with_port "127.0.0.1", "::1" */
void address_format(const union address *address, bool with_port, char out[ADDRESS_TEXT_SIZE]);
