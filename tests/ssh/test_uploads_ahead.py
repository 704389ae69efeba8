"""Uploads that begin before the snapshot is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.archives import BORROWS
from flow_adapters.packing import TarCodeStore
from flow_adapters.ssh import unpack
from flow_adapters.ssh.upload_talk import framed
from flow_core.domain.code import Bundle
from flow_core.errors import FlowError, InvalidRequest
from flow_core.ports.shell import NodeExit
from tests.ssh.uploads import cut_out, listing, packed, shell, store, tree, trusted, uploaded

__all__ = ["shell", "store", "tree"]


class Slow:
    """A snapshot that is only whole once the node has asked for it; `trouble` is how its packing ends."""

    def __init__(self, bundle: Bundle, *, trouble: FlowError | None = None) -> None:
        self.bundle = bundle
        self.trouble = trouble
        self.is_done = False

    def done(self) -> Bundle:
        """See `Packing.done`."""
        if self.trouble is not None:
            raise self.trouble
        self.is_done = True
        return self.bundle

    def taken(self) -> Bundle:
        """See `Packing.taken`."""
        return self.done()

    def pieces(self) -> Iterator[bytes]:
        """See `Packing.pieces`; half of it comes in any case."""
        data = Path(self.bundle.location).read_bytes()
        for start in range(0, len(data) // 2, 100_000):
            yield data[start : min(start + 100_000, len(data) // 2)]
        self.done()
        yield data[len(data) // 2 :]

    def close(self) -> None:
        """See `Packing.close`."""


def test_a_snapshot_is_sent_while_it_is_packed(shell, node, tree, tmp_path):
    """A node that has nothing is sent what there is so far; then it has all, and knows what it has."""
    (tree / "big").write_bytes(bytes(range(256)) * 4_000)
    bundle = packed(tree, tmp_path / "a.tar")
    first = uploaded(shell, node, Slow(bundle))
    Path(bundle.location).unlink()
    second = uploaded(shell, node, bundle)

    assert [NodeExit(node, 0)] * 2 == [first, second]
    assert listing(tree) == listing(tmp_path / "workspace")


def test_what_a_node_has_is_not_sent_again_by_one_who_packs(shell, node, tree, store, tmp_path):
    """Whoever packs while asking sends a node nothing that it has, and nothing at all where it has everything."""
    (tree / "big").write_bytes(bytes(3_000_000))
    uploaded(shell, node, store.pack(str(tree)))
    (tree / "new").write_text("new")
    bundle = cut_out(store.pack(str(tree)), "big")
    changed = uploaded(shell, node, Slow(bundle))
    Path(bundle.location).unlink()
    same = uploaded(shell, node, Slow(bundle))

    assert [NodeExit(node, 0)] * 2 == [changed, same]
    assert listing(tree) == listing(tmp_path / "workspace")


def test_what_a_snapshot_borrows_is_sent_too(shell, node, tree, tmp_path):
    """From an archive that borrows, a node that has the last is brought what changed, and one that has none, all."""
    store = TarCodeStore(tmp_path / "store", worth_borrowing=0)
    (tree / "big").write_bytes(bytes(range(256)) * 8_000)
    uploaded(shell, node, trusted(store.pack(str(tree))))
    (tree / "new").write_text("new")
    packing = store.packing(str(tree))
    changed = uploaded(shell, node, packing)
    as_changed = listing(tmp_path / "workspace")
    shutil.rmtree(tmp_path / "workspace")
    fresh = uploaded(shell, node, store.packing(str(tree)))

    assert [NodeExit(node, 0)] * 2 == [changed, fresh]
    assert BORROWS == Path(packing.taken().location).suffix
    assert [listing(tree)] * 2 == [as_changed, listing(tmp_path / "workspace")]


def test_a_snapshot_whose_packing_fails_changes_nothing(shell, node, tree, tmp_path):
    """Why it failed is raised, and the folder is as it was, with nothing of what had been sent."""
    (tree / "big").write_bytes(bytes(range(256)) * 4_000)
    bundle = packed(tree, tmp_path / "a.tar")
    trouble = InvalidRequest({"code": "'a' changed while it was read"})
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "own").write_text("stays")
    with pytest.raises(InvalidRequest, match="'a' changed while it was read"):
        uploaded(shell, node, Slow(bundle, trouble=trouble))

    assert {"own": (0o644, b"stays")} == listing(workspace)
    assert NodeExit(node, 0) == uploaded(shell, node, bundle)


@given(st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=20), st.integers(1, 20))
def test_pieces_behind_their_lengths_come_apart_anywhere(pieces, rest, most):
    """However the input is cut, the pieces are what they were, and what follows them is left for later."""
    reads, writes = os.pipe()
    sent = b"".join(map(framed, filter(None, pieces))) + framed(b"") + rest
    came = unpack.Input(reads)
    came.ahead, tail = sent[:most], sent[most:]
    os.write(writes, tail)
    os.close(writes)
    got = b"".join(came.framed())
    left = came.ahead + b"".join(iter(lambda: os.read(reads, 100), b""))
    os.close(reads)

    assert (b"".join(pieces), rest) == (got, left)
