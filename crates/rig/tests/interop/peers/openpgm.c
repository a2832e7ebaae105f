/* OpenPGM as a source or a receiver of the messages of the plan (crates/rig/src/traffic.rs).
 *
 *   openpgm send|recv apdu|stream COUNT SIZES "NETWORK" UNICAST_PORT MULTICAST_PORT PORT
 *
 * NETWORK is OpenPGM's, as "10.99.0.1;239.192.1.1". The first two ports are UDP's, 0 for IP protocol 113; PORT is the
 * data-destination port. A message is one APDU, or the messages are a stream of bytes behind a session profile
 * (docs/multicast.md), in pieces of whatever size. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <pgm/pgm.h>

static size_t sizes[64], sizes_len;

static size_t message(size_t number, unsigned char *bytes)
{
    size_t len = sizes[number % sizes_len];
    for (size_t k = 0; k < len; k++)
        bytes[k] = (number * 7 + k) % 251;
    return len;
}

static void must(bool ok, const char *what, pgm_error_t *error)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, error ? error->message : "refused");
    exit(1);
}

static void set(pgm_sock_t *sock, int name, int value)
{
    must(pgm_setsockopt(sock, IPPROTO_PGM, name, &value, sizeof value), "pgm_setsockopt", NULL);
}

static pgm_sock_t *open_socket(const char *network, int unicast_port, int multicast_port, int port, bool sends)
{
    struct pgm_addrinfo_t *info = NULL;
    pgm_error_t *error = NULL;
    pgm_sock_t *sock = NULL;
    must(pgm_getaddrinfo(network, NULL, &info, &error), "pgm_getaddrinfo", error);
    sa_family_t family = info->ai_send_addrs[0].gsr_group.ss_family;
    must(pgm_socket(&sock, family, SOCK_SEQPACKET, multicast_port ? IPPROTO_UDP : IPPROTO_PGM, &error), "pgm_socket", error);
    if (multicast_port) {
        set(sock, PGM_UDP_ENCAP_UCAST_PORT, unicast_port);
        set(sock, PGM_UDP_ENCAP_MCAST_PORT, multicast_port);
    }
    set(sock, PGM_MTU, 1500);
    if (sends) {
        int heartbeat[] = {pgm_msecs(100), pgm_msecs(100), pgm_msecs(100), pgm_msecs(100), pgm_msecs(1300), pgm_secs(7)};
        set(sock, PGM_SEND_ONLY, 1);
        set(sock, PGM_ODATA_MAX_RTE, 4000000);
        set(sock, PGM_TXW_SQNS, 20000);
        set(sock, PGM_AMBIENT_SPM, pgm_secs(30));
        must(pgm_setsockopt(sock, IPPROTO_PGM, PGM_HEARTBEAT_SPM, heartbeat, sizeof heartbeat), "heartbeat", NULL);
    } else {
        set(sock, PGM_RECV_ONLY, 1);
        set(sock, PGM_PASSIVE, 0);
        set(sock, PGM_RXW_SQNS, 20000);
        set(sock, PGM_PEER_EXPIRY, pgm_secs(300));
        set(sock, PGM_SPMR_EXPIRY, pgm_msecs(25));
        set(sock, PGM_NAK_BO_IVL, pgm_msecs(50));
        set(sock, PGM_NAK_RPT_IVL, pgm_msecs(200));
        set(sock, PGM_NAK_RDATA_IVL, pgm_msecs(200));
        set(sock, PGM_NAK_DATA_RETRIES, 50);
        set(sock, PGM_NAK_NCF_RETRIES, 50);
    }
    struct pgm_sockaddr_t address;
    memset(&address, 0, sizeof address);
    address.sa_port = port;
    address.sa_addr.sport = 0;
    must(pgm_gsi_create_from_hostname(&address.sa_addr.gsi, &error), "gsi", error);
    struct pgm_interface_req_t interface;
    memset(&interface, 0, sizeof interface);
    interface.ir_interface = info->ai_recv_addrs[0].gsr_interface;
    must(pgm_bind3(sock, &address, sizeof address, &interface, sizeof interface, &interface, sizeof interface, &error),
         "pgm_bind3", error);
    for (unsigned i = 0; i < info->ai_recv_addrs_len; i++)
        must(pgm_setsockopt(sock, IPPROTO_PGM, PGM_JOIN_GROUP, &info->ai_recv_addrs[i], sizeof(struct group_req)), "join", NULL);
    must(pgm_setsockopt(sock, IPPROTO_PGM, PGM_SEND_GROUP, &info->ai_send_addrs[0], sizeof(struct group_req)), "send group", NULL);
    set(sock, PGM_MULTICAST_LOOP, sends);
    set(sock, PGM_MULTICAST_HOPS, 16);
    set(sock, PGM_NOBLOCK, 1);
    must(pgm_connect(sock, &error), "pgm_connect", error);
    pgm_freeaddrinfo(info);
    return sock;
}

/* Waits for a packet or a timer. */
static void wait_for(pgm_sock_t *sock, int status, short events)
{
    struct timeval left = {0, 10000};
    socklen_t len = sizeof left;
    if (status == PGM_IO_STATUS_TIMER_PENDING)
        pgm_getsockopt(sock, IPPROTO_PGM, PGM_TIME_REMAIN, &left, &len);
    else if (status == PGM_IO_STATUS_RATE_LIMITED)
        pgm_getsockopt(sock, IPPROTO_PGM, PGM_RATE_REMAIN, &left, &len);
    struct pollfd fds[10];
    int count = 10;
    int ms = left.tv_sec * 1000 + left.tv_usec / 1000;
    pgm_poll_info(sock, fds, &count, events);
    poll(fds, count, ms > 10 ? 10 : ms);
}

