"""The dev box over a cloud in memory: which box is whose, when it stops costing money, and how it comes back."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import PurePath

import pytest
from attrs import evolve

from flow_adapters.clocks import ManualClock
from flow_core.domain.allocation import Node
from flow_core.domain.box import BEGUN, MARK, NOT_READY, Entry, kit_line, run_line, same_line
from flow_core.domain.code import Bundle
from flow_core.domain.record import Outcome, TaskRecord
from flow_core.domain.run import Stream
from flow_core.domain.status import TaskState
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import Conflict, NodeUnreachable, Unsupported
from flow_core.ports.code import CodeTooLarge
from flow_core.ports.shell import Call, Events, NodeExit, NodeLost, NodeOutput
from flow_core.services.dev_box import DevBox
from flow_core.services.idling import ASK
from flow_core.services.session import Session
from flow_core.services.watcher import Watcher
from flow_providers.mock import PretendCloud
from tests.cli.conftest import Flow, flow

__all__ = ["flow"]
FOLDER = PurePath("/home/ann/src")


@pytest.fixture
def idle(pretend_cloud: PretendCloud) -> dict[str, bool]:
    """Nodes that say whether nothing goes on; they run the box's command for a day."""
    said = {"idle": True}

    def answer(call: Call) -> tuple[int, bytes]:
        return 0, json.dumps({"idle": said["idle"], "gap_s": 30.0, "busy": ""}).encode()

    pretend_cloud.on_shell(ASK, answer)
    pretend_cloud.on("exec sleep infinity", takes="240h")
    return said


def made(session: Session, folder: PurePath = FOLDER, **more: object) -> TaskRecord:
    """Make a box for a folder, and wait until it runs."""
    raw = {**session.dev_box.base(folder), **more}
    record = session.tasks.submit(task_from_mapping(raw))
    for progress in session.tasks.follow(record.token):
        if progress.view.state is TaskState.RUNNING:
            break
    return session.tasks.record(record.token)


def state(session: Session, record: TaskRecord) -> TaskState:
    """Return what state a box is in."""
    return session.tasks.view(record.token).state


def test_a_box_is_found_from_its_folder_and_those_below(session: Session, idle):
    """The nearest folder above counts; another folder has none, and a task is no box."""
    outer, inner = made(session), made(session, FOLDER / "inner")
    made(session, PurePath("/elsewhere"), env={"NO": "BOX"}, name="task")
    boxes = session.dev_box

    assert outer == boxes.find(FOLDER)
    assert outer == boxes.find(FOLDER / "deep" / "er")
    assert inner == boxes.find(FOLDER / "inner" / "most")
    assert boxes.find(FOLDER.parent) is None
    assert boxes.find(PurePath("/elsewhere")) is None
    assert inner == boxes.find(PurePath("/"), name=inner.name)
    with pytest.raises(Conflict, match="is a task, and no dev box"):
        boxes.find(PurePath("/"), name="task")


def test_each_image_is_a_box_where_nodes_are_no_machines(session: Session, idle):
    """The box of an image is beside the plain one; where the kit runs images, there is one box for all."""
    plain = made(session)
    other = made(session, **session.dev_box.base(FOLDER, image="torch"))
    machines = DevBox(
        evolve(
            session.ports,
            provider=evolve(
                session.provider, limits=evolve(session.provider.limits, images_by_kit=True)
            ),
        )
    )

    assert ("dev-src", "dev-src-torch") == (plain.name, other.name)
    assert plain == session.dev_box.find(FOLDER)
    assert other == session.dev_box.find(FOLDER, image="torch")
    assert plain == machines.find(FOLDER, image="torch")


