"""The logs role: what commands wrote, kept by the provider."""

from __future__ import annotations

from flow_core.domain.bid import Bid
from flow_core.domain.run import LogChunk, RunPhase, RunReport, Stream
from flow_core.errors import NotFound
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.lines import (
    BOTH_STREAMS,
    FAILS,
    NOTHING,
    RAW_BYTES,
    SPEAKS_AND_STAYS,
)
from flow_providers.conformance.stating import states


class LogsContract(Contract):
    """Everything that `flow_core.ports.logs.Logs` promises."""

    @states(
        "logs.Logs",
        "Keeps every node's log byte for byte, and its exit code, also after the node has gone.",
    )
    def test_a_log_outlives_its_node_byte_for_byte(self, bed: Bed) -> None:
        """Bytes that are no text, and an exit code, read the same when the bid has been withdrawn as before."""
        bid, _ = bed.granted(bed.request(RAW_BYTES))
        before = bed.ended(bid)
        said = _read(bed, bid)
        _withdraw(bed, bid)
        after = bed.logs.reports([bid.id])[bid.id][0]

        assert RAW_BYTES.out == _spoken(said, Stream.OUT)
        assert said.data == _read(bed, bid).data
        assert RAW_BYTES.code == before.exit_code == after.exit_code

    @states(
        "logs.Logs",
        "Keeps every node's log byte for byte, and its exit code, also after the node has gone.",
    )
    def test_streams_are_told_apart(self, bed: Bed) -> None:
        """What the command wrote to its two streams is kept as two; the exit code is the command's."""
        bed.need_commands()
        bid, _ = bed.granted(bed.request(BOTH_STREAMS))
        report = bed.ended(bid)
        said = _read(bed, bid)

        assert BOTH_STREAMS.code == report.exit_code
        assert BOTH_STREAMS.out == _spoken(said, Stream.OUT)
        assert BOTH_STREAMS.err == _spoken(said, Stream.ERR)

    @states(
        "logs.reports",
        "Return what the nodes of each bid last said, by rank, in one sweep; may be repeated.",
    )
    def test_reports_of_many_bids_come_in_one_call(self, bed: Bed) -> None:
        """One call tells how the commands of several bids ended; the same call again says the same."""
        fine, failing = bed.place(bed.request(NOTHING)), bed.place(bed.request(FAILS))
        bed.ended(fine)
        bed.ended(failing)
        asked = [fine.id, failing.id]
        reports = bed.logs.reports(asked)

        assert [(0, NOTHING.code)] == [(each.rank, each.exit_code) for each in reports[fine.id]]
        assert [(0, FAILS.code)] == [(each.rank, each.exit_code) for each in reports[failing.id]]
        assert reports == bed.logs.reports(asked)

    @states(
        "logs.reports",
        "Return what the nodes of each bid last said, by rank, in one sweep; may be repeated.",
    )
    def test_reports_come_by_rank(self, bed: Bed) -> None:
        """The reports of a bid with two nodes are those of rank 0 and rank 1, in that order."""
        bid, _ = bed.granted(bed.request(SPEAKS_AND_STAYS, quantity=2))

        def both() -> tuple[RunReport, ...] | None:
            reports = bed.logs.reports([bid.id])[bid.id]
            return reports if len(reports) == 2 else None

        assert [0, 1] == [report.rank for report in bed.until("both nodes' word", both)]

    @states(
        "logs.reports",
        "Every id asked for is answered; a bid whose nodes have not spoken yet has an empty tuple.",
    )
    def test_bids_without_a_word_have_no_reports(self, bed: Bed) -> None:
        """An id that is nobody's is answered with an empty tuple, beside a bid whose node has spoken."""
        unknown = bed.rig.no_such_id
        bid = bed.place(bed.request(NOTHING))
        bed.ended(bid)
        reports = bed.logs.reports([unknown, bid.id])

        assert {unknown, bid.id} == set(reports)
        assert () == reports[unknown]
        assert 1 == len(reports[bid.id])

    @states(
        "logs.read",
        "Return up to `limit` bytes of one node's log from byte `offset`, at once, without waiting for more.",
    )
    def test_a_stretch_of_a_log_can_be_read(self, bed: Bed) -> None:
        """A read gives the asked-for bytes of the log, no more than the limit, and says where they lie."""
        bid, _ = bed.granted(bed.request(RAW_BYTES))
        bed.ended(bid)
        whole = _read(bed, bid).data
        part = bed.logs.read(bid.id, 0, offset=2, limit=3)

        assert whole[2:5] == part.data
        assert (0, 2, 5) == (part.rank, part.offset, part.next_offset)

    @states("logs.read", "Reading on from `next_offset` misses no byte and repeats none.")
    def test_reading_on_gives_the_whole_log(self, bed: Bed) -> None:
        """A log read three bytes at a time is the log read at once, and the last chunk says that it is the last."""
        bid, _ = bed.granted(bed.request(BOTH_STREAMS))
        bed.ended(bid)
        whole = _read(bed, bid).data
        read, chunk = b"", bed.logs.read(bid.id, 0, limit=3)
        while chunk.data:
            assert len(read) == chunk.offset
            read += chunk.data
            chunk = bed.logs.read(bid.id, 0, offset=chunk.next_offset, limit=3)

        assert whole == read
        assert chunk.is_last

    @states("logs.read", "At the end of a log that still grows the chunk is empty and not last.")
    def test_a_growing_log_has_no_last_chunk(self, bed: Bed) -> None:
        """While the command runs, a read at the end of its log is empty at once, and not the last."""
        bid, _ = bed.granted(bed.request(SPEAKS_AND_STAYS))
        size = _begun(bed, bid, times=1)
        chunk = bed.within(5.0, lambda: bed.logs.read(bid.id, 0, offset=size))

        assert b"" == chunk.data
        assert size == chunk.next_offset
        assert not chunk.is_last

    @states(
        "logs.read",
        "A log keeps growing, with the same offsets, across restarts of its node.",
    )
    def test_a_log_goes_on_after_a_restart(self, bed: Bed) -> None:
        """After a reboot, or a pause, the log holds what it held, at the same place, and more behind it."""
        bid, _ = bed.granted(bed.request(SPEAKS_AND_STAYS))
        size = _begun(bed, bid, times=1)
        before = _read(bed, bid).data[:size]
        reboot = bed.rig.controls.reboot_node
        if reboot is not None:
            reboot(bid, 0)
        else:
            bed.amended(bid, paused=True)
            bed.nodes_down(bid)
            bed.amended(bid, paused=False)
        _begun(bed, bid, times=2)
        report = bed.logs.reports([bid.id])[bid.id][0]

        assert before == bed.logs.read(bid.id, 0, limit=size).data
        assert 1 == report.attempt
        assert RunPhase.RUNNING is report.phase

    @states("logs.read", "`offset` past the end gives an empty chunk at `offset`.")
    def test_past_the_end_there_is_nothing(self, bed: Bed) -> None:
        """A read from far past the end is empty and stays where it was asked to read."""
        bid, _ = bed.granted(bed.request(NOTHING))
        bed.ended(bid)
        chunk = bed.logs.read(bid.id, 0, offset=1_000_000)

        assert b"" == chunk.data
        assert (1_000_000, 1_000_000) == (chunk.offset, chunk.next_offset)

    @states(
        "logs.read",
        "NotFound: there is no such bid or rank, or its log is no longer kept.",
    )
    def test_a_log_that_is_not_there_is_not_found(self, bed: Bed) -> None:
        """Reading for an id that is nobody's, or a rank that the bid doesn't have, raises NotFound."""
        bid, _ = bed.granted(bed.request(NOTHING))
        bed.ended(bid)

        refuses(NotFound, lambda: bed.logs.read(bed.rig.no_such_id, 0))
        refuses(NotFound, lambda: bed.logs.read(bid.id, 1))


def _read(bed: Bed, bid: Bid) -> LogChunk:
    return bed.logs.read(bid.id, 0)


def _spoken(chunk: LogChunk, stream: Stream) -> bytes:
    return b"".join(piece.data for piece in chunk.pieces if piece.stream is stream)


def _begun(bed: Bed, bid: Bid, *, times: int) -> int:
    """Wait until the command has spoken so many times; return how long its log is then."""

    def look() -> int | None:
        reports = bed.logs.reports([bid.id])[bid.id]
        if not reports or reports[0].phase is not RunPhase.RUNNING:
            return None
        chunk = _read(bed, bid)
        enough = _spoken(chunk, Stream.OUT).count(SPEAKS_AND_STAYS.out) >= times
        return chunk.next_offset if enough else None

    return bed.until(f"the command to have spoken {times} times", look)


def _withdraw(bed: Bed, bid: Bid) -> None:
    bed.market.withdraw(bid.id)
    bed.until("no node held", lambda: not bed.allocation(bid).nodes)
