"""A node's command is told of a notice, tried again when it failed, and begun anew when its fellows change."""

from __future__ import annotations

import json

import pytest

from flow_core.domain.run import RunPhase
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, Bell, wait_for_bytes, wait_for_lock

FELLOWS = ("10.0.0.7", "10.0.0.8")


def notice(node: BareNode) -> None:
    """Put a notice where a provider does."""
    new = node.home / "notice.new"
    new.write_text(json.dumps({"kind": "preemption", "deadline": "2026-01-01T00:05:00Z"}))
    new.rename(node.home / "notice.json")


def test_a_failed_command_is_tried_again_as_often_as_asked(node):
    """Two retries make three attempts; the last one's exit code is the command's, and the log says what happened."""
    node.take("echo $FLOW_RESTART_COUNT; exit 7", retries=2)
    report = node.finish()

    assert (RunPhase.EXITED, 7, 2) == (report.phase, report.exit_code, report.attempt)
    log = node.log().data.decode()
    assert [log.index(f"{each}\n") for each in "012"] == sorted(
        log.index(f"{each}\n") for each in "012"
    )
    assert "flow: ended with 7; try 3 of 3 follows in" in log


def test_a_retry_that_succeeds_ends_the_task(node):
    """Success needs no more tries."""
    node.take("test $FLOW_RESTART_COUNT = 1", retries=5)
    report = node.finish()

    assert (0, 1) == (report.exit_code, report.attempt)


@pytest.mark.parametrize("code", [125, 126, 127])
def test_what_the_user_must_mend_is_not_tried_again(node, code):
    """A command that can't be run, or a set-up that failed, fails in the same way however often it is tried."""
    node.take(f"exit {code}", retries=5)

    assert 0 == node.finish().attempt


def test_a_notice_is_told_by_a_signal_and_its_end_by_another(node, bell):
    """USR1 says that a notice lies where FLOW_NOTICE_FILE says, CONT that it was taken back."""
    node.take(
        "trap 'cat $FLOW_NOTICE_FILE; echo; " + bell.ring + "' USR1; "
        "trap 'ls $FLOW_NOTICE_FILE 2>/dev/null || echo gone; exit 0' CONT; "
        + bell.ring + "; while :; do sleep 0.05; done"
    )  # fmt: skip
    started = node.start()
    bell.wait()
    notice(node)
    bell.wait()
    (node.home / "notice.json").unlink()
    started.wait(PATIENCE_S)

    assert b'{"kind": "preemption", "deadline": "2026-01-01T00:05:00Z"}\ngone\n' == node.log().data


@pytest.mark.slow
def test_a_notice_ends_nobody_who_does_not_listen(node, bell):
    """USR1 would end a process that knows nothing of it, so it is sent only to those that catch it."""
    node.take(f"{bell.ring}; exec sleep 2.5")
    started = node.start()
    bell.wait()
    notice(node)
    started.wait(PATIENCE_S)

    assert 0 == node.report().exit_code


def test_another_signal_may_be_asked_for(node, bell):
    """A script that listens to USR2 is told by USR2."""
    node.take(
        f"trap 'echo two; exit 0' USR2; {bell.ring}; while :; do sleep 0.05; done",
        notice_signal="USR2",
    )
    started = node.start()
    bell.wait()
    notice(node)
    started.wait(PATIENCE_S)

    assert b"two\n" == node.log().data


def test_the_providers_own_notice_becomes_ours(node, tmp_path, bell):
    """A signal file in the provider's words is read, and gone when theirs is."""
    theirs = tmp_path / "SIGNAL.yml"
    node.take(
        f"trap 'cat $FLOW_NOTICE_FILE; exit 0' USR1; {bell.ring}; while :; do sleep 0.05; done",
        notice_file=str(theirs),
    )
    started = node.start()
    bell.wait()
    new = tmp_path / "new"
    new.write_text(
        "instance_status: STATUS_PREEMPTING\nbid_status: Preempting\nend_time: '2026-02-03T04:05:06Z'\n"
    )
    new.rename(theirs)
    started.wait(PATIENCE_S)

    assert {"kind": "preemption", "deadline": "2026-02-03T04:05:06Z"} == json.loads(node.log().data)


@pytest.mark.parametrize("stands", [True, False])
def test_a_command_that_begins_knows_of_the_notice_that_stands(node, tmp_path, stands):
    """Its environment has the deadline; a notice that the provider says no more, left by an earlier stop, is gone."""
    theirs = tmp_path / "SIGNAL.yml"
    if stands:
        theirs.write_text("bid_status: Preempting\nend_time: 2026-02-03T04:05:06Z\n")
    node.take("cat $FLOW_NOTICE_FILE 2>&1; echo [$FLOW_NOTICE_DEADLINE]", notice_file=str(theirs))
    node.home.mkdir(exist_ok=True)
    notice(node)
    node.finish()
    said = node.log().data

    if stands:
        assert said.endswith(b"[2026-02-03T04:05:06Z]\n")
        assert b'"deadline": "2026-02-03T04:05:06Z"' in said
    else:
        assert said.endswith(b"[]\n")
        assert b"deadline" not in said