def test_a_box_that_nobody_uses_is_paused_and_comes_back(
    session: Session, idle, clock: ManualClock
):
    """Half an hour after its last use it costs nothing; the next look at it has it bid again, on the same disk."""
    record = made(session)
    clock.advance(minutes=40)
    paused = state(session, record)
    spent = session.costs.of([record])[record.token].spent
    clock.advance(hours=10)
    later = session.costs.of([record])[record.token].spent

    assert TaskState.PAUSED is paused
    assert spent == later
    why = [each.why for each in session.tasks.history(record.token) if "pause" in each.what]
    assert "its nodes have had nothing to do for 0:30:00, its idle_timeout" in why
    assert session.dev_box.reach(session.tasks.record(record.token)) is None
    clock.advance(minutes=10)
    node = session.dev_box.reach(session.tasks.record(record.token))
    assert node is not None
    assert TaskState.RUNNING is state(session, record)


def test_a_box_that_was_reached_is_not_looked_up_again(session: Session, idle, clock: ManualClock):
    """Its node is known until the watcher sees a change, or somebody wants to be sure."""
    record = made(session)
    looked = session.dev_box.reach(record)
    known = session.tasks.record(record.token)
    remembered = DevBox(blind(session).ports).reach(known)
    session.dev_box.stop(known)

    assert looked is not None
    assert remembered is not None
    assert (looked.id, looked.address) == (remembered.id, remembered.address)
    assert remembered.is_reachable
    assert session.dev_box.reach(session.tasks.record(record.token)) is None


def test_a_box_in_use_is_not_paused(session: Session, idle, clock: ManualClock):
    """While its node has something to do, it stays; a use that begins gives it the whole time again."""
    record = made(session)
    idle["idle"] = False
    clock.advance(hours=2)
    busy = state(session, record)
    idle["idle"] = True
    clock.advance(minutes=25)
    session.dev_box.touch(session.tasks.record(record.token))
    clock.advance(minutes=20)
    touched = state(session, record)
    clock.advance(minutes=15)

    assert [TaskState.RUNNING, TaskState.RUNNING] == [busy, touched]
    assert TaskState.PAUSED is state(session, record)


def blind(session: Session) -> Session:
    """Return the session with a provider that can't be asked for bids and nodes."""
    provider = evolve(session.provider, market=None, fleet=None)
    return Session(evolve(session.ports, provider=provider))


def without_pause(session: Session) -> Session:
    """Return the session as it is where bids can't be paused."""
    market = session.provider.market

    class Market:
        """The same market, but for that."""

        def __getattr__(self, name: str) -> object:
            return getattr(market, name)

        def amend(self, bid_id: str, **changes: object) -> None:
            """Refuse."""
            raise Unsupported("nothing can be paused here")

    provider = session.provider
    limits = evolve(provider.limits, pauses=False)
    return Session(evolve(session.ports, provider=evolve(provider, market=Market(), limits=limits)))


def test_where_nothing_can_be_paused_an_unused_box_ends(session: Session, idle, clock: ManualClock):
    """Its cost ends all the same, and the next box is as the last one was."""
    record = made(session, instance_type="8xh100")
    bound = without_pause(session)
    watcher = Watcher(bound.ports)
    session.ports.watch.drive(watcher)  # type: ignore[attr-defined]
    session.ports.watch.wake()  # type: ignore[attr-defined]
    clock.advance(minutes=40)
    ended = session.tasks.record(record.token)

    assert (Outcome.IDLE, True) == (ended.outcome, ended.released)
    assert session.dev_box.find(FOLDER) is None
    assert ended.spec == task_from_mapping(session.dev_box.base(FOLDER))


def test_a_stop_pauses_or_ends(session: Session, idle):
    """Paused where that can be and nothing else is said; else ended, and told apart."""
    first, second, third = (made(session, PurePath(f"/{name}")) for name in "abc")
    paused = session.dev_box.stop(first)
    ended = session.dev_box.stop(second, end=True)
    unable = without_pause(session).dev_box.stop(third)

    assert (True, False) == (paused.is_paused, paused.cannot_pause)
    assert (False, False) == (ended.is_paused, ended.cannot_pause)
    assert (False, True) == (unable.is_paused, unable.cannot_pause)
    assert TaskState.PAUSED is state(session, first)
    assert [TaskState.CANCELLED] * 2 == [state(session, second), state(session, third)]
    assert first.token == session.dev_box.find(PurePath("/a")).token  # type: ignore[union-attr]


