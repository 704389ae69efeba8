"""Volumes that tasks make, and keys to buckets that are renewed in time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve

from flow_adapters.journal import SqliteJournal
from flow_adapters.memory import MemoryLogKeep, SteppedWatch, UnpackedCode
from flow_adapters.node_files import load_node_files
from flow_adapters.vault import HeldVault
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.s3 import BucketKeys
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Mount, Recover, Recovery, Source
from flow_core.domain.volume import Interface
from flow_core.errors import InvalidRequest, NameTaken, QuotaExceeded
from flow_core.ports.shell import Call
from flow_core.services.data_buckets import MARGIN, RENEW
from flow_core.services.ports import Ports
from flow_core.services.session import Session
from flow_core.services.setting_up import setup_of
from flow_providers.mock import PretendCloud
from tests.services.test_placing import Killed, Mortal


@define
class KeyRing:
    """Implements `ports.buckets.Buckets` with keys of the test's."""

    now: BucketKeys | None
    asked: int = 0
    handed: Mapping[str, str] | None = None

    def keys(self, handed: Mapping[str, str] | None = None) -> BucketKeys:
        """The keys of now."""
        self.asked += 1
        self.handed = handed
        if self.now is None:
            raise InvalidRequest({"mounts": "no keys to open s3:// with"})
        return self.now

    def variables(self) -> Mapping[str, str]:
        """What is handed over."""
        return {"AWS_PROFILE": "work"}


def keys(expires_at: datetime | None = None, **more: str) -> BucketKeys:
    """Keys that open everything."""
    told = {"access_key": "AKIA1234", "secret_key": "hush", "origin": "profile 'work'", **more}
    return BucketKeys(expires_at=expires_at, **told)  # type: ignore[arg-type]


def session_over(cloud: PretendCloud, buckets: KeyRing | None = None, **limits: object) -> Session:
    """A session with a cloud whose nodes can have any mount."""
    able = evolve(cloud.provider.limits, mounts=frozenset({Source.VOLUME, Source.S3}), **limits)
    return Session(
        Ports(
            provider=evolve(cloud.provider, limits=able),
            journal=SqliteJournal(":memory:"),
            clock=cloud.clock,
            code=UnpackedCode(),
            watch=SteppedWatch(cloud.clock, lambda: 0),
            chance=random.Random(7),
            node_files=load_node_files(),
            log_keep=MemoryLogKeep(),
            vault=HeldVault({}),
            buckets=buckets,
        )
    )


def spec(*mounts: Mount, **changes: object) -> TaskSpec:
    """A task that mounts something."""
    return TaskSpec(command="train", name="one", mounts=mounts, **changes)  # type: ignore[arg-type]


WANTED = Mount("/models", "volume://models?size=100gb")


def names(session: Session) -> list[str]:
    """The volumes there are."""
    return [each.name for each in session.storage.volumes()]


def history(session: Session, record: TaskRecord) -> list[str]:
    """What is written down of a task."""
    return [event.what for event in session.ports.journal.events(record.token)]


def test_a_volume_is_planned_then_made_in_the_bids_region():
    """The plan says so and makes nothing; the submit makes it before the bid, which has it attached."""
    session = session_over(PretendCloud())
    plan = session.tasks.plan(spec(WANTED))
    assert [] == names(session)
    record = session.tasks.submit(spec(WANTED), plan=plan)
    (volume,) = session.storage.volumes()

    assert plan.notes[0] == (f"volume 'models' will be made in {plan.quote.region}: 100 GB (file)")
    assert (plan.quote.region, 100) == (volume.region, volume.capacity_gb)
    assert Interface.FILE is volume.interface
    assert (record.bid_id,) == volume.attached_to
    assert "" == record.volumes_made
    assert (
        history(session, record).index(f"volume 'models' was made in {volume.region}: 100 GB") < 3
    )


def test_a_volume_that_is_there_is_used_as_it_is():
    """By name or id, in its own region; a size that differs is told, and nothing is made."""
    session = session_over(PretendCloud())
    region = session.provider.market.quotes()[-1].region
    there = session.storage.create(capacity_gb=5, name="models", region=region)
    by_name = session.tasks.plan(spec(WANTED))
    by_id = session.tasks.plan(spec(Mount("/models", f"volume://{there.id}")))

    assert (region, region) == (by_name.quote.region, by_id.quote.region)
    assert "volume 'models' is there already, of 5 GB" in by_name.notes
    assert ["models"] == names(session)


def test_a_refused_bid_leaves_no_volume():
    """What was made for it is deleted again, and the history says so."""
    cloud = PretendCloud()
    session = session_over(cloud)
    cloud.refuse_for_quota()
    with pytest.raises(QuotaExceeded):
        session.tasks.submit(spec(WANTED))
    (record,) = session.ports.journal.recent(5, provider="mock")

    assert (Step.REFUSED, "", []) == (record.step, record.volumes_made, names(session))
    assert "volume 'models', made for it, was deleted again" in history(session, record)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("boundary", range(1, 26))
