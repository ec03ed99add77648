"""A way to the pool that counts: connections, round trips and bytes, by the daemon that they are for."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.wire import Wire

# The port is shared by the daemons of the pool: the first message of a connection names the one that is meant; one
# without a name is for the collector.
_DAEMON = re.compile(rb"(schedd|startd|negotiator)_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What went through at once.

    Attributes:
        at_s: When, in seconds since the epoch.
        connection: A number for each connection.
        out: Whether it went to the server.
        turn: Whether it begins a round trip: it goes out, first of all or after something came in.
        size_b: Bytes.
    """

    at_s: float
    connection: int
    out: bool
    turn: bool
    size_b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one daemon and a client said to each other."""

    connections: int
    round_trips: int
    out_b: int
    in_b: int


class CountingWire(Wire):
    """A way that remembers what went through it.

    Args:
        port: Of the server, on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.blocks: list[Block] = []
        self.daemons: dict[int, str] = {}
        self._ends: dict[socket.socket, tuple[int, bool]] = {}
        self._went_out: dict[int, bool] = {}

    def opened(self, near: socket.socket, far: socket.socket) -> None:
        """Give a connection its number."""
        number = len(self._went_out)
        self._ends[near], self._ends[far], self._went_out[number] = (number, True), (number, False), False

    def carried(self, one: socket.socket, block: bytes) -> None:
        """Note a block."""
        number, out = self._ends[one]
        if out and number not in self.daemons:
            found = _DAEMON.search(block)
            self.daemons[number] = found[1].decode() if found else "collector"
        turn = out and not self._went_out[number]
        self._went_out[number] = out
        self.blocks.append(Block(at_s=time.time(), connection=number, out=out, turn=turn, size_b=len(block)))

    def traffic(self, daemon: str, since_s: float, until_s: float) -> Traffic:
        """What was said in a span of time, in seconds since the epoch."""
        blocks = [block for block in self.blocks if since_s <= block.at_s < until_s]
        return _sum([block for block in blocks if self.daemons.get(block.connection) == daemon])


def _sum(blocks: Sequence[Block]) -> Traffic:
    return Traffic(
        connections=len({block.connection for block in blocks}),
        round_trips=sum(block.turn for block in blocks),
        out_b=sum(block.size_b for block in blocks if block.out),
        in_b=sum(block.size_b for block in blocks if not block.out),
    )
