/* A feed of messages over ZeroMQ's epgm transport: what bench/src/feed.rs and bench/src/bin/feed.rs are for the others.
 *
 *   zmq send ADDRESS COUNT SIZE RATE
 *   zmq recv ADDRESS COUNT SIZE RATE
 *
 * ADDRESS is that of the interface. The publisher waits where it would drop (ZMQ_XPUB_NODROP), and its multicast rate is the greatest that the library's numbers have
 * room for. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#define GROUP "239.192.7.4:7504"
#define HEAD 24
#define SILENCE_NS 2000000000ull

static void fail(const char *what) {
  fprintf(stderr, "zmq: %s: %s\n", what, zmq_strerror(zmq_errno()));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void set(void *socket, int option, int value) {
  if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) fail("option");
}

static void *open_socket(void *context, int type) {
  void *socket = zmq_socket(context, type);
  if (socket == NULL) fail("socket");
  /* In kbit/s: the library multiplies by 1000 in 32 bits. */
  set(socket, ZMQ_RATE, 2000000);
  set(socket, ZMQ_RECOVERY_IVL, 1000);
  set(socket, ZMQ_SNDBUF, 4 << 20);
  set(socket, ZMQ_RCVBUF, 4 << 20);
  set(socket, ZMQ_SNDHWM, 10000);
  set(socket, ZMQ_RCVHWM, 0);
  return socket;
}

static void sleep_until(uint64_t due_ns) {
  struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000ull), .tv_nsec = (long)(due_ns % 1000000000ull)};
  if (due_ns > now_ns()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void connect_socket(void *socket, const char *address) {
  char url[100];
  snprintf(url, sizeof url, "epgm://%s;" GROUP, address);
  if (zmq_connect(socket, url) != 0) fail(url);
}

static void send_all(void *context, const char *address, uint64_t count, size_t size, uint64_t rate) {
  void *socket = open_socket(context, ZMQ_XPUB);
  set(socket, ZMQ_XPUB_NODROP, 1);
  connect_socket(socket, address);
  unsigned char *message = calloc(1, size);
  if (message == NULL) fail("memory");
  puts("ready");
  fflush(stdout);
  uint64_t start_ns = now_ns();
  uint64_t words[3] = {0, start_ns, start_ns};
  for (uint64_t number = 0; number < count; number++) {
    words[0] = number;
    if (rate > 0) {
      words[1] = start_ns + number * 1000000000ull / rate;
      sleep_until(words[1]);
      words[2] = now_ns();
    } else if (number % 256 == 0) {
      // As in the other drivers: to read the clock for each would be a good part of what it takes to send one.
      words[2] = words[1] = now_ns();
    }
    memcpy(message, words, HEAD);
    while (zmq_send(socket, message, size, 0) < 0)
      if (zmq_errno() != EAGAIN && zmq_errno() != EINTR) fail("send");
  }
  puts("sent");
  fflush(stdout);
}

static void receive_all(void *context, const char *address, uint64_t count, size_t size) {
  void *socket = open_socket(context, ZMQ_SUB);
  if (zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) != 0) fail("subscription");
  set(socket, ZMQ_RCVTIMEO, 200);
  connect_socket(socket, address);
  puts("ready");
  fflush(stdout);
  uint64_t received = 0, misplaced = 0, next = 0, first_ns = 0, last_ns = 0;
  zmq_msg_t message;
  zmq_msg_init(&message);
  while (next != count) {
    if (zmq_msg_recv(&message, socket, 0) < 0) {
      if (zmq_errno() != EAGAIN && zmq_errno() != EINTR) fail("receive");
      if (received > 0 && now_ns() - last_ns > SILENCE_NS) break;
      continue;
    }
    if (zmq_msg_size(&message) != size) fail("a message has another size");
    uint64_t words[3];
    memcpy(words, zmq_msg_data(&message), HEAD);
    if (words[0] != next) misplaced++;
    next = words[0] + 1;
    if (received++ == 0) first_ns = words[1];
    if (next == count || received % 256 == 1) last_ns = now_ns();
  }
  printf("{\"received\":%llu,\"misplaced\":%llu,\"seconds\":%.9f,\"since_due_ns\":[],\"since_sent_ns\":[]}\n",
         (unsigned long long)received, (unsigned long long)misplaced, (double)(last_ns - first_ns) / 1e9);
  fflush(stdout);
}

int main(int words, char **word) {
  if (words != 6) {
    fputs("usage: send|recv ADDRESS COUNT SIZE RATE\n", stderr);
    return 2;
  }
  uint64_t count = strtoull(word[3], NULL, 10), rate = strtoull(word[5], NULL, 10);
  size_t size = strtoul(word[4], NULL, 10);
  if (count == 0 || size < HEAD) {
    fputs("a message has 24 bytes at least, and there is one at least\n", stderr);
    return 2;
  }
  void *context = zmq_ctx_new();
  if (strcmp(word[1], "send") == 0) send_all(context, word[2], count, size, rate);
  else receive_all(context, word[2], count, size);
  for (;;) pause();
}