def test_a_live_box_only_changes_how_long_it_waits(session: Session, idle):
    """Another idle timeout counts at once; another machine would be another box, and is refused."""
    record = made(session)
    spec = evolve(record.spec, idle_timeout=timedelta(hours=2))
    changed = session.dev_box.adapt(record, spec)

    assert timedelta(hours=2) == changed.spec.idle_timeout
    assert changed == session.tasks.record(record.token)
    with pytest.raises(Conflict, match="another region"):
        session.dev_box.adapt(changed, evolve(spec, region="elsewhere"))


def test_people_see_what_they_pay(pretend_cloud: PretendCloud, flow: Flow, session: Session, idle):
    """`flow dev status` shows everybody's share, when it stops, and what is in it."""
    record = made(session)
    told = {
        "envs": ["try"], "images": [], "people": {"bob": 1001},
        "seconds": {"": 300.0, "bob": 100.0}, "sessions": [{"who": "", "line": "python train.py"}],
    }  # fmt: skip
    pretend_cloud.on_shell(kit_line("look"), lambda call: (0, json.dumps(told).encode()))
    shown = flow("dev", "status", "--all")
    document = flow("dev", "status", "--all", "--json").document
    box = document["boxes"][0]

    assert (0, "dev-box-list") == (shown.code, document["kind"])
    for word in (
        record.name,
        "/home/ann/src",
        "python train.py",
        "try",
        "(75%)",
        "(25%)",
        "here now",
    ):
        assert word in shown.out
    assert [0.75, 0.25] == [each["share"] for each in box["people"]]
    assert [None, "bob"] == [each["name"] for each in box["people"]]
    assert box["cost"] == pytest.approx(sum(each["cost"] for each in box["people"]), abs=1e-5)
    assert "pause" == box["when_idle"]


def test_nobody_is_let_in_where_nodes_have_no_ssh(flow: Flow, session: Session, idle):
    """The refusal says so, and where it would go."""
    made(session)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 bob@laptop"
    answer = flow("dev", "share", key, "--name", "dev-src")

    assert 12 == answer.code
    assert "have no SSH server" in answer.err


def test_a_code_of_the_users_is_not_taken_for_a_box_that_starts(
    pretend_cloud: PretendCloud, session: Session, flow: Flow, idle
):
    """The code that says that a box has no files yet is a command's own, where the box has them: it ran once."""
    made(session)
    flow("dev", "--name", "dev-src", "--", "true")
    digest = session.tasks.record("dev-src").code_digest
    ran: list[Call] = []

    def answer(call: Call) -> tuple[int, bytes]:
        ran.append(call)
        return NOT_READY, b""

    pretend_cloud.on_shell(run_line(Entry(), "make", brought=digest), answer)
    pretend_cloud.on_shell(kit_line("look"), lambda call: (0, b"{}"))

    assert NOT_READY == flow("dev", "--name", "dev-src", "--", "make").code
    assert 1 == len(ran)


class Saying:
    """A shell whose calls say what it is told, in pieces; it takes every upload."""

    def __init__(self, pieces: Sequence[tuple[Stream, bytes]], end: int | None) -> None:
        self.lines: list[str] = []
        self.uploads = 0
        self._pieces, self._end = pieces, end

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        [call] = calls
        self.lines.append(call.line)
        for stream, data in self._pieces:
            yield NodeOutput(call.node, stream, data)
        yield NodeLost(call.node, "gone") if self._end is None else NodeExit(call.node, self._end)

    def upload(self, nodes: Collection[Node], bundle: Bundle, *, target: str) -> Events:
        """See `RemoteShell.upload`."""
        self.uploads += 1
        yield from (NodeExit(node, 0) for node in nodes)


