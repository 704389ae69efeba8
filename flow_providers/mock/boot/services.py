"""Keeps a node's services: one task each, from its start until it is not wanted any more.

The processes of a service are its main one, whatever descends from it, and whatever carries its INVOCATION_ID, which
is how one that left its parent is found again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from pathlib import Path

from attrs import define, field

from flow_providers.mock.boot.children import (
    Child,
    Children,
    Start,
    descendants,
    exit_code,
    marked,
    tell,
)
from flow_providers.mock.boot.furnish import PATH
from flow_providers.mock.boot.units import Unit, expanded

LOGS = Path("/var/log/units")
_RESTART_S, _STOP_S = 0.1, 90.0
_BURST, _BURST_S = 5, 10.0
_CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


@define(eq=False)
class Service:
    """One service. `state` is one of systemd's words: inactive, activating, active, deactivating, failed."""

    unit: Unit
    children: Children
    state: str = "inactive"
    detail: str = "dead"
    main: Child | None = None
    code: int = 0
    ended_by_signal: bool = False
    restarts: int = 0
    _stopping: bool = False
    _life: asyncio.Task[None] | None = None
    _up: asyncio.Event = field(factory=asyncio.Event)
    _mark: str = ""
    _starts: list[float] = field(factory=list)

    @property
    def pid(self) -> int:
        """The main process's id, 0 while there is none."""
        return self.main.pid if self.main is not None and not self.main.ended.done() else 0

    @property
    def log(self) -> Path:
        """Where what it writes goes, unless its unit says otherwise."""
        return LOGS / f"{self.unit.name}.log"

    async def start(self) -> bool:
        """Start it unless it is active; return whether it came up."""
        if self._life is None or self._life.done():
            self._stopping = False
            self._starts.clear()
            self._up.clear()
            self.restarts = self.code = 0
            self.state, self.detail = "activating", "start"
            self._life = asyncio.get_running_loop().create_task(self._live())
        await self._up.wait()
        return self.state in ("active", "activating") or self.code == 0

    async def stop(self) -> None:
        """Stop it; returns when the last of its processes that the unit wants ended is gone."""
        if self._life is None or self._life.done():
            if self.state == "active":
                await self._end()
                self.state, self.detail = "inactive", "dead"
            return
        self._stopping = True
        self.state, self.detail = "deactivating", "stop"
        if self.pid:
            await self._run("ExecStop")
        await self._end()
        self._life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._life
        self._finish(clean=True)

    async def reload(self) -> bool:
        """Run ExecReload; return whether all went well."""
        return await self._run("ExecReload")

    def signal(self, number: int) -> None:
        """Send every process of the service a signal."""
        for pid in self._processes():
            tell(pid, number)

    async def _live(self) -> None:
        while True:
            self._starts.append(time.monotonic())
            self._mark = uuid.uuid4().hex
            clean = await self._once()
            if self._stopping:
                return
            if self.state == "active":
                return
            await self._run("ExecStopPost")
            await self._end()
            if not self._comes_back(clean):
                self._finish(clean=clean)
                return
            self.restarts += 1
            self.state, self.detail = "activating", "auto-restart"
            self._up.set()
            await asyncio.sleep(self.unit.seconds("RestartSec", _RESTART_S))

    async def _once(self) -> bool:
        """Let it run once; return whether it ended well, or stays up without a process."""
        kind = self.unit.last("Type", "simple")
        if not await self._run("ExecStartPre"):
            return False
        commands = self.unit.commands("ExecStart")
        clean = bool(commands)
        for words, ignored in commands:
            try:
                self.main = self._started(words)
            except OSError as exc:
                self._say(f"{exc.filename or words[:1]}: {exc.strerror}")
                self.code, self.ended_by_signal = 203, False
                return ignored
            if kind not in ("oneshot", "forking"):
                self.state, self.detail = "active", "running"
                await self._run("ExecStartPost")
                self._up.set()
            status = await self.main.ended
            self.code, self.ended_by_signal = exit_code(status), os.WIFSIGNALED(status)
            clean = ignored or self._is_clean(status)
            if not clean or kind not in ("oneshot", "forking"):
                break
        if clean and (
            kind == "forking" or (kind == "oneshot" and self.unit.says_yes("RemainAfterExit"))
        ):
            self.state, self.detail = "active", "exited" if kind == "oneshot" else "running"
            await self._run("ExecStartPost")
            self._up.set()
        elif self.state == "active":
            self.state, self.detail = "deactivating", "stop"
        return clean

    def _finish(self, *, clean: bool) -> None:
        self.state, self.detail = ("inactive", "dead") if clean else ("failed", "failed")
        self._up.set()

    def _is_clean(self, status: int) -> bool:
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status) in _CLEAN_SIGNALS
        code = os.WEXITSTATUS(status)
        return code == 0 or str(code) in self.unit.words("SuccessExitStatus")

    def _comes_back(self, clean: bool) -> bool:
        policy = self.unit.last("Restart", "no")
        wanted = {
            "always": True,
            "on-success": clean,
            "on-failure": not clean,
            "on-abnormal": self.ended_by_signal and not clean,
            "on-abort": self.ended_by_signal and not clean,
        }.get(policy, False)
        burst = int(self.unit.last("StartLimitBurst", str(_BURST)))
        span = self.unit.seconds("StartLimitIntervalSec", _BURST_S)
        lately = [at for at in self._starts if time.monotonic() - at < span]
        if wanted and span > 0 and len(lately) >= burst:
            self._say("start request repeated too quickly")
            return False
        return wanted

    async def _run(self, key: str) -> bool:
        """Run the commands of a setting one after the other; return whether none failed that may not."""
        for words, ignored in self.unit.commands(key):
            try:
                status = await self._started(words).ended
            except OSError as exc:
                self._say(f"{words[:1]}: {exc.strerror}")
                status = 203 << 8
            if not self._is_clean(status) and not ignored:
                if key == "ExecStartPre":
                    self.code, self.ended_by_signal = exit_code(status), os.WIFSIGNALED(status)
                return False
        return True

    async def _end(self) -> None:
        """End what is left of it, as KillMode says."""
        mode = self.unit.last("KillMode", "control-group")
        if mode == "none":
            return
        first = self._number("KillSignal", signal.SIGTERM)
        main = [self.pid] if self.pid else []
        for pid in main if mode in ("mixed", "process") else self._processes():
            tell(pid, first)
        deadline = time.monotonic() + self.unit.seconds("TimeoutStopSec", _STOP_S)
        left = self._processes if mode == "control-group" else lambda: [self.pid][: bool(self.pid)]
        while left() and time.monotonic() < deadline:
            await self._moment()
        if mode != "process":
            for pid in self._processes():
                tell(pid, signal.SIGKILL)
        elif self.pid:
            tell(self.pid, signal.SIGKILL)
        if self.main is not None and mode != "process":
            await self.main.ended

    async def _moment(self) -> None:
        if self.pid and self.main is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.main.ended), 0.05)
        else:
            await asyncio.sleep(0.02)

    def _processes(self) -> list[int]:
        found = dict.fromkeys(marked(f"INVOCATION_ID={self._mark}".encode()) if self._mark else [])
        if self.pid:
            found |= dict.fromkeys([self.pid, *descendants(self.pid)])
        return list(found)

    def _number(self, key: str, default: int) -> int:
        said = self.unit.last(key)
        return int(said) if said.isdigit() else int(getattr(signal, said, default))

    def _started(self, words: list[str]) -> Child:
        import pwd

        user = self.unit.last("User", "root")
        try:
            known = pwd.getpwnam(user) if not user.isdigit() else pwd.getpwuid(int(user))
        except KeyError as exc:
            raise OSError(2, f"there is no user {user!r}") from exc
        env = {"PATH": PATH, "LANG": "C.UTF-8", "INVOCATION_ID": self._mark}
        if user != "root":
            env |= {"HOME": known.pw_dir, "USER": user, "LOGNAME": user, "SHELL": known.pw_shell}
        env |= {"MAINPID": str(self.pid)} if self.pid else {}
        env |= self.unit.environment()
        folder = self.unit.last("WorkingDirectory", "/").removeprefix("-")
        groups = tuple(os.getgrouplist(known.pw_name, known.pw_gid))
        out, err = self._output("StandardOutput"), self._output("StandardError")
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            return self.children.start(
                Start(
                    command=expanded(words, env),
                    env=env,
                    folder=known.pw_dir if folder == "~" else folder,
                    user=(known.pw_uid, known.pw_gid, groups),
                    fds=(nothing, out, err),
                    mask=int(self.unit.last("UMask", "022"), 8),
                )
            )
        finally:
            for each in (nothing, out, err):
                os.close(each)

    def _output(self, key: str) -> int:
        said = self.unit.last(key)
        kind, _, place = said.partition(":")
        if kind == "null":
            return os.open(os.devnull, os.O_WRONLY)
        flags = os.O_WRONLY | os.O_CREAT
        if kind in ("file", "append", "truncate") and place:
            more = {"append": os.O_APPEND, "truncate": os.O_TRUNC}.get(kind, 0)
            return os.open(place, flags | more, 0o644)
        if not said and key == "StandardError":
            return self._output("StandardOutput")
        LOGS.mkdir(parents=True, exist_ok=True)
        return os.open(self.log, flags | os.O_APPEND, 0o644)

    def _say(self, text: str) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"{self.unit.name}: {text}\n")
