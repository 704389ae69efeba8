"""Looking for what is wrong: named checks, each with its finding in words and what to do about it.

Each check has a deadline. What can't be asked because something before it failed says so and is skipped, so that a
machine without a network gets its answer soon.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.duration import rough_duration
from flow_core.domain.keys import is_same_key
from flow_core.domain.money import Price
from flow_core.errors import FlowError, InvalidRequest, NotAuthorized, Transient, WaitTimedOut
from flow_core.ports.machine import LocalKey, Machine
from flow_core.ports.provider import Provider
from flow_core.ports.setup import Question, Takes
from flow_core.services.leftovers import find_left
from flow_core.services.ports import Ports
from flow_core.services.reconciling import Stray

#: Real seconds that one check may take.
DEADLINE_S = 10.0
#: A clock this far off makes ages and deadlines wrong; further off, servers begin to refuse it.
SKEW_WARNS = timedelta(seconds=30)
SKEW_FAILS = timedelta(minutes=5)
#: A certificate that ends sooner than this is worth a word.
CERTIFICATE_LEFT = timedelta(days=7)
_NAMED = 5


class Health(str, enum.Enum):
    """What a check came to. SKIPPED says nothing for or against."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@frozen
class Finding:
    """One check: what is so, and what to do where it isn't well."""

    check: str
    health: Health
    says: str
    advice: str = ""


