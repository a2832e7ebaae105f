"""Hostile traffic on a group, from a node of its own.

attack.py kinds|flood GROUP PORT SOURCE GSI SESSION_PORT CORPUS

"kinds" sends a bit of everything, 60,000 packets in a hundred rounds with a pause after each: the fuzzer's corpus, SPMs and NCFs of the
real session far ahead of it, 20,000 sources that do not exist, NAKs and forged reports for the real one. "flood" sends 600,000 packets as fast
as the system takes them, in trains: strangers' data, NCFs far ahead, NAKs that the real source must answer, forged reports. Then it says "over".
"""

import os
import random
import socket
import struct
import sys
import time

task, group, port, source, gsi, session_port, corpus = sys.argv[1:]
port, session_port = int(port), int(session_port)
gsi = bytes(int(byte) for byte in gsi.split("."))
SPM, ODATA, NAK, NCF, REPORT = 0x00, 0x04, 0x08, 0x0A, 0x0F
UDP_SEGMENT = 103
TRAIN = 60


def nla(address):
    return struct.pack(">HH", 1, 0) + socket.inet_aton(address)


def packet(kind, gsi, first, second, body, tsdu=b"", flags=0):
    head = struct.pack(">HHBBH6sH", first, second, kind, flags, 0, gsi, len(tsdu))
    whole = head + body + tsdu
    padded = whole + bytes(len(whole) % 2)
    total = sum(struct.unpack(">%dH" % (len(padded) // 2), padded))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return whole[:6] + struct.pack(">H", (0xFFFF - total) or 0xFFFF) + whole[8:]


def spm(sqn):
    far = struct.pack(">I", sqn & 0xFFFFFFFF)
    return packet(SPM, gsi, session_port, port, far + far + far + nla(source))


def ncf(sqn):
    return packet(NCF, gsi, session_port, port, struct.pack(">I", sqn & 0xFFFFFFFF) + nla(source) + nla(group))


def strange(number):
    body = struct.pack(">II", number & 0xFFFF, 0)
    return packet(ODATA, struct.pack(">HI", 0xBAD, number % 20000), 1000, port, body, b"x" * 64)


def nak(sqn):
    return packet(NAK, gsi, port, session_port, struct.pack(">I", sqn % 4000) + nla(source) + nla(group))


def report(_):
    return packet(REPORT, gsi, port, session_port, os.urandom(40))


def open_socket():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    return s


def kinds():
    s = open_socket()
    files = [open(os.path.join(corpus, name), "rb").read() for name in sorted(os.listdir(corpus))]
    for rounds in range(100):
        for data in files:
            # Cut short, its checksum is wrong.
            for some in (data, data[:-3]):
                s.sendto(some, (group, port))
                s.sendto(some, (source, port))
        far = rounds * 977 + 0x40000000
        s.sendto(spm(far), (group, port))
        s.sendto(ncf(far), (group, port))
        for stranger in range(200):
            s.sendto(strange(rounds * 200 + stranger), (group, port))
        for sqn in range(rounds * 100, rounds * 100 + 100):
            s.sendto(nak(sqn), (source, port))
            s.sendto(report(sqn), (source, port))
        time.sleep(0.005)


def flood():
    ways = []
    for make, to, count in ((strange, group, 334), (ncf, group, 100), (nak, source, 100), (report, source, 100)):
        s = open_socket()
        s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(make(0)))
        first = 0x40000000 if make is ncf else 0
        for train in range(count):
            numbers = range(first + train * TRAIN, first + train * TRAIN + TRAIN)
            ways.append((s, b"".join(make(number) for number in numbers), (to, port)))
    random.shuffle(ways)
    for train in range(600_000 // TRAIN):
        s, data, to = ways[train % len(ways)]
        s.sendto(data, to)


kinds() if task == "kinds" else flood()
print("over", flush=True)
