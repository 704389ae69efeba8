"""Looking at many tasks at once, in three sweeps of the provider however many there are, and a last look at one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flow_core.domain.allocation import Allocation
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.record import TaskRecord
from flow_core.domain.run import RunReport
from flow_core.domain.status import TaskView
from flow_core.ports.logs import Logs
from flow_core.services.node_logs import NodeLogs
from flow_core.services.ports import Ports


def look(ports: Ports, records: Sequence[TaskRecord]) -> list[TaskView]:
    """Return a view of each record, in their order; the provider is asked only about live ones."""
    asked = [record.bid_id for record in records if record.bid_id is not None and record.is_live]
    bids = {bid.id: bid for bid in ports.provider.market.bids(ids=asked)} if asked else {}
    holding = [
        bid.id for bid in bids.values() if bid.state not in (BidState.OPEN, BidState.TERMINATED)
    ]
    allocations = ports.provider.fleet.allocations(holding) if holding else {}
    reports = _reports(ports, bids, allocations)
    return [
        TaskView(
            record=record,
            bid=bids.get(record.bid_id or ""),
            allocation=allocations.get(record.bid_id or ""),
            reports=reports.get(record.bid_id or "", ()),
        )
        for record in records
    ]


def logs_of(ports: Ports) -> Logs:
    """Return the provider's logs role, or one that asks the nodes themselves."""
    return ports.provider.logs or NodeLogs(ports.provider, ports.log_keep)


def give_back(ports: Ports, record: TaskRecord) -> bool:
    """Keep what is left of the logs and withdraw the record's bid; False while another process is doing so."""
    if record.bid_id is None:
        return False
    with ports.journal.claim(record.token, "give back") as mine:
        if mine:
            if ports.provider.logs is None:
                ranks = range(record.spec.num_instances)
                NodeLogs(ports.provider, ports.log_keep).keep_rest(record.bid_id, ranks)
            ports.provider.market.withdraw(record.bid_id)
        return mine


def _reports(
    ports: Ports, bids: Mapping[str, Bid], allocations: Mapping[str, Allocation]
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
    return logs_of(ports).reports(wanted) if wanted else {}
