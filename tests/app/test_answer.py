"""What comes back of a call, as bytes: in memory, in a file, and where a file finds no room."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.python._pool_call import SPILL_BYTES, Answer
from flow_adapters.python._pool_code import small_enough
from flow_core.errors import InvalidRequest
from flow_core.node.call import frames

NO_ROOM = """
import resource, signal
from flow_adapters.python._pool_call import SPILL_BYTES, Answer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 * SPILL_BYTES, 2 * SPILL_BYTES))
answer = Answer(1)
try:
    for _ in range(40):
        answer.add(bytes(1 << 20))
    answer.is_sealed(b"V", b"")
except OSError as trouble:
    print(trouble.strerror)
answer.close()
"""


@settings(max_examples=10)
@given(st.lists(st.integers(0, SPILL_BYTES), max_size=4), st.booleans())
def test_an_answer_is_what_was_sealed(sizes: list[int], is_cut: bool) -> None:
    """Whatever its pieces, small or large, all of it is there in order; one that lost a byte is not sealed."""
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    answer = Answer(7)
    seal = frames.seal_of(answer.key, 7)
    for piece in pieces:
        seal.update(piece)
    seal.update(frames.VALUE)
    whole = b"".join(pieces)
    lost = is_cut and whole
    for piece in [whole[1:]] if lost else pieces:
        answer.add(piece)

    assert (not lost) is answer.is_sealed(frames.VALUE, seal.digest())
    assert (whole[1:] if lost else whole) == answer.opened().read()
    answer.close()


def test_what_no_frame_holds_is_refused() -> None:
    """Arguments of four gigabytes are told with their size and what to do, before anything is sent."""

    class Large(bytes):
        """Bytes that say they are many."""

        def __len__(self) -> int:
            return 5_000_000_000

    with pytest.raises(InvalidRequest, match=r"takes 5\.0 GB pickled, .* at most 4\.3: pass"):
        small_enough(Large(), "arguments")
    assert b"few" == small_enough(b"few", "arguments")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_told() -> None:
    """A large answer that finds no room is an OSError for whoever adds to it or asks for its seal, and nobody waits."""
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], capture_output=True, text=True, timeout=60, check=False
    )

    assert ("File too large\n", 0) == (done.stdout, done.returncode), done.stderr
