/* OpenPGM as a source or a receiver of the messages of the plan (crates/rig/src/traffic.rs).
 *
 *   openpgm send|recv COUNT SIZES "NETWORK" UDP_PORT PORT
 *
 * NETWORK is OpenPGM's, as "10.99.0.1;239.192.1.1". UDP_PORT 0 is IP protocol 113. A message is one APDU. */
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

static pgm_sock_t *open_socket(const char *network, int udp_port, int port, bool sends)
{
    struct pgm_addrinfo_t *info = NULL;
    pgm_error_t *error = NULL;
    pgm_sock_t *sock = NULL;
    must(pgm_getaddrinfo(network, NULL, &info, &error), "pgm_getaddrinfo", error);
    sa_family_t family = info->ai_send_addrs[0].gsr_group.ss_family;
    must(pgm_socket(&sock, family, SOCK_SEQPACKET, udp_port ? IPPROTO_UDP : IPPROTO_PGM, &error), "pgm_socket", error);
    if (udp_port) {
        set(sock, PGM_UDP_ENCAP_UCAST_PORT, udp_port);
        set(sock, PGM_UDP_ENCAP_MCAST_PORT, udp_port);
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
    set(sock, PGM_MULTICAST_LOOP, 0);
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

static void send_all(pgm_sock_t *sock, size_t count)
{
    static unsigned char bytes[65536];
    for (size_t number = 0; number < count; number++) {
        size_t len = message(number, bytes);
        int status;
        while ((status = pgm_send(sock, bytes, len, NULL)) != PGM_IO_STATUS_NORMAL) {
            must(status == PGM_IO_STATUS_WOULD_BLOCK || status == PGM_IO_STATUS_RATE_LIMITED, "pgm_send", NULL);
            serve(sock);
            wait_for(sock, status, POLLIN | POLLOUT);
        }
        serve(sock);
    }
    puts("published");
    fflush(stdout);
    for (;;)
        wait_for(sock, serve(sock), POLLIN);
}

static void receive_all(pgm_sock_t *sock, size_t count)
{
    static unsigned char bytes[65536], expected[65536];
    size_t number = 0;
    while (number < count) {
        size_t len = 0;
        pgm_error_t *error = NULL;
        int status = pgm_recv(sock, bytes, sizeof bytes, 0, &len, &error);
        if (status == PGM_IO_STATUS_NORMAL) {
            size_t wanted = message(number, expected);
            printf("%s %zu\n", len == wanted && !memcmp(bytes, expected, len) ? "right" : "wrong", number);
            fflush(stdout);
            number++;
        } else if (status == PGM_IO_STATUS_RESET) {
            puts("reset");
            fflush(stdout);
        } else {
            must(status != PGM_IO_STATUS_ERROR, "pgm_recv", error);
            wait_for(sock, status, POLLIN);
        }
        if (error)
            pgm_error_free(error);
    }
    puts("whole");
    fflush(stdout);
    for (;;)
        wait_for(sock, serve(sock), POLLIN);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fputs("usage: openpgm send|recv COUNT SIZES NETWORK UDP_PORT PORT\n", stderr);
        return 2;
    }
    for (char *size = strtok(argv[3], ","); size && sizes_len < 64; size = strtok(NULL, ","))
        sizes[sizes_len++] = strtoul(size, NULL, 10);
    pgm_error_t *error = NULL;
    must(pgm_init(&error), "pgm_init", error);
    bool sends = !strcmp(argv[1], "send");
    pgm_sock_t *sock = open_socket(argv[4], atoi(argv[5]), atoi(argv[6]), sends);
    puts("ready");
    fflush(stdout);
    if (sends)
        send_all(sock, strtoul(argv[2], NULL, 10));
    receive_all(sock, strtoul(argv[2], NULL, 10));
}