def test_killed_anywhere_it_leaves_a_task_with_its_volume_or_nothing(boundary, after):
    """A submit killed at any call to journal, market or volumes ends, after a tick, in both or in neither."""
    cloud = PretendCloud()
    first = session_over(cloud)
    calls = iter(range(1, 1_000))

    def dies() -> bool:
        return next(calls) == boundary

    def mortal(port: object) -> Any:
        return Mortal(port, dies, after=after)

    roles = {"market": mortal(cloud.provider.market), "volumes": mortal(cloud.provider.volumes)}
    ports = evolve(
        first.ports,
        journal=mortal(first.ports.journal),
        provider=evolve(first.ports.provider, **roles),
    )
    with suppress(Killed):
        Session(ports).tasks.submit(spec(WANTED))
    first.watcher.tick()

    bids = cloud.provider.market.bids()
    assert len(bids) == len(first.ports.journal.live()) <= 1
    assert ["models"] * len(bids) == names(first)


def test_a_refused_bid_leaves_others_volumes():
    """A volume that was there before the task stays when its bid is refused."""
    cloud = PretendCloud()
    session = session_over(cloud)
    session.storage.create(capacity_gb=5, name="models")
    cloud.refuse_for_quota()
    with pytest.raises(QuotaExceeded):
        session.tasks.submit(spec(WANTED))

    assert ["models"] == names(session)


def test_a_name_taken_meanwhile_is_not_ours_to_delete():
    """Somebody made a volume of that name between look and making: the task is refused, their volume stays."""
    cloud = PretendCloud()
    session = session_over(cloud)

    class Racing:
        """Volumes whose list is a moment old."""

        def __init__(self, role: object) -> None:
            self._role = role

        def volumes(self) -> list[object]:
            """The list before the other's was made."""
            return []

        def __getattr__(self, name: str) -> Callable[..., object]:
            return getattr(self._role, name)  # type: ignore[no-any-return]

    session.storage.create(capacity_gb=5, name="models")
    racing = Session(
        evolve(
            session.ports,
            provider=evolve(session.provider, volumes=Racing(session.provider.volumes)),
        )  # type: ignore[arg-type]
    )
    with pytest.raises(NameTaken):
        racing.tasks.submit(spec(WANTED))

    assert ["models"] == names(session)


