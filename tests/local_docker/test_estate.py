"""What is at the engine is all that counts: bids are granted, found and cleared away whoever was killed when."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.clocks import ManualClock, SystemClock
from flow_adapters.node_files import load_node_files
from flow_core.domain.allocation import Allocation, NodeState
from flow_core.domain.bid import BidRequest, BidState, Launch
from flow_core.domain.money import Price
from flow_core.domain.names import new_token, wire_name
from flow_core.domain.run import RunPhase
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.shape import parse_shape
from flow_core.domain.volume import Attachment, Interface
from flow_core.errors import InUse, NoCapacity, Unsupported
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.local_docker import connect
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import BID, CARRIED, CLAIM, ENDED, new_record
from tests.local_docker.engine import (
    BARE_IMAGE,
    engine_folder,
    require_own_engine,
    started_engine,
    with_images,
)

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves; it begins now, because the engine has its own."""
    return ManualClock(start=SystemClock().now())


def test_a_bid_whose_placer_was_killed_is_granted_by_the_next_look(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """A record without containers, left by a process that was killed, gets them a little later, and once."""
    provider = connected(tmp_path, docker_host, clock)
    record = new_record(request("cpu"), image=BARE_IMAGE, claim="killed", at=clock.now())
    body = {"Name": f"flow-bid-{record.id}", "Labels": record.labels()}
    engine.ask("POST", "/volumes/create", body=body)
    before = provider.market.bid(record.id).state
    clock.advance(seconds=30)
    after = provider.market.bid(record.id).state
    again = provider.fleet.allocations([record.id])[record.id]
    provider.market.withdraw(record.id)

    assert BidState.OPEN is before
    assert BidState.ALLOCATED is after
    assert 1 == len(again.nodes)


def test_a_withdrawal_that_was_killed_is_finished_by_the_next_look(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """A bid that was marked as ended, and no more, is nowhere granted again; whoever looks later takes it away.

    Its nodes are told of for as long as they run.
    """
    provider = connected(tmp_path / "one", docker_host, clock)
    bid = provider.market.place(request("cpu"))
    claim = engine.ask("GET", f"/volumes/flow-bid-{bid.id}")["Labels"][CLAIM]
    mark = {BID: bid.id, CLAIM: claim, ENDED: clock.now().isoformat()}
    engine.ask("POST", "/volumes/create", body={"Name": f"flow-end-{bid.id}", "Labels": mark})
    other = connected(tmp_path / "two", docker_host, clock)
    seen = other.market.bids(name=bid.name)
    nodes = other.fleet.allocations([bid.id])[bid.id].nodes
    before = boxes(engine, bid.id)
    clock.advance(seconds=30)
    other.market.bids()
    left = engine.ask("GET", "/volumes", query={"filters": {"label": [f"{BID}={bid.id}"]}})

    assert [] == list(seen)
    assert [f"flow-{bid.id}-0"] == [node.id for node in nodes]
    assert () == other.fleet.allocations([bid.id])[bid.id].nodes
    assert 1 == len(before)
    assert [] == boxes(engine, bid.id)
    assert [] == (left["Volumes"] or [])


def test_containers_that_are_no_bid_s_are_cleared_and_strangers_are_not(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """A container of ours without a record goes; one that Flow didn't make stays, whatever its name."""
    provider = connected(tmp_path, docker_host, clock)
    made = {"Image": BARE_IMAGE, "Cmd": ["sleep", "600"]}
    ours = {**made, "Labels": {BID: "gone-abcdefgh", "flow.rank": "0"}}
    engine.ask("POST", "/containers/create", query={"name": "flow-gone-abcdefgh-0"}, body=ours)
    engine.ask("POST", "/containers/create", query={"name": "flow-strange-0"}, body=made)
    provider.market.bids()
    names = [
        box["Names"][0] for box in engine.ask("GET", "/containers/json", query={"all": "true"})
    ]
    engine.ask("DELETE", "/containers/flow-strange-0")

    assert "/flow-gone-abcdefgh-0" not in names
    assert "/flow-strange-0" in names


def test_gpus_are_never_shared(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """A bid for GPUs that others hold waits, whoever places it; it has them when they are free."""
    first = connected(tmp_path / "one", docker_host, clock, gpus="4xh100")
    second = connected(tmp_path / "two", docker_host, clock, gpus="4xh100")
    three = first.market.place(request("3xh100"))
    two = second.market.place(request("2xh100"))
    one = second.market.place(request("1xh100"))
    waiting = second.market.bid(two.id).state
    free = {quote.type_id: quote.available for quote in first.market.quotes()}
    first.market.withdraw(three.id)
    gone(engine, three.id)
    clock.advance(seconds=30)
    granted = second.market.bid(two.id).state
    for each in (two, one):
        second.market.withdraw(each.id)

    assert BidState.ALLOCATED is three.state is one.state is granted
    assert BidState.OPEN is two.state is waiting
    assert (0, 0) == (free["1xh100"], free["2xh100"])


@pytest.mark.parametrize(
    ("shape", "options", "names"),
    [
        ("8xh100", {}, "2xh100"),
        ("cpu", {"cpus": "4096"}, "CPUs"),
        ("cpu", {"memory": "900t"}, "GB of memory"),
    ],
)
def test_more_than_the_machine_has_is_refused(
    tmp_path: Path,
    docker_host: str,
    clock: ManualClock,
    shape: str,
    options: dict[str, str],
    names: str,
):
    """What this machine never has is NoCapacity, which says what it has; nothing is left."""
    provider = connected(tmp_path, docker_host, clock, gpus="2xh100")
    asked = request(shape, options=options)
    with pytest.raises(NoCapacity, match=names):
        provider.market.place(asked)

    assert [] == list(provider.market.bids(name=asked.name))


def test_prices_cannot_be_changed_nor_bids_paused(
    tmp_path: Path, docker_host: str, clock: ManualClock
):
    """There is no price here to change, and a pause would save nothing."""
    provider = connected(tmp_path, docker_host, clock)
    bid = provider.market.place(request("cpu"))
    with pytest.raises(Unsupported):
        provider.market.amend(bid.id, paused=True)
    provider.market.withdraw(bid.id)

    assert BidState.TERMINATED is provider.market.bid(bid.id).state


def test_an_engine_is_asked_once_whether_it_raises_limits(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """The first bid of all tries that on a container that runs nothing; its own are made once, whatever comes of it."""
    engine.ask("DELETE", "/volumes/flow-limits", fine=(404,))
    begin = SystemClock().now()
    bids = []
    for name in ("one", "two"):  # with nothing remembered on this side
        provider = connected(tmp_path / name, docker_host, clock)
        bids.append(provider.market.place(request("cpu")))
        provider.market.withdraw(bids[-1].id)
    query = {
        "since": f"{begin.timestamp():.3f}",
        "until": f"{SystemClock().now().timestamp():.3f}",
        "filters": {"event": ["create"], "type": ["container"]},
    }
    made = [each["Actor"]["Attributes"] for each in engine.lines("GET", "/events", query=query)]

    assert 1 == len([each for each in made if each.get(CARRIED) == "limits"])
    assert [1, 1] == [len([each for each in made if each.get(BID) == bid.id]) for bid in bids]


def test_a_task_goes_on_after_its_engine_was_restarted(tmp_path: Path, clock: ManualClock):
    """Containers come back with their engine, and the command runs again on the same disk."""
    require_own_engine()
    real = SystemClock()
    with engine_folder() as folder:
        with started_engine(folder) as host:
            with_images(host, only=BARE_IMAGE)
            provider = connected(tmp_path, host, real)
            bid = provider.market.place(request("cpu", command="echo begun >> times; sleep 600"))
            running(provider, bid.id, attempt=0)
        with started_engine(folder) as host:
            provider = connected(tmp_path, host, real)
            running(provider, bid.id, attempt=1)
            said = provider.logs.read(bid.id, 0) if provider.logs else None
            provider.market.withdraw(bid.id)

    assert said is not None
    assert b"attempt 2 begins" in said.data


def test_a_volume_goes_though_what_used_it_is_still_being_taken_away(
    tmp_path: Path, docker_host: str, engine: Engine, clock: ManualClock
):
    """A bid that has ended holds no volume: what is left of it goes first, whoever was to take it away."""
    provider = connected(tmp_path, docker_host, clock)
    volumes = provider.volumes
    assert volumes is not None
    volume = volumes.create("estate", region="local", capacity_gb=1, interface=Interface.FILE)
    there = Attachment(volume_id=volume.id, path="/data", name=volume.name)
    asked = request("cpu")
    asked = evolve(asked, launch=evolve(asked.launch, attachments=(there,)))
    bid = provider.market.place(asked)
    with pytest.raises(InUse):
        volumes.delete(volume.id)
    claim = engine.ask("GET", f"/volumes/flow-bid-{bid.id}")["Labels"][CLAIM]
    mark = {BID: bid.id, CLAIM: claim, ENDED: clock.now().isoformat()}
    engine.ask("POST", "/volumes/create", body={"Name": f"flow-end-{bid.id}", "Labels": mark})
    others = connected(tmp_path / "other", docker_host, clock).volumes
    assert others is not None
    others.delete(volume.id)

    assert volume.id not in {each.id for each in others.volumes()}
    assert [] == boxes(engine, bid.id)


def connected(
    folder: Path, host: str, clock: ManualClock | SystemClock, *, gpus: str = ""
) -> Provider:
    """The provider with a state folder of its own."""
    options = {
        "local-docker.host": host,
        "local-docker.image": BARE_IMAGE,
        **({"local-docker.pretend_gpus": gpus} if gpus else {}),
    }
    return connect(ProviderContext(state_dir=str(folder), clock=clock, options=options))


def request(
    shape: str, *, options: dict[str, str] | None = None, command: str = "sleep 600"
) -> BidRequest:
    """A request for one instance, under a name of its own."""
    from random import Random

    token = new_token(Random())
    task = NodeTask(name="estate", token=token, command=command, workspace="/workspace")
    return BidRequest(
        name=wire_name("estate", token),
        type_id=shape,
        shape=parse_shape(shape),
        region="local",
        quantity=1,
        limit=Price.ZERO,
        launch=Launch(script=render_script(task, files=load_node_files()), options=options or {}),
    )


def boxes(engine: Engine, bid_id: str) -> list[str]:
    """The containers of a bid."""
    query = {"filters": {"label": [f"{BID}={bid_id}"]}, "all": "true"}
    return [box["Id"] for box in engine.ask("GET", "/containers/json", query=query)]


def gone(engine: Engine, bid_id: str) -> None:
    """Wait until a withdrawn bid's containers have gone."""
    clock = SystemClock()
    for _ in range(600):
        if not boxes(engine, bid_id):
            return
        clock.sleep(0.1)
    raise AssertionError(f"{bid_id} still has containers")


def running(provider: Provider, bid_id: str, *, attempt: int) -> Allocation:
    """Wait until a bid's command runs for the so-manieth time."""
    assert provider.logs is not None
    for _ in range(600):
        allocation = provider.fleet.allocations([bid_id])[bid_id]
        reports = provider.logs.reports([bid_id])[bid_id]
        if (
            allocation.nodes
            and allocation.nodes[0].state is NodeState.RUNNING
            and reports
            and reports[0].phase is RunPhase.RUNNING
            and reports[0].attempt == attempt
        ):
            return allocation
        provider.clock.sleep(0.1)
    raise AssertionError(f"attempt {attempt} never ran: {reports}")
