"""Listens in a new network namespace, gives the sockets away, and becomes a command.

Arguments: the descriptor to give them away on, the ports, the command.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

_SET_FLAGS, _UP = 0x8914, 0x1

fd, ports = int(sys.argv[1]), [int(word) for word in sys.argv[2].split(",")]
listeners = []
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
for port in ports:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    listeners.append(listener)
with socket.socket(fileno=fd) as way_out:
    socket.send_fds(way_out, [b"here"], [listener.fileno() for listener in listeners])
# Python's sockets close on exec: what is left of them is outside.
os.execvp(sys.argv[3], sys.argv[3:])
