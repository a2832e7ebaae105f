// A file by NORM (RFC 5740), over libnorm: what `campanile send` and `recv` are for PGM.
//
//   norm send FILE RATE_BPS SEGMENT BLOCK PARITY AUTO_PARITY RECEIVERS
//   norm recv DIRECTORY NAME NUMBER
//
// The sender knows its receivers by their numbers, 1 to RECEIVERS, asks them to acknowledge the file, and ends when all have. A
// receiver moves the file to its name when it is complete, and stays to answer until
// it is ended.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <normApi.h>

namespace {

const char *const GROUP = "239.192.7.2";
const UINT16 PORT = 7501;
// The sender's number is none of a receiver.
const NormNodeId SENDER = 1000000;
const unsigned int SOCKET_BUFFER = 4 << 20;
// What may be repaired is kept: the blocks of a file are read again, but their parity is not made twice.
const UINT32 MEMORY = 64 << 20;

[[noreturn]] void fail(const char *what) {
  std::fprintf(stderr, "norm: %s\n", what);
  std::exit(1);
}

// A session in the group on eth0, for a network whose round trips are far below a millisecond.
NormSessionHandle session(NormInstanceHandle instance, NormNodeId number) {
  NormSessionHandle session = NormCreateSession(instance, GROUP, PORT, number);
  if (session == NORM_SESSION_INVALID) fail("no session");
  if (!NormSetMulticastInterface(session, "eth0")) fail("no eth0");
  NormSetTTL(session, 16);
  return session;
}

int send(char **arguments) {
  const char *file = arguments[0];
  double rate_bps = std::atof(arguments[1]);
  UINT16 segment = std::atoi(arguments[2]);
  UINT16 block = std::atoi(arguments[3]), parity = std::atoi(arguments[4]);
  unsigned char auto_parity = std::atoi(arguments[5]);
  unsigned int receivers = std::atoi(arguments[6]);

  NormInstanceHandle instance = NormCreateInstance();
  NormSessionHandle handle = session(instance, SENDER);
  NormSetCongestionControl(handle, false);
  NormSetTxRate(handle, rate_bps);
  NormSetGrttEstimate(handle, 0.001);
  // A round trip is measured, too, and where 40 receivers share two processors it is the wait for one of them.
  NormSetGrttMax(handle, 0.03);
  NormSetGroupSize(handle, receivers);
  if (!NormStartSender(handle, 1, MEMORY, segment, block, parity)) fail("no sender");
  NormSetAutoParity(handle, auto_parity);
  if (!NormSetTxSocketBuffer(handle, SOCKET_BUFFER)) fail("no send buffer");
  NormSetRxSocketBuffer(handle, SOCKET_BUFFER);
  for (unsigned int number = 1; number <= receivers; number++) NormAddAckingNode(handle, number);

  NormObjectHandle object = NormFileEnqueue(handle, file, "file", 4);
  if (object == NORM_OBJECT_INVALID) fail("the file cannot be sent");
  NormSetWatermark(handle, object);
  NormEvent event;
  while (NormGetNextEvent(instance, &event)) {
    if (event.type != NORM_TX_WATERMARK_COMPLETED) continue;
    if (NormGetAckingStatus(handle) == NORM_ACK_SUCCESS) {
      NormDestroyInstance(instance);
      return 0;
    }
    // Some have not answered: ask once more.
    NormResetWatermark(handle);
  }
  return 1;
}

int receive(char **arguments) {
  std::string directory = std::string(arguments[0]) + "/";
  std::string name = directory + arguments[1];
  NormInstanceHandle instance = NormCreateInstance();
  if (!NormSetCacheDirectory(instance, directory.c_str())) fail("no directory");
  NormSessionHandle handle = session(instance, std::atoi(arguments[2]));
  if (!NormStartReceiver(handle, MEMORY)) fail("no receiver");
  if (!NormSetRxSocketBuffer(handle, SOCKET_BUFFER)) fail("no receive buffer");
  NormEvent event;
  while (NormGetNextEvent(instance, &event)) {
    if (event.type == NORM_RX_OBJECT_ABORTED) fail("the file was given up");
    if (event.type != NORM_RX_OBJECT_COMPLETED) continue;
    if (!NormFileRename(event.object, name.c_str())) fail("the file cannot be named");
    std::puts("complete");
    std::fflush(stdout);
  }
  return 1;
}

}  // namespace

int main(int count, char **arguments) {
  if (count == 9 && std::strcmp(arguments[1], "send") == 0) return send(arguments + 2);
  if (count == 5 && std::strcmp(arguments[1], "recv") == 0) return receive(arguments + 2);
  fail("usage: send FILE RATE_BPS SEGMENT BLOCK PARITY AUTO_PARITY RECEIVERS | recv DIRECTORY NAME NUMBER");
}
