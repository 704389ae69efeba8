"""What `systemctl` is answered on a node: the verbs that simple services need, in systemd's words and exit codes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field, frozen

from flow_providers.mock.boot import units
from flow_providers.mock.boot.children import Children
from flow_providers.mock.boot.services import Service

_TAIL = 10
_WITH_VALUE = (
    "-p",
    "--property",
    "-n",
    "--lines",
    "-o",
    "--output",
    "-s",
    "--signal",
    "-t",
    "--type",
)
_CHANGES = frozenset(
    [
        "daemon-reload",
        "daemon-reexec",
        "enable",
        "disable",
        "reenable",
        "start",
        "stop",
        "restart",
        "try-restart",
        "reload",
        "reload-or-restart",
        "kill",
        "reset-failed",
        "poweroff",
        "reboot",
        "mask",
        "unmask",
    ]
)


@frozen
class Answer:
    """What `systemctl` says, and its exit code."""

    out: str = ""
    err: str = ""
    code: int = 0


@frozen
class _Asked:
    verb: str
    names: list[str]
    flags: dict[str, str]
    properties: list[str]


@define(eq=False)
class Control:
    """All services of a node. `leave` ends the node; True has it boot again."""

    children: Children
    leave: Callable[[bool], None]
    _services: dict[str, Service] = field(factory=dict)

    async def start_enabled(self) -> None:
        """Start what is enabled, one after the other."""
        for name in units.starting():
            service = self._service(name)
            if service is not None:
                await service.start()

    async def stop_all(self) -> None:
        """Stop every service, all at once."""
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    async def answer(self, arguments: Sequence[str], *, is_root: bool) -> Answer:
        """Do as `systemctl ARGUMENTS` asks."""
        asked = _parsed(arguments)
        if "--user" in asked.flags:
            return Answer(err="systemctl: a simulated node keeps no services of users\n", code=1)
        if "--version" in asked.flags:
            return Answer(out="systemctl of a simulated node: it keeps simple services\n")
        if asked.verb in _CHANGES and not is_root:
            return Answer(err="systemctl: only root may do this: Access denied\n", code=4)
        verb = getattr(self, "_" + asked.verb.replace("-", "_"), None)
        if verb is None:
            return Answer(err=f"systemctl: a simulated node doesn't know {asked.verb!r}\n", code=1)
        done: Answer = await verb(asked)
        return done

    async def _daemon_reload(self, _: _Asked) -> Answer:
        for name, service in list(self._services.items()):
            found = units.find(name)
            if found is not None:
                service.unit = found
            elif service.state in ("inactive", "failed"):
                del self._services[name]
        return Answer()

    _daemon_reexec = _daemon_reload

    async def _enable(self, asked: _Asked) -> Answer:
        said: list[str] = []
        for name in asked.names:
            unit = units.find(name)
            if unit is None:
                return Answer(err=f"Failed to enable unit: {_missing(name)}", code=1)
            said += units.enable(unit)
        if "--now" in asked.flags:
            started = await self._start(asked)
            return Answer(err="".join(said) + started.err, code=started.code)
        return Answer(err="" if "quiet" in asked.flags else "".join(said))

    _reenable = _enable

    async def _disable(self, asked: _Asked) -> Answer:
        said = [line for name in asked.names for line in units.disable(name)]
        if "--now" in asked.flags:
            await self._stop(asked)
        return Answer(err="" if "quiet" in asked.flags else "".join(said))

    async def _start(self, asked: _Asked) -> Answer:
        async def start(service: Service) -> bool:
            waited = asyncio.ensure_future(service.start())
            return True if "--no-block" in asked.flags else await waited

        return await self._each(asked, start)

    async def _stop(self, asked: _Asked) -> Answer:
        async def stop(service: Service) -> bool:
            waited = asyncio.ensure_future(service.stop())
            if "--no-block" not in asked.flags:
                await waited
            return True

        return await self._each(asked, stop)

    async def _restart(self, asked: _Asked) -> Answer:
        stopped = await self._stop(asked)
        return stopped if stopped.code else await self._start(asked)

    async def _try_restart(self, asked: _Asked) -> Answer:
        names = [name for name in asked.names if self._state(name) == "active"]
        return await self._restart(_Asked("restart", names, asked.flags, []))

    async def _reload(self, asked: _Asked) -> Answer:
        return await self._each(asked, lambda service: service.reload())

    async def _reload_or_restart(self, asked: _Asked) -> Answer:
        can = all(
            (service := self._service(name)) is not None and service.unit.commands("ExecReload")
            for name in asked.names
        )
        return await (self._reload(asked) if can else self._restart(asked))

    async def _kill(self, asked: _Asked) -> Answer:
        said = asked.flags.get("-s") or asked.flags.get("--signal") or "SIGTERM"
        number = (
            int(said) if said.isdigit() else int(signal.Signals["SIG" + said.removeprefix("SIG")])
        )

        async def kill(service: Service) -> bool:
            service.signal(number)
            return True

        return await self._each(asked, kill)

    async def _reset_failed(self, asked: _Asked) -> Answer:
        for name, service in self._services.items():
            if service.state == "failed" and (not asked.names or name in asked.names):
                service.state, service.detail = "inactive", "dead"
        return Answer()

    async def _is_active(self, asked: _Asked) -> Answer:
        states = [self._state(name) for name in asked.names]
        code = 0 if "active" in states else 3
        return Answer(_quietly(asked, "".join(f"{state}\n" for state in states)), code=code)

    async def _is_failed(self, asked: _Asked) -> Answer:
        states = [self._state(name) for name in asked.names]
        return Answer(
            _quietly(asked, "".join(f"{state}\n" for state in states)),
            code=0 if "failed" in states else 1,
        )

    async def _is_enabled(self, asked: _Asked) -> Answer:
        found = [units.find(name) for name in asked.names]
        if any(unit is None for unit in found):
            return Answer(err="Failed to get unit file state: No such file or directory\n", code=1)
        states = ["enabled" if units.enabled(name) else "disabled" for name in asked.names]
        code = 0 if "enabled" in states else 1
        return Answer(_quietly(asked, "".join(f"{state}\n" for state in states)), code=code)

    async def _is_system_running(self, _: _Asked) -> Answer:
        return Answer("running\n")

    async def _status(self, asked: _Asked) -> Answer:
        said, code = [], 0
        for name in asked.names:
            service = self._service(name)
            if service is None:
                return Answer(err=f"Unit {name} could not be found.\n", code=4)
            code = code or (0 if service.state in ("active", "activating") else 3)
            said.append(_described(service))
        return Answer("\n".join(said), code=code)

    async def _show(self, asked: _Asked) -> Answer:
        said = []
        for name in asked.names:
            shown = _properties(name, self._service(name))
            wanted = asked.properties or list(shown)
            for each in wanted:
                value = shown.get(each, "")
                said.append(value if "--value" in asked.flags else f"{each}={value}")
        return Answer("".join(f"{line}\n" for line in said))

    async def _cat(self, asked: _Asked) -> Answer:
        said = []
        for name in asked.names:
            place = next((each / name for each in units.PLACES if (each / name).exists()), None)
            if place is None:
                return Answer(err=f"No files found for {name}.\n", code=1)
            said.append(f"# {place}\n{place.read_text(errors='replace')}")
        return Answer("\n".join(said))

    async def _list_units(self, _: _Asked) -> Answer:
        lines = [
            f"{name} loaded {service.state} {service.detail} {service.unit.last('Description')}\n"
            for name, service in sorted(self._services.items())
        ]
        return Answer("".join(lines))

    async def _poweroff(self, _: _Asked) -> Answer:
        self.leave(False)
        return Answer()

    async def _reboot(self, _: _Asked) -> Answer:
        self.leave(True)
        return Answer()

    async def _each(self, asked: _Asked, act: Callable[[Service], Awaitable[bool]]) -> Answer:
        for name in asked.names:
            service = self._service(name)
            if service is None:
                return Answer(err=f"Failed to {asked.verb} {name}: {_missing(name)}", code=5)
            if not await act(service):
                told = f"Job for {name} failed. See `systemctl status {name}`.\n"
                return Answer(err=told, code=1)
        return Answer()

    def _service(self, name: str) -> Service | None:
        if name not in self._services:
            unit = units.find(name)
            if unit is None or not name.endswith(".service"):
                return None
            self._services[name] = Service(unit, self.children)
        return self._services[name]

    def _state(self, name: str) -> str:
        service = self._service(name)
        return service.state if service is not None else "inactive"


def _parsed(arguments: Sequence[str]) -> _Asked:
    words: list[str] = []
    flags: dict[str, str] = {}
    properties: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, is_set, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            name, value, is_set = word[:2], word[2:], "="
        if name in _WITH_VALUE and not is_set and rest:
            value = rest.pop(0)
        if name in ("-p", "--property"):
            properties += value.split(",")
        elif name in ("-q", "--quiet"):
            flags["quiet"] = ""
        else:
            flags[name] = value
    verb = words[0] if words else "list-units"
    return _Asked(verb, [units.full_name(word) for word in words[1:]], flags, properties)


def _quietly(asked: _Asked, text: str) -> str:
    return "" if "quiet" in asked.flags else text


def _missing(name: str) -> str:
    return f"Unit {name} not found.\n"


def _properties(name: str, service: Service | None) -> dict[str, str]:
    if service is None:
        return {
            "Id": name,
            "LoadState": "not-found",
            "ActiveState": "inactive",
            "SubState": "dead",
            "MainPID": "0",
        }
    failed = service.state == "failed"
    return {
        "Id": name,
        "Description": service.unit.last("Description"),
        "LoadState": "loaded",
        "ActiveState": service.state,
        "SubState": service.detail,
        "MainPID": str(service.pid),
        "Result": "success" if not failed else "signal" if service.ended_by_signal else "exit-code",
        "ExecMainStatus": str(service.code),
        "NRestarts": str(service.restarts),
        "UnitFileState": "enabled" if units.enabled(name) else "disabled",
        "FragmentPath": next(
            (str(each / name) for each in units.PLACES if (each / name).exists()), ""
        ),
        "Type": service.unit.last("Type", "simple"),
        "Restart": service.unit.last("Restart", "no"),
    }


def _described(service: Service) -> str:
    name = service.unit.name
    about = service.unit.last("Description")
    lines = [f"{name}" + (f" - {about}" if about else "")]
    lines.append(f"     Loaded: loaded ({'enabled' if units.enabled(name) else 'disabled'})")
    lines.append(f"     Active: {service.state} ({service.detail})")
    if service.pid:
        lines.append(f"   Main PID: {service.pid}")
    try:
        written = service.log.read_text(errors="replace").splitlines()[-_TAIL:]
    except OSError:
        written = []
    return "\n".join([*lines, *([""] if written else []), *written]) + "\n"