/* A source repairs only while the application receives. */
static int serve(pgm_sock_t *sock)
{
    static char buffer[65536];
    size_t len;
    pgm_error_t *error = NULL;
    int status = pgm_recv(sock, buffer, sizeof buffer, 0, &len, &error);
    if (error)
        pgm_error_free(error);
    return status;
}

/* Sends one APDU, and repairs while there is no room for it. */
static void send_one(pgm_sock_t *sock, const unsigned char *bytes, size_t len)
{
    int status;
    while ((status = pgm_send(sock, bytes, len, NULL)) != PGM_IO_STATUS_NORMAL) {
        must(status == PGM_IO_STATUS_WOULD_BLOCK || status == PGM_IO_STATUS_RATE_LIMITED, "pgm_send", NULL);
        serve(sock);
        wait_for(sock, status, POLLIN | POLLOUT);
    }
    serve(sock);
}

/* What a stream begins with: version 1, a stream, no hash, no cipher, and a cookie. */
static const unsigned char PROFILE[24] = {0x93, 0x43, 0x6d, 0x70, 0x6e, 0x6c, 0x65, 0x0a, 1, 3, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};

static void send_stream(pgm_sock_t *sock, size_t count)
{
    static unsigned char stream[1 << 22];
    size_t len = sizeof PROFILE;
    memcpy(stream, PROFILE, len);
    for (size_t number = 0; number < count; number++) {
        must(len + 65536 <= sizeof stream, "the plan", NULL);
        len += message(number, stream + len);
    }
    /* The library's checksum faults on what is not aligned. */
    static unsigned char aligned[1428] __attribute__((aligned(64)));
    size_t piece;
    for (size_t at = 0; at < len; at += piece) {
        piece = 1 + at * 7 % sizeof aligned;
        piece = piece < len - at ? piece : len - at;
        memcpy(aligned, stream + at, piece);
        send_one(sock, aligned, piece);
    }
}

static void send_apdus(pgm_sock_t *sock, size_t count)
{
    static unsigned char bytes[65536];
    for (size_t number = 0; number < count; number++)
        send_one(sock, bytes, message(number, bytes));
}

static void judge(size_t number, const unsigned char *bytes, size_t len)
{
    static unsigned char expected[65536];
    size_t wanted = message(number, expected);
    printf("%s %zu\n", len == wanted && !memcmp(bytes, expected, len) ? "right" : "wrong", number);
}

/* Takes what came of a stream, and returns the number of the next message. */
static size_t judge_stream(size_t number, size_t count, const unsigned char *bytes, size_t len)
{
    static unsigned char held[1 << 18], expected[65536];
    static size_t held_len, has_profile;
    must(held_len + len <= sizeof held, "the stream", NULL);
    memcpy(held + held_len, bytes, len);
    held_len += len;
    size_t at = 0;
    if (!has_profile && held_len >= sizeof PROFILE) {
        must(!memcmp(held, PROFILE, 10), "the profile", NULL);
        has_profile = 1;
        at = sizeof PROFILE;
    }
    while (has_profile && number < count && held_len - at >= message(number, expected)) {
        size_t wanted = message(number, expected);
        judge(number++, held + at, wanted);
        at += wanted;
    }
    memmove(held, held + at, held_len -= at);
    return number;
}

static void receive_all(pgm_sock_t *sock, size_t count, bool is_stream)
{
    static unsigned char bytes[65536];
    size_t number = 0;
    while (number < count) {
        size_t len = 0;
        pgm_error_t *error = NULL;
        int status = pgm_recv(sock, bytes, sizeof bytes, 0, &len, &error);
        if (status == PGM_IO_STATUS_NORMAL && is_stream) {
            number = judge_stream(number, count, bytes, len);
        } else if (status == PGM_IO_STATUS_NORMAL) {
            judge(number++, bytes, len);
        } else if (status == PGM_IO_STATUS_RESET) {
            puts("reset");
        } else {
            must(status != PGM_IO_STATUS_ERROR, "pgm_recv", error);
            wait_for(sock, status, POLLIN);
        }
        fflush(stdout);
        if (error)
            pgm_error_free(error);
    }
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fputs("usage: openpgm send|recv apdu|stream COUNT SIZES NETWORK UNICAST_PORT MULTICAST_PORT PORT\n", stderr);
        return 2;
    }
    for (char *size = strtok(argv[4], ","); size && sizes_len < 64; size = strtok(NULL, ","))
        sizes[sizes_len++] = strtoul(size, NULL, 10);
    pgm_error_t *error = NULL;
    must(pgm_init(&error), "pgm_init", error);
    bool sends = !strcmp(argv[1], "send"), is_stream = !strcmp(argv[2], "stream");
    size_t count = strtoul(argv[3], NULL, 10);
    pgm_sock_t *sock = open_socket(argv[5], atoi(argv[6]), atoi(argv[7]), atoi(argv[8]), sends);
    puts("ready");
    fflush(stdout);
    if (sends && is_stream)
        send_stream(sock, count);
    else if (sends)
        send_apdus(sock, count);
    else
        receive_all(sock, count, is_stream);
    puts(sends ? "published" : "whole");
    fflush(stdout);
    for (;;)
        wait_for(sock, serve(sock), POLLIN);
}
