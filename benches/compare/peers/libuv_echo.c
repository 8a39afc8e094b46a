/* An echo server on libuv, one loop on one thread. Takes the size of its buffer, prints where it listens, and serves until
 * a signal ends it.
 *
 * Written as a user who minds speed would: one buffer for all connections, uv_try_write before uv_write, so that a
 * request is made only for what the kernel does not take at once, and no reading while such a rest is under way. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096 };

struct rest {
    uv_write_t request;
    char bytes[];
};

static char *buffer;
static size_t buffer_size;

static void check(int status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "libuv_echo: %s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL)
        check(UV_ENOMEM, "malloc");
    return memory;
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *given) {
    (void)handle;
    (void)suggested;
    *given = uv_buf_init(buffer, (unsigned)buffer_size);
}

static void release(uv_handle_t *handle) {
    free(handle);
}

static void close_connection(uv_stream_t *connection) {
    if (!uv_is_closing((uv_handle_t *)connection))
        uv_close((uv_handle_t *)connection, release);
}

static void on_read(uv_stream_t *connection, ssize_t count, const uv_buf_t *read);

static void on_rest_written(uv_write_t *request, int status) {
    uv_stream_t *connection = request->handle;
    free(request->data);
    if (status < 0)
        close_connection(connection);
    else if (!uv_is_closing((uv_handle_t *)connection))
        check(uv_read_start(connection, give_buffer, on_read), "uv_read_start");
}

static void on_read(uv_stream_t *connection, ssize_t count, const uv_buf_t *read) {
    if (count == 0)
        return;
    if (count < 0) {
        close_connection(connection);
        return;
    }
    uv_buf_t bytes = uv_buf_init(read->base, (unsigned)count);
    int sent = uv_try_write(connection, &bytes, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0) {
        close_connection(connection);
        return;
    }
    if (sent == count)
        return;
    size_t left = (size_t)count - (size_t)sent;
    struct rest *rest = allocate(sizeof *rest + left);
    memcpy(rest->bytes, read->base + sent, left);
    rest->request.data = rest;
    bytes = uv_buf_init(rest->bytes, (unsigned)left);
    uv_read_stop(connection);
    if (uv_write(&rest->request, connection, &bytes, 1, on_rest_written) < 0) {
        free(rest);
        close_connection(connection);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    check(status, "a connection");
    uv_tcp_t *connection = allocate(sizeof *connection);
    check(uv_tcp_init(listener->loop, connection), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)connection) < 0) {
        close_connection((uv_stream_t *)connection);
        return;
    }
    check(uv_tcp_nodelay(connection, 1), "uv_tcp_nodelay");
    check(uv_read_start((uv_stream_t *)connection, give_buffer, on_read), "uv_read_start");
}

int main(int argc, char **argv) {
    buffer_size = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (buffer_size == 0) {
        fprintf(stderr, "usage: libuv_echo BUFFER\n");
        return 2;
    }
    buffer = allocate(buffer_size);
    signal(SIGPIPE, SIG_IGN);

    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    int length = sizeof address;
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &length), "uv_tcp_getsockname");

    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
