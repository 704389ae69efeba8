"""What `RemoteShell.run_many` promises of a call that no other is likely to follow."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from flow_adapters.packing import TarCodeStore
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeExit, NodeOutput
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.lines import IS_GONE, TRACED
from flow_providers.conformance.stating import states

_LONE = (
    "`lone` says that no other call to the node is likely to follow; it changes nothing but what is kept for one "
    "that does."
)


class LoneCallsContract(Contract):
    """What happens when a line is run on a node that is left afterwards."""

    @pytest.mark.parametrize("code", [0, 3, 255])
    @states("shell.Call", _LONE)
    def test_a_lone_call_answers_alike(self, bed: Bed, code: int) -> None:
        """Its input is empty, and both streams and its code are heard, whatever they end with; so is the next."""
        bed.need_commands()
        node = bed.granted()[1].nodes[0]
        line = f"cat; head -c 300000 /dev/zero; echo err >&2; exit {code}"
        for _ in range(2):
            (answer,) = bed.answers([Call(node=node, line=line, lone=True)])

            assert (bytes(300_000), b"err\n", code) == (answer.out, answer.err, answer.code)

    @states("shell.Call", _LONE)
    def test_a_lone_call_behind_an_upload_answers_alike(self, bed: Bed, tmp_path: Path) -> None:
        """It has what was uploaded, and the folder, the input, the streams and the code of any other call."""
        bed.need_commands()
        node = bed.granted()[1].nodes[0]
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "word").write_text("one\n")
        bundle = TarCodeStore(tmp_path / "store").pack(str(tmp_path / "folder"))
        sent = list(bed.shell.upload([node], bundle, target="."))
        line = "cat; cat word; pwd; umask; echo err >&2; exit 255"
        (lone,), (usual,) = (
            bed.answers([Call(node=node, line=line, lone=is_lone)]) for is_lone in (True, False)
        )

        assert [NodeExit(node, 0)] == sent
        assert b"one\n" == usual.out[:4]
        assert (usual.out, usual.err, 255) == (lone.out, lone.err, lone.code)

    @states("shell.Call", _LONE)
    def test_a_lone_call_is_ended_alike(self, bed: Bed) -> None:
        """One that nobody listens to has ended when its events are closed; one that a signal ended has its code."""
        bed.need_commands()
        node = bed.granted()[1].nodes[0]
        with closing(bed.shell.run_many([Call(node=node, line=TRACED, lone=True)])) as events:
            first = next(events)
        (killed,) = bed.answers([Call(node=node, line="kill -KILL $$", lone=True)])

        assert NodeOutput(node, Stream.OUT, b"begun\n") == first
        assert 137 == killed.code
        bed.until("the process ended", lambda: bed.answer(node, IS_GONE).code == 0)
