"""A ZeroMQ socket that publishes or hears the messages of the plan (crates/rig/src/traffic.rs).

zmq_peer.py publish|subscribe COUNT SIZES single|multi URL
"""

import sys
import time

import zmq

task, count, sizes, parts, url = sys.argv[1:]
count, sizes = int(count), [int(size) for size in sizes.split(",")]
ROUND = bytes(range(251))


def message(number):
    many = 1 + number % 4 if parts == "multi" and number % 3 == 2 else 1
    return [some(number * 7 + part * 13, sizes[(number + part) % len(sizes)]) for part in range(many)]


def some(first, length):
    first %= 251
    return (ROUND[first:] + ROUND * (length // 251 + 1))[:length]


def say(*words):
    print(*words, flush=True)


context = zmq.Context()
socket = context.socket(zmq.PUB if task == "publish" else zmq.SUB)
socket.setsockopt(zmq.RATE, 40000)
socket.setsockopt(zmq.RECOVERY_IVL, 10000)
socket.setsockopt(zmq.SNDHWM, 0)
socket.setsockopt(zmq.RCVHWM, 0)
if task == "publish":
    socket.connect(url)
    say("ready")
    for number in range(count):
        socket.send_multipart(message(number))
    say("published")
    # A publisher that ends repairs nothing any more.
    time.sleep(1000)
else:
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(url)
    say("ready")
    for number in range(count):
        say("right" if socket.recv_multipart() == message(number) else "wrong", number)
    say("whole")
    time.sleep(1000)
