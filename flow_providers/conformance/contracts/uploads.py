"""Files on nodes: `RemoteShell.upload`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest

from flow_adapters.packing import TarCodeStore
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.errors import InvalidRequest
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.folders import (
    EMPTY_FOLDER,
    EXECUTABLE,
    FILES,
    LINK,
    LINK_TARGET,
    write_folder,
)
from flow_providers.conformance.stating import states

_TARGET = "kit-code"


class UploadsContract(Contract):
    """What happens when a folder is brought to nodes."""

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        """A folder of awkward files, packed."""
        folder = tmp_path / "folder"
        folder.mkdir()
        write_folder(folder)
        return TarCodeStore(tmp_path / "store").pack(str(folder))

    @states(
        "shell.upload",
        "Make the folder `target` on each node hold the bundle's files; each node ends with NodeExit(0) or NodeLost.",
    )
    def test_every_node_gets_the_files(self, bed: Bed, bundle: Bundle) -> None:
        """Each node that is there ends with NodeExit(0) and has the files; one that isn't ends with NodeLost."""
        bed.need_commands()
        bid, allocation = bed.granted()
        gone = allocation.nodes[0]
        bed.market.withdraw(bid.id)
        bed.until("no node held", lambda: not bed.allocation(bid).nodes)
        there = _node(bed)
        ends = {
            event.node.id: event
            for event in bed.shell.upload([there, gone], bundle, target=_TARGET)
        }

        assert NodeExit(there, 0) == ends[there.id]
        assert isinstance(ends[gone.id], NodeLost)
        assert FILES["plain.txt"] == bed.answer(there, f"cat {_TARGET}/plain.txt").out

    @states("shell.upload", "`target` is absolute or relative to the workspace.")
    def test_a_target_is_absolute_or_in_the_workspace(self, bed: Bed, bundle: Bundle) -> None:
        """The same files arrive at an absolute path, at one in the workspace, and in the workspace itself."""
        bed.need_commands()
        node = _node(bed)
        here = bed.answer(node, "pwd").out.decode().strip()
        for target in (f"{here}/kit-absolute", "kit-relative", "."):
            _assert_arrived(node, bed.shell.upload([node], bundle, target=target))
        answer = bed.answer(node, "cat kit-absolute/plain.txt kit-relative/plain.txt plain.txt")

        assert FILES["plain.txt"] * 3 == answer.out

    @states("shell.upload", "Files of the bundle replace those of the same name; others stay.")
    def test_old_files_are_replaced_and_others_stay(self, bed: Bed, bundle: Bundle) -> None:
        """A file that was there under a bundle's name has the bundle's content; one of another name is untouched."""
        bed.need_commands()
        node = _node(bed)
        bed.answer(
            node, f"mkdir -p {_TARGET}; cd {_TARGET}; echo old > plain.txt; echo mine > other"
        )
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))

        assert (
            FILES["plain.txt"] + b"mine\n"
            == bed.answer(node, f"cd {_TARGET}; cat plain.txt other").out
        )

    @states("shell.upload", "Nothing is written outside `target`.")
    def test_nothing_is_left_beside_the_target(self, bed: Bed, bundle: Bundle) -> None:
        """After an upload the workspace holds what it held, and the target."""
        bed.need_commands()
        node = _node(bed)
        listing = f"find . -path ./{_TARGET} -prune -o -print | sort"
        before = bed.answer(node, listing).out
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))

        assert before == bed.answer(node, listing).out

    @states(
        "shell.upload",
        "A second upload of the same bundle sends nothing: it doesn't need the archive.",
    )
    def test_a_second_upload_sends_nothing(self, bed: Bed, bundle: Bundle) -> None:
        """When the node has the bundle, uploading it again works without its archive, and changes nothing."""
        bed.need_commands()
        node = _node(bed)
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))
        Path(bundle.location).unlink()
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))

        assert FILES["plain.txt"] == bed.answer(node, f"cat {_TARGET}/plain.txt").out

    @states(
        "shell.upload",
        "What an earlier bundle brought and this one lacks may go, unless it was changed since.",
    )
    def test_another_bundle_takes_an_earlier_ones_place(
        self, bed: Bed, bundle: Bundle, tmp_path: Path
    ) -> None:
        """What was changed on the node is as in the newer bundle where it has it, and stays as it is where not."""
        bed.need_commands()
        node = _node(bed)
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))
        bed.answer(node, f"cd {_TARGET}; echo changed > plain.txt; echo result > {EXECUTABLE}")
        folder = tmp_path / "newer"
        folder.mkdir()
        (folder / "plain.txt").write_text("newer\n")
        newer = TarCodeStore(tmp_path / "store").pack(str(folder))
        _assert_arrived(node, bed.shell.upload([node], newer, target=_TARGET))

        assert (
            b"newer\nresult\n" == bed.answer(node, f"cd {_TARGET}; cat plain.txt {EXECUTABLE}").out
        )

    @states(
        "shell.upload",
        "Contents, executable bits, symlinks and empty folders arrive as they were.",
    )
    def test_files_arrive_as_they_were(self, bed: Bed, bundle: Bundle) -> None:
        """Every file has its bytes, the script runs, the symlink points where it did, the empty folder is there."""
        bed.need_commands()
        node = _node(bed)
        _assert_arrived(node, bed.shell.upload([node], bundle, target=_TARGET))

        for name, content in FILES.items():
            assert content == bed.answer(node, f"cat {_TARGET}/{shlex.quote(name)}").out, name
        assert b"ran\n" == bed.answer(node, f"{_TARGET}/{EXECUTABLE}").out
        assert 0 != bed.answer(node, f"test -x {_TARGET}/plain.txt").code
        assert LINK_TARGET.encode() == bed.answer(node, f"readlink {_TARGET}/{LINK}").out.strip()
        assert 0 == bed.answer(node, f"test -d {_TARGET}/{EMPTY_FOLDER}").code

    @states(
        "shell.upload",
        "One that is still being packed may be sent meanwhile; "
        "where packing fails, that is raised, and no node is any different.",
    )
    def test_what_is_still_being_packed_arrives_whole_or_not_at_all(
        self, bed: Bed, tmp_path: Path
    ) -> None:
        """A snapshot that has only begun arrives; one that can't be taken raises why, and the folder stays as it is."""
        bed.need_commands()
        node = _node(bed)
        folder = tmp_path / "folder"
        folder.mkdir()
        write_folder(folder)
        store = TarCodeStore(tmp_path / "store")
        _assert_arrived(node, bed.shell.upload([node], store.packing(str(folder)), target=_TARGET))
        with pytest.raises(InvalidRequest):
            list(bed.shell.upload([node], store.packing(str(tmp_path / "none")), target=_TARGET))

        assert FILES["plain.txt"] == bed.answer(node, f"cat {_TARGET}/plain.txt").out


def _node(bed: Bed) -> Node:
    return bed.granted()[1].nodes[0]


def _assert_arrived(node: Node, events: Iterable[NodeEvent]) -> None:
    last = list(events)[-1]
    assert last == NodeExit(node, 0)