def test_what_can_not_be_is_told_before_anything_is_made():
    """Another region, another kind, a block volume for two nodes or in use elsewhere: all before the bid."""
    session = session_over(PretendCloud())
    regions = sorted({quote.region for quote in session.provider.market.quotes()})
    session.storage.create(capacity_gb=5, name="there", region=regions[0])
    session.storage.create(capacity_gb=5, name="disk", region=regions[0], interface=Interface.BLOCK)
    two = {"num_instances": 2}
    for mount, changes, reason in (
        ("volume://there", {"region": regions[1]}, f"lies in {regions[0]}, the nodes in {regions[1]}"),
        ("volume://nowhere", {}, "'volume://nowhere?size=100gb' would make one"),
        ("volume://disk", two, "block volume 'disk' belongs to one node at a time, not to 2"),
        ("volume://new?size=5gb&interface=block", two, "block volume 'new' belongs to one node"),
        ("volume://disk?size=5gb", {}, "is there already, as a block volume"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as refused:
            session.tasks.plan(spec(Mount("/x", mount), **changes))
        assert reason in refused.value.message
    session.tasks.submit(spec(Mount("/x", "volume://disk")))
    with pytest.raises(InvalidRequest, match="block volume 'disk' is in use by"):
        session.tasks.plan(evolve(spec(Mount("/x", "volume://disk")), name="two"))

    assert ["there", "disk"] == names(session)


def test_a_folder_of_this_machine_is_told_another_way():
    """A mount that the provider's nodes can't have says how its files get there."""
    session = session_over(PretendCloud())
    with pytest.raises(InvalidRequest, match=r"can't mount './data' at /x .*`flow cp`"):
        session.tasks.plan(spec(Mount("/x", "./data")))


def bucket_session(
    expires_in: timedelta | None,
) -> tuple[PretendCloud, Session, KeyRing, list[Call]]:
    """A task on two nodes with a bucket whose keys expire; the calls that renewed them."""
    cloud = PretendCloud()
    cloud.on("train", takes="10d")
    ring = KeyRing(keys(None if expires_in is None else cloud.clock.now() + expires_in))
    session = session_over(cloud, ring)
    renewed: list[Call] = []

    def answer(call: Call) -> tuple[int, bytes]:
        renewed.append(call)
        return 0, b""

    cloud.on_shell(RENEW, answer)
    return cloud, session, ring, renewed


def run_for(cloud: PretendCloud, session: Session, span: timedelta) -> None:
    """Let time pass, with a tick a minute."""
    for _ in range(int(span / timedelta(minutes=1))):
        cloud.clock.advance(minutes=1)
        session.watcher.tick()


def test_keys_are_renewed_before_they_expire():
    """Nodes get newer keys within the margin, once, by standard input alone; the record says until when."""
    cloud, session, ring, renewed = bucket_session(timedelta(hours=2))
    record = session.tasks.submit(spec(Mount("/data", "s3://b/c"), num_instances=2))
    began = cloud.clock.now()
    run_for(cloud, session, timedelta(hours=2) - MARGIN - timedelta(minutes=2))
    assert [] == renewed
    later = began + timedelta(hours=5)
    ring.now = keys(later, secret_key="newer")
    run_for(cloud, session, timedelta(minutes=10))

    assert [0, 1] == sorted(call.node.rank for call in renewed)
    assert all("newer" not in call.line for call in renewed)
    told = json.loads(b"".join(renewed[0].pieces()))
    assert ("newer", later.timestamp()) == (told["secret"], told["expires"])
    assert later == session.tasks.record("one").keys_expire_at
    assert {"AWS_PROFILE": "work"} == ring.handed
    assert [what for what in history(session, record) if "new keys" in what]


def test_keys_that_are_no_newer_are_not_sent():
    """While there is nothing newer nodes keep what they have, and it is asked for once a minute at most."""
    cloud, session, ring, renewed = bucket_session(timedelta(minutes=30))
    session.tasks.submit(spec(Mount("/data", "s3://b/c")))
    run_for(cloud, session, timedelta(minutes=25))
    before = ring.asked
    session.watcher.tick()
    session.watcher.tick()

    assert [] == renewed
    assert before == ring.asked


def test_keys_without_an_end_are_left_alone():
    """Static keys are told once."""
    cloud, session, ring, renewed = bucket_session(None)
    session.tasks.submit(spec(Mount("/data", "s3://b/c")))
    run_for(cloud, session, timedelta(minutes=30))
    before = ring.asked
    run_for(cloud, session, timedelta(hours=5))

    assert ([], before) == (renewed, ring.asked)
    assert session.tasks.record("one").keys_expire_at is None


def test_the_plan_says_whose_keys_and_until_when():
    """No keys, or expired ones, are told before the bid; a plan shows no secret."""
    cloud, session, ring, _ = bucket_session(timedelta(hours=1))
    plan = session.tasks.plan(spec(Mount("/data", "s3://b/c")))
    assert (
        "s3:// opens with the keys of profile 'work' (AKIA…), which expire in 1h" in plan.notes[0]
    )
    ring.now = keys(cloud.clock.now())
    with pytest.raises(InvalidRequest, match="the keys of profile 'work' expired at"):
        session.tasks.plan(spec(Mount("/data", "s3://b/c")))
    ring.now = None

    with pytest.raises(InvalidRequest, match="no keys"):
        session.tasks.plan(spec(Mount("/data", "s3://b/c")))


def test_what_is_handed_over_is_forgotten_with_the_task():
    """The vault holds a task's variables under a name that no command's variables are taken from, until it ends."""
    cloud, session, _, _ = bucket_session(None)
    record = session.tasks.submit(spec(Mount("/data", "s3://b/c")))
    vault = session.ports.vault
    assert {"AWS_PROFILE": "work"} == vault.held(f"{record.token}/s3")
    assert {} == vault.held(record.token)
    session.tasks.cancel("one")
    run_for(cloud, session, timedelta(minutes=30))

    assert {} == vault.held(f"{record.token}/s3")


def test_a_task_with_volumes_stays_in_their_region():
    """A volume that will be made lies in one region too, so recovery by moving is refused."""
    session = session_over(PretendCloud())
    with pytest.raises(InvalidRequest, match="recovery"):
        session.tasks.plan(spec(WANTED, recovery=Recovery(Recover.MOVE, timedelta(minutes=10))))


def test_nodes_are_told_what_they_mount_themselves():
    """A volume's place or device there is the provider's to say; where it says neither, nodes mount no volume."""
    cloud = PretendCloud()
    places = {"volume_path": "/mnt/{name}", "volume_device": "/dev/disk/by-id/virtio-{id:.20}"}
    for limits in (places, {}):
        session = session_over(cloud, KeyRing(keys(region="eu")), **limits)
        mounts = (
            Mount("/a", "volume://file?size=5gb", read_only=True),
            Mount("/b", "volume://disk?size=5gb&interface=block"),
            Mount("/c", "s3://bucket/p?mode=rw"),
        )
        record = session.tasks.submit(evolve(spec(*mounts), name=f"one{len(limits)}"))
        told = setup_of(session.ports, TaskView(record=record))
        ids = {each.name: each.id for each in session.storage.volumes()}

        assert told.get("volumes") == (
            [
                {"name": "file", "path": "/a", "read_only": True, "source": "/mnt/file"},
                {
                    "name": "disk",
                    "path": "/b",
                    "read_only": False,
                    "device": f"/dev/disk/by-id/virtio-{ids['disk'][:20]}",
                },
            ]
            if limits
            else None
        )
        bucket = {"bucket": "bucket", "prefix": "p", "writable": True, "copied": False}
        assert {"path": "/c", **bucket, "endpoint": "", "region": "eu"} == told["s3"]["mounts"][0]
        disk = {"folder": f"/b/.flow/{record.name}-{record.token}", "mounted": "/b"}
        assert told.get("attending") == ({"log": disk} if limits else None)
        session.tasks.cancel(record.name)
        run_for(cloud, session, timedelta(minutes=5))