def test_a_failure_under_a_notice_is_no_end(node, bell):
    """Who saves and leaves with an error when told is run again once the notice has passed, and uses up no try."""
    node.take(
        f"test $FLOW_RESTART_COUNT = 1 && exit 0; trap 'exit 9' USR1; {bell.ring}; while :; do sleep 0.05; done"
    )
    started = node.start()
    bell.wait()
    notice(node)
    wait_for_bytes(node.home / "log")

    assert RunPhase.WAITING is node.report().phase
    (node.home / "notice.json").unlink()
    started.wait(PATIENCE_S)
    assert (0, 1) == (node.report().exit_code, node.report().attempt)


class TestFellows:
    """What one of two nodes does; the test plays the watcher."""

    @pytest.fixture
    def joined(self, node: BareNode, bell: Bell) -> BareNode:
        """A node whose command has begun with membership 1, and runs until it finds a word in `said`."""
        node.take(
            f"echo $MASTER_ADDR; {bell.ring}; until [ -s said ]; do sleep 0.05; done; exit $(cat said)",
            num_nodes=2,
            retries=1,
        )
        node.start()
        wait_for_bytes(node.home / "log")
        assert 0 == node.deliver(1, hosts=FELLOWS)
        bell.wait()
        return node

    def test_a_newer_membership_begins_the_command_anew(self, joined, bell):
        """The command that runs with addresses of old is ended and started with the new ones."""
        assert 0 == joined.deliver(2, hosts=("10.0.0.9", "10.0.0.8"))
        bell.wait()

        report = joined.report()
        assert (RunPhase.RUNNING, 1) == (report.phase, report.attempt)
        assert joined.log().data.endswith(b"10.0.0.9\n")

    def test_an_ended_command_begins_anew_too(self, joined, bell):
        """One who was done is needed again when a fellow starts over; until then it counts as exited."""
        (joined.workspace / "said").write_text("0")
        self.wait_for_phase(joined, RunPhase.EXITED)
        (joined.workspace / "said").unlink()

        assert 0 == joined.deliver(2, hosts=FELLOWS)
        bell.wait()
        assert (RunPhase.RUNNING, None) == (joined.report().phase, joined.report().exit_code)

    def test_a_failed_rank_asks_for_a_newer_membership(self, joined, bell):
        """With a try left it waits for its fellows, who start over with it."""
        (joined.workspace / "said").write_text("3")
        self.wait_until_wanting(joined)
        (joined.workspace / "said").unlink()

        assert RunPhase.WAITING is joined.report().phase
        assert 0 == joined.deliver(2, hosts=FELLOWS)
        bell.wait()
        assert not joined.report().wants_delivery

    def test_tries_are_counted_among_fellows(self, joined, bell):
        """A delivery says how many tries were used up elsewhere, so that two nodes don't have twice as many."""
        assert 0 == joined.deliver(2, hosts=FELLOWS, retried=1)
        bell.wait()
        (joined.workspace / "said").write_text("3")
        self.wait_for_phase(joined, RunPhase.EXITED)

        assert 3 == joined.report().exit_code

    def test_stop_ends_one_that_waits_for_news(self, joined):
        """An exited node among fellows keeps its exit code when it is stopped."""
        (joined.workspace / "said").write_text("0")
        self.wait_for_phase(joined, RunPhase.EXITED)

        assert 0 == joined.ask("stop").returncode
        wait_for_lock(joined.home / "lock")
        assert 0 == joined.report().exit_code

    def test_stop_ends_one_that_runs(self, joined):
        """The helper goes too: nothing waits for news after the end."""
        assert 0 == joined.ask("stop").returncode

        assert (RunPhase.EXITED, 143) == (joined.report().phase, joined.report().exit_code)

    def test_a_delivery_not_yet_used_is_not_wanted_again(self, joined):
        """What lies there already is no reason to deliver once more, and to begin everything anew."""
        (joined.workspace / "said").write_text("3")
        self.wait_until_wanting(joined)
        joined.deliver(2, hosts=FELLOWS)

        assert not joined.report().wants_delivery

    @staticmethod
    def wait_for_phase(node: BareNode, phase: RunPhase) -> None:
        """Return once the helper reports `phase`."""
        for _ in range(1_000):
            if node.report().phase is phase:
                return
        raise AssertionError(node.report())

    @staticmethod
    def wait_until_wanting(node: BareNode) -> None:
        """Return once the helper asks for a delivery."""
        for _ in range(1_000):
            if node.report().wants_delivery:
                return
        raise AssertionError(node.report())
