"""Plays nodes as folders and process groups of this machine.

A node is `<root>/nodes/<id>/`: `home` (its disk, with `workspace` in it), `flow` (the node helper's files), `tmp`,
`bin` (what its PATH begins with), `node.json` (how to start it) and `power.json` (whether it should be up). `node_init`
says how these files keep two starters, or a starter and a stopper, from missing each other.

Everything is on disk, so any process may ask or tell any node, and none has to outlive what it started. Mounts appear
at their absolute paths in a namespace of the node's own; where this machine has none, as links below `$FLOW_MOUNTS`
only, which `mount_problem` tells beforehand. Links are always there, so that one script does for both.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from attrs import field, frozen

from flow_core.domain import node_files
from flow_core.domain.allocation import Notice
from flow_core.domain.bid import Launch
from flow_core.domain.run import LogChunk, RunPhase, RunReport
from flow_core.domain.script import parse_script
from flow_core.domain.shape import InstanceShape
from flow_core.domain.volume import Attachment
from flow_core.errors import InvalidRequest, NoRoom
from flow_providers.mock import fake_gpu, namespaces, node_init
from flow_providers.mock.node_folder import NodeFolder, read_json, wait_until_free, write_text
from flow_providers.mock.nodes import HostedNode

#: Real seconds between TERM and KILL for a node's command.
GRACE_S = 10.0
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Starts `node_init` in the background and is done; whoever called it has no child left to mind.
_START = '"$@" </dev/null >>"$0" 2>&1 &'


@frozen(kw_only=True)
class Times:
    """How the machine's unix seconds and the cloud's time turn into each other."""

    simulated: Callable[[float], datetime] = node_files.utc
    real: Callable[[datetime], float] = field(default=datetime.timestamp)


class ProcessNodes:
    """Implements `nodes.NodeHost` with real processes."""

    def __init__(
        self,
        root: Path,
        *,
        times: Times | None = None,
        mount_links: bool = False,
        grace_s: float = GRACE_S,
        can_mount: Callable[[], str | None] = namespaces.available,
    ) -> None:
        self._root = Path(root).absolute()
        self._times = times or Times()
        self._mount_links = mount_links
        self._can_mount = cache(can_mount)
        self._grace_s = grace_s

    def boot(self, node: HostedNode, launch: Launch, *, at: datetime) -> None:
        """See `NodeHost.boot`.

        Raises:
            NoRoom: this machine's disk or process table is full; what was begun may be begun again.
        """
        folder = self.folder(node.id)
        kept = NodeFolder(folder)
        wanted, number = kept.power()
        if wanted == "gone" or (wanted == "on" and (kept.is_up() or self._has_ended(node.id))):
            return
        with _room():
            plan = self._prepare(node, launch, first=not (folder / "console").exists())
            if (
                wanted == "off"
            ):  # the stop that it told of has come; one that lost power is still under it
                (folder / "flow" / "notice.json").unlink(missing_ok=True)
            number += wanted != "on"
            write_text(folder / "node.json", json.dumps(plan))
            kept.set_power("on", number)
            command = [sys.executable, "-I", "-S", node_init.__file__, str(folder), str(number)]
            arguments = ["/bin/sh", "-c", _START, str(folder / "console"), *command]
            # Nothing by which an older first process, still busy with its end, would take it for a leftover.
            env = {"PATH": plan["env"]["PATH"]}
            subprocess.run(arguments, env=env, cwd=folder, start_new_session=True, check=False)

    def notify(self, node_id: str, notice: Notice | None) -> None:
        """See `NodeHost.notify`."""
        place = self.folder(node_id) / "flow" / "notice.json"
        if notice is None:
            place.unlink(missing_ok=True)
        elif place.parent.is_dir():
            write_text(
                place, node_files.notice_text(notice, deadline=self._times.real(notice.deadline))
            )

    def stop(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.stop`."""
        self._switch(node_id, "off", signal.SIGTERM)

    def destroy(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.destroy`. The disk goes when the last process has; that needs nobody's waiting."""
        self._switch(node_id, "gone", signal.SIGTERM)

    def lose(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.lose`."""
        if NodeFolder(self.folder(node_id)).power()[0] == "on":
            self._switch(node_id, "lost", signal.SIGUSR1)

    def report(self, node_id: str) -> RunReport | None:
        """See `NodeHost.report`."""
        return NodeFolder(self.folder(node_id)).report(at=self._times.simulated)

    def read(self, node_id: str, *, offset: int, limit: int) -> LogChunk | None:
        """See `NodeHost.read`."""
        folder = NodeFolder(self.folder(node_id))
        return folder.read_log(offset=offset, limit=limit, at=self._times.simulated)

    def create_volume(self, volume_id: str) -> None:
        """See `NodeHost.create_volume`."""
        with _room():
            self.volume(volume_id).mkdir(parents=True, exist_ok=True)

    def delete_volume(self, volume_id: str) -> None:
        """See `NodeHost.delete_volume`."""
        shutil.rmtree(self.volume(volume_id), ignore_errors=True)

    def next_event_at(self) -> datetime | None:
        """Return None: when a real process does something is not known."""
        return None

    def is_up(self, node_id: str) -> bool:
        """Whether any process of the node lives; false also while one that was just booted gets ready."""
        return NodeFolder(self.folder(node_id)).is_up()

    def absence(self, node_id: str) -> str | None:
        """Return why the node takes no commands, or None if it does."""
        words = {"on": None, "lost": "it was lost", "gone": "it is gone"}
        return words.get(NodeFolder(self.folder(node_id)).power()[0], "it is stopped")

    def mount_problem(self, attachments: tuple[Attachment, ...]) -> str | None:
        """Return why these mounts can't be had, naming the first; None if they can, or if links were said to do."""
        return None if self._mount_links else self._obstacle(attachments)

    def folder(self, node_id: str) -> Path:
        """Return where the node lives."""
        return self._root / "nodes" / _checked(node_id)

    def volume(self, volume_id: str) -> Path:
        """Return where the volume's files live."""
        return self._root / "volumes" / _checked(volume_id)

    def environment(self, node_id: str) -> dict[str, str]:
        """Return the variables of a shell on the node: its own clean ones, and its command's once that has begun."""
        folder = self.folder(node_id)
        env: dict[str, str] = dict(NodeFolder(folder).plan()["env"])
        env.pop("FLOW_FOREGROUND")
        return env | read_json(folder / "flow" / "env.json")

    def binds(self, node_id: str) -> list[namespaces.Bind]:
        """Return what a process of the node must see mounted."""
        return [
            namespaces.Bind(*each)
            for each in NodeFolder(self.folder(node_id)).plan().get("binds", [])
        ]

    def _has_ended(self, node_id: str) -> bool:
        report = self.report(node_id)
        return report is not None and report.phase is RunPhase.EXITED

    def _prepare(self, node: HostedNode, launch: Launch, *, first: bool) -> dict[str, Any]:
        folder = self.folder(node.id)
        for name in ("home/workspace", "flow", "tmp", "bin"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, text in _programs(node.shape).items():
            write_text(folder / "bin" / name, text, mode=0o755)
        write_text(folder / "startup", launch.script, mode=0o700)
        by_link = self._obstacle(node.attachments) is not None
        sources = [(self.volume(each.volume_id), each) for each in node.attachments]
        for source, attachment in sources:
            source.mkdir(parents=True, exist_ok=True)
            link = folder / "home" / "mounts" / attachment.path.strip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(source if by_link else attachment.path)
        binds = [
            (str(source), each.path, each.read_only) for source, each in sources if not by_link
        ]
        return {
            "rank": node.rank,
            "bid": node.bid_id,
            "command": _startup(folder / "startup", launch.script, first=first),
            "binds": binds,
            "env": self._clean_environment(folder),
        }

    def _obstacle(self, attachments: tuple[Attachment, ...]) -> str | None:
        for each in attachments:
            if _is_within(str(self._root), each.path) or _is_within(sys.prefix, each.path):
                return (
                    f"{each.path} can't be mounted: Flow itself runs from below it on this machine"
                )
        reason = self._can_mount() if attachments else None
        return reason and f"{attachments[0].path} can't be mounted on this machine: {reason}"

    def _clean_environment(self, folder: Path) -> dict[str, str]:
        user = _user()
        own = f"{folder / 'bin'}:{Path(sys.executable).parent}"
        brew = ":/opt/homebrew/bin" if sys.platform == "darwin" else ""
        env = {
            "PATH": f"{own}:{_SYSTEM_PATH}{brew}",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "USER": user,
            "LOGNAME": user,
            "FLOW_HOME": str(folder / "flow"),
            "FLOW_WORKSPACE": str(folder / "home" / "workspace"),
            "FLOW_MOUNTS": str(folder / "home" / "mounts"),
            "FLOW_PYTHON": sys.executable,
            "FLOW_GRACE_S": f"{self._grace_s:g}",
            "FLOW_FOREGROUND": "1",
        }
        if sys.platform.startswith("linux"):
            # All nodes are this host: left to itself, gloo looks the host's name up, which may lead nowhere.
            env["GLOO_SOCKET_IFNAME"] = "lo"
        return env

    def _switch(self, node_id: str, to: str, number: signal.Signals) -> None:
        """Write down that the node is not wanted, then tell its first process; without one, drop the disk here."""
        folder = self.folder(node_id)
        kept = NodeFolder(folder)
        wanted, count = kept.power()
        if not folder.exists() or wanted == "gone":
            return
        kept.set_power(to, count)
        first = read_json(folder / "init.pid")
        if first.get("number") == count and kept.is_up():
            with contextlib.suppress(ProcessLookupError):
                os.kill(first["pid"], number)
        elif not first or not kept.is_up():
            # Without a name, a first process that still lives is on its way out, and past asking what is wanted.
            wait_until_free(folder / "init.lock")
            node_init.end_strangers(folder)
            if to == "gone":
                node_init.drop_disk(folder)


def _user() -> str:
    import getpass

    # A container's user may have no name at all.
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def _programs(shape: InstanceShape) -> Mapping[str, str]:
    """Return the node's own programs: Flow's interpreter under its usual names, and the GPUs'."""
    python = f'#!/bin/sh\nexec {_quoted(sys.executable)} "$@"\n'
    label, memory = shape.gpu_label, shape.memory_gb or _said_memory_gb(shape)
    gpus = " ".join(_quoted(each) for each in (sys.executable, "-I", "-S", fake_gpu.__file__))
    smi = f'#!/bin/sh\nexec {gpus} {shape.gpus} {_quoted(label)} {memory * 1024} "$@"\n'
    return {"python": python, "python3": python, "nvidia-smi": smi}


def _said_memory_gb(shape: InstanceShape) -> int:
    said = re.search(r"-(\d+)GB", shape.gpu_label)
    return int(said[1]) if said else 80


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _startup(place: Path, script: str, *, first: bool) -> list[str]:
    """Return how to start the script: ours at each boot, another's at the first only, as startup scripts are run."""
    try:
        parse_script(script)
    except InvalidRequest:
        if not first or not script.strip():
            return ["true"]
        return [str(place)] if script.startswith("#!") else ["sh", str(place)]
    return ["sh", str(place)]


def _is_within(folder: str, parent: str) -> bool:
    return (os.path.realpath(folder) + "/").startswith(os.path.realpath(parent).rstrip("/") + "/")


def _checked(name: str) -> str:
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} can't name a folder")
    return name


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        raise NoRoom(
            f"this machine can't hold another node: {exc.strerror}", hint="make room and try again"
        ) from exc
