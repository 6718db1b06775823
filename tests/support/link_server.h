/* A small relay on loopback for the tests of link.c: plain or TLS, perhaps behind SOCKS5, on the
 * test's own loop. It echoes texts, or misbehaves. All is bounded by the test's patience. */
#ifndef VOLLEY_TESTS_LINK_SERVER_H
#define VOLLEY_TESTS_LINK_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum link_server_does {
    SERVER_ECHOES,    /* a websocket that sends each text back, but answers a REQ */
    SERVER_ANSWERS,   /* `answer` instead of the handshake's, then closes */
    SERVER_GREETS,    /* as ECHOES, with a text "hello" in the same write as the answer */
    SERVER_IS_SILENT, /* accepts and never says a byte */
    SERVER_HANGS_UP,  /* closes at once */
    SERVER_LEAVES,    /* closes after the handshake */
    SERVER_FLOODS     /* answers a REQ with megabytes of events, and no EOSE */
};

struct link_server_options {
    const char *address; /* "127.0.0.1", "::1", or a path for a unix socket */
    uint16_t port;       /* 0: any */
    enum link_server_does does;
    const char *answer;
    SSL_CTX *tls; /* NULL: plain */
    bool socks;   /* speaks SOCKS5 first, then is itself the relay that was asked for */
    bool socks_asks_user;
    uint8_t socks_reply; /* 0: succeeds */
    bool socks_is_silent;
    uint32_t socks_delay_ms; /* before it replies */
};

struct server_client;
struct link_server {
    struct link_server_options o;
    uv_loop_t *loop;
    uv_poll_t *poll;
    uint16_t port;
    int fd;
    struct server_client *clients;
    int accepted, upgraded;
    char request[4096]; /* the last client's, its HTTP head */
    int socks_type;     /* ATYP of the last request: 1 IPv4, 3 name, 4 IPv6 */
    char socks_name[256], socks_user[256], socks_password[256];
    uint16_t socks_port;
};

/* False when the port is taken. */
bool link_server_start(struct link_server *s, uv_loop_t *loop, const struct link_server_options *o);
/* Closes everything at once; `s` may go, some memory stays until the loop has turned. */
void link_server_stop(struct link_server *s);
/* Two of them on one port, for IPv4 and IPv6. Returns the port. */
uint16_t link_server_pair(struct link_server *ipv4, struct link_server *ipv6, uv_loop_t *loop,
                          const struct link_server_options *o4,
                          const struct link_server_options *o6);

/* A port where connecting hangs: a listener that never accepts, its queue full. */
struct black_hole {
    int fd, fillers[16];
    uint16_t port;
};
void black_hole_open(struct black_hole *h, const char *address, uint16_t port);
void black_hole_close(struct black_hole *h);

/* A key and a certificate for `name`, signed by `ca` (NULL: by itself, as a CA), valid from now
 * plus `from_s` to now plus `to_s`. */
struct test_cert {
    EVP_PKEY *key;
    X509 *cert;
};
struct test_cert test_cert_new(const char *name, const struct test_cert *ca, long from_s,
                               long to_s);
void test_cert_free(struct test_cert *c);
SSL_CTX *test_cert_context(const struct test_cert *c);
/* Writes it as PEM into a new file, whose name is put into `path`. */
void test_cert_write(const struct test_cert *c, char *path, size_t size);

#endif
