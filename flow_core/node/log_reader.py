"""Prints a stretch of a node's log: sent along with the question, so that it need not be on the node.

    python3 -ISc PROGRAM flow-log OFFSET LIMIT

FLOW_HOME is where the node helper keeps its files, whose forms `flow_node.py` tells. First comes a line of JSON that
describes the stretch, then its bytes as one zlib stream, which has no checksum. A node whose helper hasn't come yet has
an empty log.

The stream is made of pieces that know nothing of each other, by as many threads as there are processors, up to four:
one alone squeezes 0.3 GB a second. Python 3.8, and little of it: loading takes longer than most answers.
"""

from __future__ import annotations

import os
import sys
import zlib
from _thread import allocate_lock, start_new_thread
from struct import unpack_from

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any

HOME = os.environ.get("FLOW_HOME", "/opt/flow")
STREAMS = ("out", "err", "note")
SIZE = 24  # of an entry of the index: offset, length, stream, unix time
PIECE = 1 << 20
THREADS = 4


def main(offset: int, limit: int) -> None:
    """Print the stretch of at most `limit` bytes from `offset`."""
    # Before the log: what is over now grows no more.
    is_over = b'"phase": "exited"' in content("state.json")
    index, log = opened("log.index"), opened("log")
    count = os.fstat(index).st_size // SIZE if index >= 0 else 0

    def entry(number: int) -> Any:
        return unpack_from("<QIId", os.pread(index, SIZE, number * SIZE))

    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        begin, length = entry(middle)[:2]
        if begin + length > offset:
            high = middle
        else:
            low = middle + 1
    pieces = []
    end = offset
    while low < count and end < offset + limit:
        begin, length, stream, at = entry(low)
        piece = min(begin + length, offset + limit) - end
        pieces.append('["%s", %d, %r]' % (STREAMS[stream], piece, at))
        end += piece
        low += 1
    size = sum(entry(count - 1)[:2]) if count else 0
    head = '{"offset": %d, "next_offset": %d, "pieces": [%s], "is_last": %s, "zlib": true}\n' % (
        offset,
        end,
        ", ".join(pieces),
        "true" if is_over and end >= size else "false",
    )
    write(head.encode() + b"x\1")
    squeeze(log, offset, end)


def squeeze(log: int, offset: int, end: int) -> None:
    """Write the bytes from `offset` to `end`, each thread a piece in turn."""
    starts = range(offset, end, PIECE)
    count = min(len(starts), THREADS, os.cpu_count() or 1)
    turns = [allocate_lock() for _ in range(count)]
    running = [allocate_lock() for _ in range(count)]

    def work(number: int) -> None:
        try:
            for start in starts[number::count]:
                size = min(end - start, PIECE)
                data = os.pread(log, size, start)
                if len(data) < size:
                    raise EOFError
                squeezer = zlib.compressobj(1, zlib.DEFLATED, -15, 6)
                squeezed = squeezer.compress(data) + squeezer.flush(zlib.Z_SYNC_FLUSH)
                turns[number].acquire()
                write(squeezed)
                turns[(number + 1) % count].release()
        except BaseException:
            os._exit(1)  # who asked is gone, or the log is; the others would wait for their turn
        running[number].release()

    for lock in (*turns[1:], *running):
        lock.acquire()
    for number in range(count):
        start_new_thread(work, (number,))
    for lock in running:
        lock.acquire()


def write(data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(1, data) :]


def opened(name: str) -> int:
    """Open a file of the helper's; -1 where there is none yet."""
    try:
        return os.open(os.path.join(HOME, name), os.O_RDONLY)
    except FileNotFoundError:
        return -1


def content(name: str) -> bytes:
    """Return what a small file of the helper's holds; nothing where there is none yet."""
    file = opened(name)
    return os.read(file, 1 << 20) if file >= 0 else b""


if __name__ == "__main__":
    main(int(sys.argv[2]), int(sys.argv[3]))