class Doctor:
    """Examines one machine and one provider. `ports` is None where no session could be made, for `trouble`."""

    def __init__(
        self, machine: Machine, ports: Ports | None, *, trouble: FlowError | None = None
    ) -> None:
        self._machine = machine
        self._ports = ports
        self._trouble = trouble
        self._unreached = ""

    def findings(self) -> Iterator[Finding]:
        """Yield one finding after the other, in an order in which later ones build on earlier ones."""
        if self._ports is None:
            trouble = self._trouble
            yield Finding(
                "provider",
                Health.FAIL,
                trouble.message if trouble else "there is no session",
                (trouble.hint or "" if trouble else ""),
            )
            yield self._examined("state", self._state)
            return
        ports, provider = self._ports, self._ports.provider
        yield Finding("provider", Health.OK, provider.name + _simulated(provider))
        yield self._examined("state", self._state)
        origin = provider.setup.origin() if provider.setup is not None else None
        if origin is not None:
            for check, look in (("dns", self._dns), ("tls", self._tls)):
                yield self._examined(check, lambda look=look: look(origin), network=True)  # type: ignore[misc]
            yield self._examined("clock", lambda: self._clock(origin), network=True)
        yield self._examined("key", self._key, network=origin is not None)
        for question in self._open_questions():
            name = question.setting
            yield self._examined(name, lambda name=name: self._answer(name))  # type: ignore[misc]
        for name, role, examine in (
            ("project", provider.projects, self._project),
            ("quota", provider.projects, self._quota),
            ("ssh-key", provider.keys, self._ssh_key),
        ):
            if role is not None:
                yield self._examined(name, examine, network=origin is not None)
        if provider.keys is not None:
            yield self._examined("ssh-agent", self._ssh_agent)
        yield self._examined("watcher", lambda: self._watcher(ports))
        yield self._examined(
            "leftovers", lambda: self._leftovers(ports), network=origin is not None
        )

    def _examined(
        self, check: str, examine: Callable[[], Finding], *, network: bool = False
    ) -> Finding:
        if network and self._unreached:
            return Finding(check, Health.SKIPPED, f"not asked: {self._unreached}")
        try:
            return self._machine.within(DEADLINE_S, examine)
        except WaitTimedOut:
            trouble: FlowError = Transient(f"no answer within {DEADLINE_S:g} s")
        except FlowError as raised:
            trouble = raised
        if network and isinstance(trouble, (Transient, NotAuthorized)):
            self._unreached = f"{check} failed"
        says = (
            "; ".join(trouble.problems.values())
            if isinstance(trouble, InvalidRequest)
            else trouble.message
        )
        return Finding(check, Health.FAIL, says, trouble.hint or "")

    def _state(self) -> Finding:
        return Finding("state", Health.OK, f"{self._machine.check_state()} can be written")

    def _dns(self, origin: str) -> Finding:
        proxy = self._machine.proxy(origin)
        if proxy is not None:
            return Finding("dns", Health.OK, f"left to the proxy {proxy}")
        host, _ = _place(origin)
        found = self._machine.addresses(host)
        return Finding("dns", Health.OK, f"{host} is {', '.join(found[:_NAMED])}")

    def _tls(self, origin: str) -> Finding:
        if self._machine.proxy(origin) is not None:
            return Finding("tls", Health.SKIPPED, "through a proxy; the key's check goes that way")
        host, port = _place(origin)
        if origin.startswith("http://"):
            return Finding("tls", Health.OK, f"none on the way to {host}, which is this machine")
        ends = self._machine.certificate_ends(host, port)
        left = ends - self._now()
        words = f"{host} proves who it is, for {rough_duration(left)} more"
        if left < CERTIFICATE_LEFT:
            return Finding("tls", Health.WARN, words, "its owner has to renew the certificate")
        return Finding("tls", Health.OK, words)

    def _key(self) -> Finding:
        setup = self._provider.setup
        questions = setup.questions() if setup is not None else ()
        secrets = [each for each in questions if each.takes is Takes.UNSEEN]
        if setup is None or not secrets:
            return Finding("key", Health.OK, "none is needed")
        return Finding("key", Health.OK, f"belongs to {setup.check(secrets[0].setting)}")

    def _open_questions(self) -> Sequence[Question]:
        """Return what a provider without a key must be told; one with a key has checks of its own for the rest."""
        setup = self._provider.setup
        questions = setup.questions() if setup is not None else ()
        is_keyed = any(each.takes is Takes.UNSEEN for each in questions)
        return () if is_keyed else questions

    def _answer(self, setting: str) -> Finding:
        assert self._provider.setup is not None
        return Finding(setting, Health.OK, self._provider.setup.check(setting))

    def _clock(self, origin: str) -> Finding:
        if self._provider.limits.simulated or origin.startswith("http://"):
            return Finding(
                "clock", Health.OK, "the provider is on this machine, and its time its own"
            )
        skew = self._now() - self._provider.clock.now()
        size = abs(skew)
        if size < SKEW_WARNS:
            return Finding(
                "clock", Health.OK, f"within {SKEW_WARNS.seconds} s of {self._provider.name}'s"
            )
        words = f"{rough_duration(size)} {'ahead of' if skew > timedelta(0) else 'behind'} {self._provider.name}'s"
        health = Health.FAIL if size >= SKEW_FAILS else Health.WARN
        return Finding("clock", health, words, "have this machine set its clock by NTP")

    def _project(self) -> Finding:
        assert self._provider.projects is not None
        return Finding("project", Health.OK, self._provider.projects.current().name)

    def _quota(self) -> Finding:
        assert self._provider.projects is not None
        quotas = self._provider.projects.quotas()
        spent = [each for each in quotas if each.left == 0]
        if not spent:
            return Finding("quota", Health.OK, f"{len(quotas)} quotas, none used up")
        words = ", ".join(f"{each.what} {each.used} of {each.total}" for each in spent[:_NAMED])
        return Finding(
            "quota",
            Health.WARN,
            f"used up: {words}",
            "end something, or ask the provider for more; `flow quota` lists all",
        )

    def _ssh_key(self) -> Finding:
        assert self._provider.keys is not None
        there = self._provider.keys.keys()
        if not there:
            return Finding(
                "ssh-key", Health.FAIL, "the provider knows no SSH key, so no node can be reached",
                "`flow ssh-key add ~/.ssh/id_ed25519.pub` adds yours, `flow ssh-key add --generate` makes one",
            )  # fmt: skip
        own = [key for key in self._machine.local_keys() if key.is_here]
        held = self._agent()
        for key in there:
            match = next(
                (each for each in own if is_same_key(each.public_key, key.public_key)), None
            )
            if match is not None:
                return _found_pair(key.name, match)
            if any(is_same_key(each, key.public_key) for each in held):
                return Finding("ssh-key", Health.OK, f"{key.name!r}, which the agent holds")
        names = ", ".join(key.name for key in there[:_NAMED])
        return Finding(
            "ssh-key", Health.FAIL, f"the provider knows {names}; no private half of these is here",
            "`flow ssh-key add PATH` adds yours; or set ssh_key to the path of the private half",
        )  # fmt: skip

    def _ssh_agent(self) -> Finding:
        held = self._machine.agent_keys()
        if held is None:
            return Finding("ssh-agent", Health.OK, "none runs, so key files are used")
        return Finding(
            "ssh-agent", Health.OK, f"holds {len(held)} key{'s' if len(held) != 1 else ''}"
        )

    def _watcher(self, ports: Ports) -> Finding:
        live = ports.journal.live()
        if ports.watch.is_running():
            return Finding("watcher", Health.OK, f"runs, for {len(live)} live tasks")
        if not live:
            return Finding("watcher", Health.OK, "not needed: nothing is live")
        return Finding(
            "watcher",
            Health.WARN,
            f"none runs, so that nothing ends by itself, though {len(live)} tasks are live",
            "`flow status` starts it again; its account is watcher.log beside the journal",
        )

    def _leftovers(self, ports: Ports) -> Finding:
        left = find_left(ports)
        others = f"; {left.others} live bids are other people's or programs'" if left.others else ""
        said, advice = [], []
        if left.strays:
            hourly = Price(sum(each.hourly.micros for each in left.strays))
            most = Price(sum(each.at_most.micros for each in left.strays))
            said.append(
                f"bids of yours that this machine doesn't know cost {hourly}/hr now, {most}/hr at most: "
                + _named_words([_stray_words(each) for each in left.strays])
            )
            advice.append("`flow reconcile` lists them; name one with --adopt or --withdraw")
        if left.things:
            said.append("no bid needs: " + _named_words([each.what for each in left.things]))
        if left.strays or left.things:
            advice.append("`flow doctor --remove` takes all of it away")
        if left.caches:
            said.append("caches: " + _named_words([each.what for each in left.caches]))
            advice.append("`flow doctor --remove --caches` empties them")
        if not left.strays:
            said.insert(0, "this machine knows every bid of yours")
        health = Health.WARN if left.strays or left.things else Health.OK
        return Finding(
            "leftovers", health, "; ".join(said) + others + self._stored(), "; ".join(advice)
        )

    def _stored(self) -> str:
        """Return in words what volumes nothing uses: they are kept on purpose as often as not, so it is no warning."""
        role = self._provider.volumes
        unused = [each for each in role.volumes() if not each.attached_to] if role else []
        if not unused:
            return ""
        names = ", ".join(each.name for each in unused[:_NAMED])
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        size = sum(each.capacity_gb for each in unused)
        return f"; nothing uses {names}{more}, {size:,} GB of volumes, and storage costs too"

    def _agent(self) -> Sequence[str]:
        try:
            return self._machine.agent_keys() or ()
        except FlowError:
            return ()

    @property
    def _provider(self) -> Provider:
        assert self._ports is not None
        return self._ports.provider

    def _now(self) -> datetime:
        assert self._ports is not None
        return self._ports.clock.now()


def _found_pair(name: str, pair: LocalKey) -> Finding:
    if pair.is_open_to_others:
        return Finding(
            "ssh-key",
            Health.WARN,
            f"{name!r}, but others can read {pair.place}",
            f"chmod 600 {pair.place}; SSH refuses it as it is",
        )
    return Finding("ssh-key", Health.OK, f"{name!r}, whose private half is {pair.place}")


def _named_words(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _stray_words(stray: Stray) -> str:
    return f"{stray.name} ({stray.bid.state.value}, {stray.hourly}/hr)"


def _simulated(provider: Provider) -> str:
    return " (simulated: it costs nothing)" if provider.limits.simulated else ""


def _place(origin: str) -> tuple[str, int]:
    """Return the host and port of an origin such as https://host, http://host:port or https://[::1]:port."""
    scheme, _, rest = origin.partition("://")
    host, colon, port = rest.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = rest, "80" if scheme == "http" else "443"
    return host.strip("[]"), int(port)
