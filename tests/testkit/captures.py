"""Packet captures of conversations that a test writes down: files of libpcap, packet by packet."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

#: Who sends: the requestor, the acceptor.
REQUESTOR, ACCEPTOR = 0, 1

_SYN, _ACK, _FIN = 2, 16, 1


def capture(
    path: Path,
    *conversations: Sequence[tuple[int, bytes]],
    interval_s: float = 0,
    at_once: bool = False,
) -> Path:
    """Write conversations, each a list of who sent what, one after the other.

    `interval_s` is the time between two packets; with `at_once` each conversation has a step in
    turn.
    """
    out = bytearray(struct.pack("<LHHlLLL", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
    clock = 0.0

    def packet(client: int, side: int, flags: int, numbers: list[int], data: bytes) -> None:
        nonlocal clock
        ports = (40000 + client, 104)
        source, target = ports if side == REQUESTOR else ports[::-1]
        tcp = struct.pack(
            ">HHLLBBHHH", source, target, numbers[side], numbers[1 - side], 0x50, flags, 1024, 0, 0
        )
        hosts = (b"\x0a\0\0\1", b"\x0a\0\0\2")
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0)
        frame = ip + hosts[side] + hosts[1 - side] + tcp + data
        seconds = 1_700_000_000 + int(clock)
        head = struct.pack("<LLLL", seconds, round(clock % 1 * 1e6), len(frame), len(frame))
        out.extend(head + frame)
        numbers[side] += len(data) + (1 if flags & (_SYN | _FIN) else 0)
        clock += interval_s

    def steps(client: int, talk: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        numbers = [1000, 5000]
        packet(client, REQUESTOR, _SYN, numbers, b"")
        packet(client, ACCEPTOR, _SYN | _ACK, numbers, b"")
        for side, data in talk:
            yield
            for at in range(0, len(data), 60_000):
                packet(client, side, _ACK, numbers, data[at : at + 60_000])
        packet(client, REQUESTOR, _FIN | _ACK, numbers, b"")
        packet(client, ACCEPTOR, _FIN | _ACK, numbers, b"")

    played = [steps(client, talk) for client, talk in enumerate(conversations)]
    for _ in zip_longest(*played) if at_once else chain(*played):
        pass
    path.write_bytes(out)
    return path