def box_on(session: Session, shell: Saying) -> DevBox:
    """The box's service, which talks to this shell."""
    return DevBox(evolve(session.ports, provider=evolve(session.provider, shell=shell)))


@pytest.mark.parametrize("cut", [1, 5, len(BEGUN), len(BEGUN) + 3])
def test_a_box_that_has_all_is_sent_nothing(session: Session, idle, cut: int):
    """A line is run at once where it begins, and says all that it says."""
    record = made(session)
    node = session.dev_box.reach(record)
    assert node is not None
    said = BEGUN + b"careful"
    pieces = [(Stream.ERR, said[:cut]), (Stream.OUT, b"made"), (Stream.ERR, said[cut:])]
    shell = Saying(pieces, 3)
    events = list(box_on(session, shell).run_at_once(record, node, "make", Entry()) or ())
    err = b"".join(
        each.data for each in events if isinstance(each, NodeOutput) and each.stream is Stream.ERR
    )

    assert b"careful" == err
    assert NodeOutput(node, Stream.OUT, b"made") in events
    assert NodeExit(node, 3) == events[-1]
    assert ([run_line(Entry(), "make", expects=record.code_digest)], 0) == (
        shell.lines,
        shell.uploads,
    )


def test_a_box_that_lacks_something_is_sent_it(session: Session, idle):
    """A box that has other code than was noted here is brought it, and then the line is run, once."""
    record = made(session)
    node = session.dev_box.reach(record)
    assert node is not None
    shell = Saying([], NOT_READY)
    list(box_on(session, shell).run_at_once(record, node, "make", Entry()) or ())
    lines = [
        run_line(Entry(), "make", expects=record.code_digest),
        run_line(Entry(), "make", brought=record.code_digest),
    ]

    assert (lines, 1) == (shell.lines, shell.uploads)


@pytest.mark.parametrize(("end", "uploads"), [(0, 0), (1, 1)])
def test_before_a_terminal_is_given_away_the_box_is_asked(session: Session, idle, end, uploads):
    """Whether it has the code: only then nothing is sent; it is asked by one call."""
    record = made(session)
    node = session.dev_box.reach(record)
    assert node is not None
    shell = Saying([], end)

    assert record == box_on(session, shell).sync_at_once(record, node)
    assert ([same_line(record.code_digest or "")], uploads) == (shell.lines, shell.uploads)


def test_a_box_that_is_lost_has_run_nothing(session: Session, idle):
    """Whoever asks is told, and nothing was sent either."""
    record = made(session)
    node = session.dev_box.reach(record)
    assert node is not None
    shell = Saying([], None)
    box = box_on(session, shell)

    with pytest.raises(NodeUnreachable, match="gone"):
        box.run_at_once(record, node, "make", Entry())
    with pytest.raises(NodeUnreachable, match="gone"):
        box.sync_at_once(record, node)
    assert 0 == shell.uploads


class LargeCode:
    """A folder that is more than is uploaded unasked."""

    def pack(self, folder: str, **given: object) -> None:
        """Refuse."""
        raise CodeTooLarge({"code": "it is 600 MB"})


def test_code_that_is_asked_about_is_not_refused_before(session: Session, idle):
    """Where the folder has grown large, nothing is run at once: the sync asks first."""
    record = made(session)
    node = session.dev_box.reach(record)
    assert node is not None
    large = DevBox(evolve(session.ports, code=LargeCode()))

    assert large.run_at_once(record, node, "make", Entry()) is None
    assert large.sync_at_once(record, node) is None


def test_words_out_of_place_are_told_where_they_belong(flow: Flow, session: Session):
    """A command without `--`, and --watch without a command."""
    bare, watch = flow("dev", "python", "train.py"), flow("dev", "--watch")
    nowhere = flow("dev", "stop")

    assert "follows `--`: flow dev -- python train.py" in bare.err
    assert "--watch needs a command" in watch.err
    assert (4, True) == (nowhere.code, "no dev box belongs to this folder" in nowhere.err)
    assert MARK == "FLOW_BOX"
