"""What the doctor finds, on machines and providers that have one thing wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from attrs import define, evolve, field

from flow_adapters.clocks import ManualClock
from flow_adapters.wiring import Unwatched, connect_in_memory
from flow_core.domain.quota import Project, Quota
from flow_core.domain.volume import Interface
from flow_core.errors import (
    Misconfigured,
    NodeUnreachable,
    NoRoom,
    NotAuthorized,
    Transient,
    WaitTimedOut,
)
from flow_core.ports.machine import LocalKey
from flow_core.services.doctor import Doctor, Health
from tests.cli.far import KEY, LAPTOP, Far

OK, WARN, FAIL, SKIPPED = Health.OK, Health.WARN, Health.FAIL, Health.SKIPPED
MINE = LocalKey(public_key=LAPTOP, place="~/.ssh/id_ed25519", is_here=True)


@define
class Bench:
    """A machine that is well, but for what a test changes."""

    now: datetime
    through: str | None = None
    troubles: dict[str, Exception] = field(factory=dict)
    slow: set[str] = field(factory=set)
    keys: list[LocalKey] = field(factory=lambda: [MINE])
    agent: list[str] | None = None
    ends_in: timedelta = timedelta(days=60)
    asked: list[str] = field(factory=list)

    def within(self, seconds, ask):
        answer = ask()
        if answer.check in self.slow:
            raise WaitTimedOut("slow")
        return answer

    def proxy(self, origin):
        return self.through

    def addresses(self, host):
        self._meet("addresses", host)
        return ["192.0.2.7"]

    def certificate_ends(self, host, port):
        self._meet("certificate", f"{host}:{port}")
        return self.now + self.ends_in

    def local_keys(self):
        return self.keys

    def agent_keys(self):
        self._meet("agent", "")
        return self.agent

    def check_state(self):
        self._meet("state", "")
        return "~/state"

    def _meet(self, what, about):
        self.asked.append(about)
        if what in self.troubles:
            raise self.troubles[what]


@pytest.fixture
def far(pretend_cloud) -> Far:
    """A far cloud that is well."""
    limits = evolve(pretend_cloud.provider.limits, simulated=False)
    return Far(evolve(pretend_cloud.provider, limits=limits))


@pytest.fixture
def bench(pretend_cloud) -> Bench:
    """A machine that is well."""
    return Bench(pretend_cloud.clock.now())


@pytest.fixture
def examined(session, far, bench):
    """Examine it all, and return what was found by check."""

    def examine(answers=None, **changes):
        told = {"api_key": KEY, "project": "research", **(answers or {})}
        ports = evolve(session.ports, provider=far.provider(told), **changes)
        return {each.check: each for each in Doctor(bench, ports).findings()}

    return examine


def test_all_is_well(examined):
    """Each check has its word, and none an advice."""
    found = examined()

    assert [
        "provider", "state", "dns", "tls", "clock", "key", "project", "quota", "ssh-key", "ssh-agent", "watcher",
        "leftovers",
    ] == list(found)  # fmt: skip
    assert {OK} == {each.health for each in found.values()}
    assert {""} == {each.advice for each in found.values()}


def test_the_mock_needs_no_network(session, bench):
    """A provider without an address has nothing to resolve, and no key."""
    found = {each.check: each for each in Doctor(bench, session.ports).findings()}

    assert {"provider", "state", "key", "watcher", "leftovers"} == set(found)
    assert {OK} == {each.health for each in found.values()}
    assert "simulated" in found["provider"].says


def test_without_a_network_the_rest_is_not_asked(examined, bench, far):
    """One failure tells it; what needs the network is skipped, what doesn't is still looked at."""
    bench.troubles["addresses"] = Transient("api.far.test has no address", hint="online?")
    found = examined()

    assert (FAIL, "online?") == (found["dns"].health, found["dns"].advice)
    assert {"tls", "clock", "key", "project", "quota", "ssh-key", "leftovers"} == {
        name for name, each in found.items() if each.health is SKIPPED
    }
    assert {OK} == {found[name].health for name in ("state", "watcher", "ssh-agent")}


def test_a_check_that_takes_too_long_failed(examined, bench):
    """A provider that hangs is told by its deadline, and later checks don't hang on it."""
    bench.slow.add("key")
    found = examined()

    assert (FAIL, "no answer within 10 s") == (found["key"].health, found["key"].says)
    assert SKIPPED is found["project"].health


def test_a_stranger_at_the_providers_address_is_told(examined, bench):
    """A certificate that proves nothing ends the asking before the key is sent."""
    bench.troubles["certificate"] = NotAuthorized("api.far.test can't prove who it is")
    found = examined()

    assert (FAIL, SKIPPED) == (found["tls"].health, found["key"].health)


def test_a_certificate_about_to_end_is_worth_a_word(examined, bench):
    """A week before its end it is a warning."""
    bench.ends_in = timedelta(days=3)

    assert WARN is examined()["tls"].health


def test_a_proxy_is_asked_instead(examined, bench):
    """Names are the proxy's business, and nothing is connected to directly."""
    bench.through = "proxy.test:3128"
    found = examined()

    assert ("left to the proxy proxy.test:3128", SKIPPED) == (
        found["dns"].says,
        found["tls"].health,
    )
    assert OK is found["key"].health


