#include "tests/support/curve_dir.h"

#include "common/base/rng.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void curve_dir_write(const char *dir, const char *name, mode_t mode, const char *text)
{
    char path[CURVE_PATH_SIZE];
    size_t len = strlen(text);
    if (curve_path(dir, name, path, NULL) != ERR_NONE)
        die("%s/%s: too long", dir, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fchmod(fd, mode) != 0)
        die("%s can't be written", path);
    close(fd);
}

void curve_dir_allow(const char *dir, const char *lines)
{
    curve_dir_write(dir, "clients.allow", 0644, lines);
}

void curve_dir_fill_client(const char *dir, const struct curve_pair *client, const char *server)
{
    curve_dir_write(dir, "client.key", 0600, client->secret);
    curve_dir_write(dir, "server.pub", 0644, server);
}

void curve_dir_fill(const char *dir, struct curve_pair *server, struct curve_pair *client)
{
    char line[100];
    if (curve_make(server, NULL) != ERR_NONE || curve_make(client, NULL) != ERR_NONE)
        die("no CURVE keys");
    curve_dir_write(dir, "server.key", 0600, server->secret);
    curve_dir_write(dir, "client.pub", 0644, client->public);
    curve_dir_fill_client(dir, client, server->public);
    (void)snprintf(line, sizeof line, "# who may connect\n%s client\n", client->public);
    curve_dir_allow(dir, line);
}

static bool is_free(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool good = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return good;
}

unsigned curve_dir_port(void)
{
    for (int i = 0; i < 1000; i++) {
        uint16_t dice;
        rng_secure(&dice, sizeof dice);
        unsigned port = 20000 + dice % 10000u; /* below those that the system gives away */
        if (is_free(port) && is_free(port + 1))
            return port;
    }
    die("no free ports");
}
