"""A task over the adapter, without a socket, whose nodes go to another host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import define

from flow_adapters.clocks import ManualClock
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.allocation import NodeState, NoticeKind
from flow_core.domain.bid import BidState
from flow_core.domain.status import TaskState
from flow_core.domain.task_form import task_from_mapping
from flow_core.ports.provider import Provider
from flow_core.services.session import Session
from flow_providers.mock.http.service import Service, in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.told import told
from tests.meeting.site import connect, told_shell, whereabouts
from tests.sim.clients import market


@define
class Held:
    """A simulated service as a cloud that a test holds."""

    clock: ManualClock
    provider: Provider
    service: Service

    def after_events(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Not told: the watcher looks as often as it looks by itself."""
        return lambda: None

    def changes(self) -> object:
        """See `CloudInMemory.changes`."""
        return self.service.engine.changes, self.clock.now()


@pytest.fixture
def cloud() -> Held:
    """A market of four instances, on which `train` takes six hours and keeps what it has done."""
    clock = ManualClock()
    nodes = MemoryNodes(clock)
    service = in_memory(clock, markets=(market(4),), host=nodes, whereabouts=whereabouts)
    nodes.tell(told("train", takes="6h", checkpoints=True))
    provider = connect(
        service, clock=clock, shell=told_shell(nodes), transport=DoorTransport(service.handle)
    )
    return Held(clock, provider, service)


def running(session: Session, clock: ManualClock, count: int) -> str:
    """Submit a task of some nodes, and return its token once it runs."""
    spec = task_from_mapping(
        {"command": "train", "name": "train", "instance_type": "8xh100", "num_instances": count, "code": None}
    )  # fmt: skip
    token = session.tasks.submit(spec).token
    clock.advance(minutes=30)
    assert TaskState.RUNNING is session.tasks.view(token).state
    return token


@pytest.mark.slow
def test_a_relocated_task_goes_on_with_its_ranks(cloud: Held) -> None:
    """It is told as a relocation with its end, no second bid is made, and each rank is the node that it was."""
    session = connect_in_memory(cloud)
    token = running(session, cloud.clock, 2)
    bid_id = session.tasks.record(token).bid_id
    assert bid_id is not None
    before = cloud.provider.fleet.allocations([bid_id])[bid_id]
    ends = cloud.service.control.relocate(session.tasks.record(token).wire_name)
    notice = cloud.provider.fleet.allocations([bid_id])[bid_id].notice
    moving = cloud.provider.market.bid(bid_id).state
    cloud.clock.advance(hours=1)
    after = cloud.provider.fleet.allocations([bid_id])[bid_id]
    view = session.tasks.view(token)

    assert BidState.RELOCATING is moving
    assert notice is not None
    assert (NoticeKind.RELOCATION, ends) == (notice.kind, notice.deadline)
    assert [(node.id, node.rank) for node in before.nodes] == [
        (node.id, node.rank) for node in after.nodes
    ]
    assert {NodeState.RUNNING} == {node.state for node in after.nodes}
    assert TaskState.RUNNING is view.state
    assert [bid_id] == [bid.id for bid in cloud.provider.market.bids(live=True)]
    cloud.clock.advance(hours=8)
    assert TaskState.COMPLETED is session.tasks.view(token).state
    assert [] == list(cloud.provider.market.bids(live=True))