@pytest.mark.parametrize(
    "url, asked, words",
    [
        ("https://api.far.test:8443", "api.far.test:8443", "60 days"),
        ("https://[2001:db8::1]", "2001:db8::1:443", "60 days"),
        ("http://127.0.0.1:8080", "127.0.0.1", "none on the way"),
    ],
)
def test_the_address_that_is_set_is_the_one_examined(examined, bench, url, asked, words):
    """Host and port come from the provider's origin; plain HTTP has no certificate."""
    found = examined({"api_url": url})

    assert asked in bench.asked
    assert words.split()[0] in found["tls"].says


@pytest.mark.parametrize("off, health", [(5, OK), (-45, WARN), (400, FAIL)])
def test_a_wrong_clock_is_told(examined, pretend_cloud, off, health):
    """Half a minute off is a warning, five minutes a failure; the words say which way."""
    clock = ManualClock(pretend_cloud.clock.now() + timedelta(seconds=off))
    found = examined(clock=clock)["clock"]

    assert health is found.health
    assert health is OK or ("ahead of" if off > 0 else "behind") in found.says


def test_a_key_that_is_refused_is_told_with_advice(examined):
    """The provider's own words and hint are passed on, and what needs the key is skipped."""
    found = examined({"api_key": "other"})

    assert (FAIL, "make another") == (found["key"].health, found["key"].advice)
    assert (OK, SKIPPED) == (found["clock"].health, found["quota"].health)


def test_a_project_that_is_not_there_is_told(examined):
    """A wrong project fails alone."""
    found = examined({"project": "elsewhere"})

    assert (FAIL, OK) == (found["project"].health, found["ssh-key"].health)


def test_a_quota_that_is_used_up_is_a_warning(examined, far):
    """It is named with its numbers."""
    far.projects = [Project(id="p-1", name="research")]
    far.quotas = [Quota(id="q", what="b200", total=8, used=8)]

    assert (WARN, "used up: b200 8 of 8") == (
        examined()["quota"].health,
        examined()["quota"].says,
    )


def test_a_key_in_no_hand_opens_nothing(examined, bench, far):
    """Without a private half, here or with the agent, no node can be reached; the agent's will do."""
    bench.keys = [evolve(MINE, is_here=False)]
    assert FAIL is examined()["ssh-key"].health

    bench.agent = [LAPTOP]
    assert OK is examined()["ssh-key"].health

    far.keys.clear()
    assert "flow ssh-key add" in examined()["ssh-key"].advice


def test_a_key_that_others_can_read_is_a_warning(examined, bench):
    """SSH refuses such a key, and chmod mends it."""
    bench.keys = [evolve(MINE, is_open_to_others=True)]

    assert "chmod 600" in examined()["ssh-key"].advice


def test_an_agent_that_does_not_answer_is_told(examined, bench):
    """A stale SSH_AUTH_SOCK fails its own check and no other."""
    bench.troubles["agent"] = NodeUnreachable("no agent answers there")
    found = examined()

    assert (FAIL, OK) == (found["ssh-agent"].health, found["ssh-key"].health)


def test_state_that_cannot_be_written_is_told(examined, bench):
    """A full disk is what it is."""
    bench.troubles["state"] = NoRoom("the disk is full", hint="make room")

    assert (FAIL, "make room") == (examined()["state"].health, examined()["state"].advice)


def test_a_watcher_that_is_missing_is_a_warning(examined, session, bench):
    """Live tasks without a watcher are counted."""

    class Absent(Unwatched):
        def is_running(self):
            return False

    assert OK is examined(watch=Absent())["watcher"].health
    session.tasks.submit(evolve(_task()))
    assert WARN is examined(watch=Absent())["watcher"].health


def test_leftovers_are_told_with_their_cost(examined, session, pretend_cloud):
    """A bid of ours that this journal doesn't know is named, with what it costs now and at most."""
    session.tasks.submit(_task())
    pretend_cloud.clock.advance(minutes=30)
    other = connect_in_memory(pretend_cloud, seed=4)
    found = examined(journal=other.ports.journal)["leftovers"]

    assert WARN is found.health
    assert "train (allocated, $" in found.says
    assert "$40.00/hr at most" in found.says
    assert "flow reconcile" in found.advice


def test_volumes_that_nothing_uses_are_told(examined, pretend_cloud):
    """They are named with their size, and are no warning: data waits on volumes for the next task."""
    volumes = pretend_cloud.provider.need_volumes()
    region = pretend_cloud.provider.market.quotes()[0].region
    for number in range(6):
        volumes.create(f"v{number}", region=region, capacity_gb=200, interface=Interface.FILE)
    found = examined()["leftovers"]

    assert OK is found.health
    assert "nothing uses v0, v1, v2, v3, v4 and 1 more, 1,200 GB of volumes" in found.says


def test_without_a_session_the_machine_is_still_examined(bench):
    """What kept the session from being made is the first finding."""
    trouble = Misconfigured("no provider is chosen", hint="flow setup")
    found = list(Doctor(bench, None, trouble=trouble).findings())

    assert [("provider", FAIL, "flow setup"), ("state", OK, "")] == [
        (each.check, each.health, each.advice) for each in found
    ]


def _task():
    from flow_core.domain.task_form import task_from_mapping

    return task_from_mapping(
        {
            "command": "sleep 9h",
            "name": "train",
            "instance_type": "8xh100",
            "max_price_per_hour": 40,
        }
    )
