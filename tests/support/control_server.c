#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "tests/support/control_server.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void hang_up(uv_pipe_t *client)
{
    if (!uv_is_closing((uv_handle_t *)client))
        uv_close((uv_handle_t *)client, on_closed);
}

static void on_sent(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void say(uv_pipe_t *client, const char *text)
{
    uv_write_t *request = mem_zero(1, sizeof *request + strlen(text) + 1);
    char *copy = (char *)(request + 1);
    memcpy(copy, text, strlen(text) + 1);
    uv_buf_t b = uv_buf_init(copy, (unsigned)strlen(text));
    if (uv_write(request, (uv_stream_t *)client, &b, 1, on_sent) != 0)
        free(request);
}

/* "AUTHCHALLENGE SAFECOOKIE nonce" → the server's proof. */
static void say_challenge(struct control_server *s, uv_pipe_t *client, const char *command)
{
    static const char key[] = "Tor safe cookie authentication server-to-controller hash";
    uint8_t text[96], proof[32];
    char hex[65], nonce[65], line[256];
    unsigned len = sizeof proof;
    memcpy(text, s->cookie, 32);
    assert_int_equal(hex_get(command + 25, strlen(command + 25), text + 32, 32), ERR_NONE);
    memset(text + 64, 7, 32);
    assert_non_null(HMAC(EVP_sha256(), key, (int)strlen(key), text, sizeof text, proof, &len));
    (void)snprintf(line, sizeof line, "250 AUTHCHALLENGE SERVERHASH=%s SERVERNONCE=%s\r\n",
                   hex_str(hex, proof, 32), hex_str(nonce, text + 64, 32));
    say(client, line);
}

static void on_command(struct control_server *s, uv_pipe_t *client, const char *command)
{
    assert_int_equal(buf_addf(&s->heard, "%s\n", command), ERR_NONE);
    for (const struct control_answer *a = s->answers; a->command != NULL; a++) {
        if (strncmp(command, a->command, strlen(a->command)) != 0)
            continue;
        if (a->text != NULL)
            say(client, a->text);
        else
            say_challenge(s, client, command);
        return;
    }
    hang_up(client);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *b)
{
    static char bytes[4096]; /* one reader at a time: a command is taken before the next read */
    (void)handle;
    (void)size;
    *b = uv_buf_init(bytes, sizeof bytes);
}

/* Whole commands come at once: they are short, and written in one piece. */
static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *b)
{
    char commands[4096], *at = commands, *eol;
    if (len < 0) {
        hang_up((uv_pipe_t *)stream);
        return;
    }
    assert_true((size_t)len < sizeof commands);
    memcpy(commands, b->base, (size_t)len);
    commands[len] = '\0';
    for (; (eol = strstr(at, "\r\n")) != NULL; at = eol + 2) {
        *eol = '\0';
        on_command(stream->data, (uv_pipe_t *)stream, at);
    }
    assert_string_equal(at, "");
}

static void on_client(uv_stream_t *listener, int status)
{
    struct control_server *s = listener->data;
    uv_pipe_t *client = mem_zero(1, sizeof *client);
    assert_int_equal(status, 0);
    assert_true(s->clients_len < CONTROL_CLIENTS_MAX);
    (void)uv_pipe_init(s->loop, client, 0);
    client->data = s;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)client), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)client, on_alloc, on_read), 0);
    s->clients[s->clients_len++] = client;
}

static uv_pipe_t *last_client(struct control_server *s)
{
    assert_true(s->clients_len > 0);
    return s->clients[s->clients_len - 1];
}

void control_server_start(struct control_server *s, uv_loop_t *loop, const char *path,
                          const struct control_answer *answers)
{
    s->loop = loop;
    s->answers = answers;
    s->clients_len = 0;
    (void)uv_pipe_init(loop, &s->listener, 0);
    s->listener.data = s;
    assert_int_equal(uv_pipe_bind(&s->listener, path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 8, on_client), 0);
}

void control_server_stop(struct control_server *s)
{
    static const struct control_answer nothing[] = {{NULL, NULL}};
    s->answers = nothing; /* the caller's list ends with the caller; who stays is hung up on */
    uv_close((uv_handle_t *)&s->listener, NULL);
}

void control_server_say(struct control_server *s, const char *text)
{
    say(last_client(s), text);
}

void control_server_hang_up(struct control_server *s)
{
    hang_up(last_client(s));
}
