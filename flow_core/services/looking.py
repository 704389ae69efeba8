"""Looking at many tasks at once, in three sweeps of the provider however many there are, and a last look at one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from flow_core.domain.bid import Bid, BidState
from flow_core.services.node_logs import NodeLogs

if TYPE_CHECKING:
    from flow_core.domain.allocation import Allocation
    from flow_core.domain.record import TaskRecord
    from flow_core.domain.run import LogChunk, RunReport
    from flow_core.domain.status import TaskView
    from flow_core.ports.logs import Logs
    from flow_core.services.ports import Ports

#: How old what nodes told the watcher may be for a list of tasks, in real time; it asks them more often than that.
RECENT = timedelta(seconds=15)


def look(
    ports: Ports,
    records: Sequence[TaskRecord],
    *,
    within: timedelta | None = None,
    asks_nodes: bool = True,
) -> list[TaskView]:
    """Return a view of each record, in their order; the provider is asked only about live ones.

    With `within`, nodes that are logged in to for every answer aren't asked again so soon after the watcher did. Unless
    it `asks_nodes`, no view has reports.
    """
    from flow_core.domain.status import TaskView

    asked = [record.bid_id for record in records if record.bid_id is not None and record.is_live]
    bids = {bid.id: bid for bid in ports.provider.market.bids(ids=asked)} if asked else {}
    holding = [
        bid.id for bid in bids.values() if bid.state not in (BidState.OPEN, BidState.TERMINATED)
    ]
    allocations = ports.provider.fleet.allocations(holding) if holding else {}
    reports = _reports(ports, bids, allocations, within) if asks_nodes else {}
    return [
        TaskView(
            record=record,
            bid=bids.get(record.bid_id or ""),
            allocation=allocations.get(record.bid_id or ""),
            reports=reports.get(record.bid_id or "", ()),
        )
        for record in records
    ]


def last_reports(ports: Ports, bid_id: str) -> tuple[RunReport, ...]:
    """Return what the nodes of one bid last said, for who asks them little afterwards."""
    if ports.provider.logs is not None:
        return ports.provider.logs.reports([bid_id])[bid_id]
    return _node_logs(ports).reports([bid_id], lone=True)[bid_id]


def logs_of(ports: Ports) -> Logs:
    """Return the provider's logs role, or one that asks the nodes themselves."""
    return ports.provider.logs or _node_logs(ports)


def rest_of_log(ports: Ports, bid_id: str, rank: int, *, offset: int) -> Iterator[LogChunk]:
    """Yield what there is of a node's log from `offset` on, in order; see `Logs.read` for what it raises."""
    if ports.provider.logs is None:
        yield from _node_logs(ports).rest(bid_id, rank, offset=offset)
        return
    while True:
        chunk = ports.provider.logs.read(bid_id, rank, offset=offset)
        yield chunk
        if chunk.is_last or chunk.next_offset == offset:
            return
        offset = chunk.next_offset


def give_back(ports: Ports, record: TaskRecord) -> bool:
    """Keep what is left of the logs and withdraw the record's bid; False while another process is doing so."""
    from flow_core.services.attending import where_logs_lie

    if record.bid_id is None:
        return False
    with ports.journal.claim(record.token, "give back") as mine:
        if mine:
            if ports.provider.logs is None:
                places = {
                    rank: where_logs_lie(record, ports.provider, rank)
                    for rank in range(record.spec.num_instances)
                }
                _node_logs(ports).keep_rest(record.bid_id, places)
            ports.provider.market.withdraw(record.bid_id)
        return mine


def _reports(
    ports: Ports,
    bids: Mapping[str, Bid],
    allocations: Mapping[str, Allocation],
    within: timedelta | None,
) -> Mapping[str, tuple[RunReport, ...]]:
    if ports.provider.logs is not None:
        spoken: Iterable[str] = bids
    else:
        spoken = [
            bid_id
            for bid_id, each in allocations.items()
            if any(node.is_reachable for node in each.nodes)
        ]
    wanted = list(spoken)
    if wanted and within is not None and ports.provider.logs is None and ports.watch.is_running():
        return _node_logs(ports).recent(wanted, within=within)
    return logs_of(ports).reports(wanted) if wanted else {}


def _node_logs(ports: Ports) -> NodeLogs:
    return NodeLogs(ports.provider, ports.log_keep, files=ports.node_files, now=ports.clock.now)
