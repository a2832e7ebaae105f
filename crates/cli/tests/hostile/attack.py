"""Hostile traffic on a group, from a node of its own.

attack.py GROUP PORT SOURCE GSI SESSION_PORT CORPUS

A hundred rounds, 60,000 packets, then says "over": the fuzzer's corpus, SPMs and NCFs of the real session far ahead of it, sources that do not
exist, NAKs and forged reports for the real one.
"""

import os
import socket
import struct
import sys
import time

group, port, source, gsi, session_port, corpus = sys.argv[1:]
port, session_port = int(port), int(session_port)
gsi = bytes(int(byte) for byte in gsi.split("."))
SPM, ODATA, NAK, NCF, REPORT = 0x00, 0x04, 0x08, 0x0A, 0x0F


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


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
files = [open(os.path.join(corpus, name), "rb").read() for name in sorted(os.listdir(corpus))]
for rounds in range(100):
    for data in files:
        s.sendto(data, (group, port))
        s.sendto(data, (source, port))
        # Cut short, its checksum is wrong.
        s.sendto(data[:-3], (group, port))
        s.sendto(data[:-3], (source, port))
    far = struct.pack(">I", (rounds * 977 + 0x40000000) & 0xFFFFFFFF)
    s.sendto(packet(SPM, gsi, session_port, port, far + far + far + nla(source)), (group, port))
    s.sendto(packet(NCF, gsi, session_port, port, far + nla(source) + nla(group)), (group, port))
    for stranger in range(200):
        number = rounds * 200 + stranger
        theirs = struct.pack(">HI", 0xBAD, number % 20000)
        body = struct.pack(">II", number & 0xFFFF, 0)
        s.sendto(packet(ODATA, theirs, 1000, port, body, b"x" * 64), (group, port))
    for sqn in range(100):
        body = struct.pack(">I", (rounds * 100 + sqn) % 4000) + nla(source) + nla(group)
        s.sendto(packet(NAK, gsi, port, session_port, body), (source, port))
        s.sendto(packet(REPORT, gsi, port, session_port, os.urandom(40)), (source, port))
    time.sleep(0.005)
print("over", flush=True)
