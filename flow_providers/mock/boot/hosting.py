"""Plays nodes as machines that boot: namespaces over an overlay of this machine, SSH on loopback.

A node is `<root>/nodes/<id>/`: `disk` (its boot disk: what it changed), `local` (its fast disk), `view` (where its root
is put together, empty for everybody else), `node.json` (how it boots), `power.json` (whether it should be up),
`address.json`, `host_key`, `console` (what its keeper says) and, as a link, `flow` (what Flow's helper keeps on it).

Everything is on disk and every node is a process tree of its own, so a simulator that comes back finds its nodes
as they are. Only what answers on SSH lives here, between `open` and `close`.

Where no node can be made, `why_bare` says so. Nodes are then mere folders: no startup script, no services, no mounts,
and a shell as this machine's own user (as nobody, where that is root).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path

from flow_core.domain.allocation import Address, Notice, NoticeKind
from flow_core.domain.bid import Launch
from flow_core.domain.run import LogChunk, RunReport
from flow_core.domain.volume import Attachment
from flow_core.errors import NoRoom, NotFound
from flow_providers.mock.boot import addresses, loops, machine
from flow_providers.mock.boot.door import Door
from flow_providers.mock.boot.plans import plan
from flow_providers.mock.boot.signal_file import put_signal
from flow_providers.mock.node_folder import NodeFolder, read_json, wait_until_free, write_text
from flow_providers.mock.nodes import HostedNode
from flow_providers.mock.process_nodes import Times

#: Real seconds that a node's services have to end when it is stopped.
GRACE_S = 30.0
_SSH = 22
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_START = '"$@" </dev/null >>"$0" 2>&1 &'
_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from pathlib import Path;"
    "from flow_providers.mock.boot import machine as m;"
)
_PLAY = _RUN + "sys.exit(m.main(Path(sys.argv[1]), int(sys.argv[2])))"
_TRY = _RUN + "sys.exit(m.attempt(Path(sys.argv[1])) or 0)"
_TRIED_WITHIN_S = 20.0


class BootingNodes:
    """Implements `nodes.NodeHost` with machines that boot. `port` is the SSH port asked for on each address."""

    def __init__(
        self,
        root: Path,
        *,
        times: Times | None = None,
        grace_s: float = GRACE_S,
        port: int = _SSH,
        why_bare: str | None = None,
    ) -> None:
        self._root = Path(root).absolute()
        self._times = times or Times()
        self._grace_s = grace_s
        self._port = port
        self._bare_by_wish = why_bare
        self._door = Door()
        self._lock = threading.RLock()
        self._attended: set[str] = set()

    def open(self) -> None:
        """Answer on SSH for every node that is on; one whose processes this machine has lost boots again."""
        with self._lock:
            self._door.open()
            for folder in sorted((self._root / "nodes").glob("*/power.json")):
                node = folder.parent
                wanted, number = NodeFolder(node).power()
                if wanted == "on":
                    if not NodeFolder(node).is_up():
                        self._start(node, number)
                    self._attend(node.name)

    def close(self) -> None:
        """Answer no more; the nodes go on."""
        with self._lock:
            self._door.close()
            self._attended.clear()

    def __enter__(self) -> BootingNodes:
        """Open it."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @cached_property
    def why_bare(self) -> str | None:
        """Why nodes are mere folders here, in a sentence; None where they boot. Tried once, in about 0.2 s."""
        if self._bare_by_wish is not None:
            return self._bare_by_wish
        if not sys.platform.startswith("linux"):
            return "only Linux has the namespaces that a node is made of"
        self._root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".try-", dir=self._root))
        try:
            tried = subprocess.run(
                [*_python(_TRY), str(folder)],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TRIED_WITHIN_S,
            )
        except subprocess.TimeoutExpired:
            return "a node that was tried never came up"
        finally:
            machine.remove(folder)
        return (tried.stderr.strip() or "it can't be told why") if tried.returncode else None

    def script_problem(self, script: str) -> str | None:
        """Return why nodes here can't run a startup script; None if they can, or if there is none."""
        if not script.strip() or self.why_bare is None:
            return None
        return f"startup scripts can't be run on this machine: {self.why_bare}"

    def boot(self, node: HostedNode, launch: Launch, *, at: datetime) -> None:
        """See `NodeHost.boot`. Returns before the node is up.

        Raises:
            NoRoom: this machine's disk or process table is full; what was begun may be begun again.
        """
        folder = self.folder(node.id)
        kept = NodeFolder(folder)
        with self._lock, _room():
            wanted, number = kept.power()
            if wanted == "gone" or (wanted == "on" and kept.is_up()):
                return
            self._prepare(node, launch)
            number += wanted != "on"
            kept.set_power("on", number)
            self._start(folder, number)
            self._attend(node.id)
        self._tell_fellows(node.bid_id)

    def notify(self, node_id: str, notice: Notice | None) -> None:
        """See `NodeHost.notify`: the node's signal file comes and goes."""
        deadline = None if notice is None else self._times.real(notice.deadline)
        moving = notice is not None and notice.kind is NoticeKind.RELOCATION
        put_signal(self._disk(node_id), deadline, is_moving=moving)

    def stop(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.stop`. Services have some seconds to end; `/mnt/local` is emptied."""
        self._switch(node_id, "off", signal.SIGTERM)

    def destroy(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.destroy`. The disks go when the last process has; that needs nobody's waiting."""
        self._switch(node_id, "gone", signal.SIGTERM)

    def lose(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.lose`."""
        if NodeFolder(self.folder(node_id)).power()[0] == "on":
            self._switch(node_id, "lost", signal.SIGUSR1)

    def report(self, node_id: str) -> RunReport | None:
        """See `NodeHost.report`; a node whose script isn't Flow's has none."""
        with contextlib.suppress(ValueError, OSError):
            return NodeFolder(self.folder(node_id)).report(at=self._times.simulated)
        return None

    def read(self, node_id: str, *, offset: int, limit: int) -> LogChunk | None:
        """See `NodeHost.read`; a node whose script isn't Flow's has no log while it lives."""
        folder = NodeFolder(self.folder(node_id))
        with contextlib.suppress(ValueError, OSError):
            return folder.read_log(offset=offset, limit=limit, at=self._times.simulated)
        return None

    def create_volume(self, volume_id: str) -> None:
        """See `NodeHost.create_volume`."""
        with _room():
            self.volume(volume_id).mkdir(parents=True, exist_ok=True)

    def delete_volume(self, volume_id: str) -> None:
        """See `NodeHost.delete_volume`."""
        machine.remove(self.volume(volume_id))

    def mount_problem(self, attachments: tuple[Attachment, ...]) -> str | None:
        """Return why nodes can't have these volumes; None if they can."""
        if not attachments or self.why_bare is None:
            return None
        return f"volumes can't be attached on this machine: {self.why_bare}"

    def block_problem(self) -> str | None:
        """Return why nodes can't have block volumes; None if they can."""
        return self.why_bare or loops.problem()

    def next_event_at(self) -> datetime | None:
        """Return None: when a real machine does something is not known."""
        return None

    def address(self, node_id: str) -> Address | None:
        """Return where the node answers on SSH, once it is up; None for one that was never booted, or is gone."""
        found = read_json(self.folder(node_id) / "address.json")
        return Address(found["host"], found["port"], addresses.USER) if found else None

    def is_up(self, node_id: str) -> bool:
        """Whether any process of the node lives."""
        return NodeFolder(self.folder(node_id)).is_up()

    def console(self, node_id: str) -> str:
        """Return what the node's keeper has said: why it did not boot, for one."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder(node_id) / "console").read_text(errors="replace")
        return ""

    def change_host_key(self, node_id: str) -> None:
        """Give the node another host key, as a machine has that was put up anew at the same address.

        Raises:
            NotFound: no such node was ever booted here.
        """
        folder = self.folder(node_id)
        if not (folder / "node.json").exists():
            raise NotFound(f"no node {node_id!r} was booted here")
        with self._lock:
            self._host_key(node_id, fresh=True)
            if node_id in self._attended:
                self._door.let_go(node_id)
                self._attended.discard(node_id)
                self._attend(node_id)

    def forget(self) -> None:
        """End every node at once and drop all there is of nodes and volumes; returns when nothing runs any more."""
        for folder in sorted((self._root / "nodes").glob("*")):
            self._switch(folder.name, "gone", signal.SIGUSR1)
            self._tell_keeper(folder, signal.SIGUSR1)
            wait_until_free(folder / "init.lock")
        for name in ("nodes", "volumes"):
            machine.remove(self._root / name)

    def folder(self, node_id: str) -> Path:
        """Return where the node lives."""
        return self._root / "nodes" / _checked(node_id)

    def volume(self, volume_id: str) -> Path:
        """Return where the volume lives: `files` of a file volume, `block` of a block volume."""
        return self._root / "volumes" / _checked(volume_id)

    def _disk(self, node_id: str) -> Path:
        return self.folder(node_id) / "disk" / "upper"

    def _prepare(self, node: HostedNode, launch: Launch) -> None:
        folder = self.folder(node.id)
        for name in ("disk/upper/opt", "local", "view"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not (folder / "flow").is_symlink():
            (folder / "flow").symlink_to("disk/upper/opt/flow")
        address = self._addressed(node.id)
        write_text(folder / "keys", "".join(f"{key}\n" for key in node.keys))
        self._host_key(node.id)
        script = launch.script
        if (problem := self.script_problem(script)) is not None:
            script = ""
            with (folder / "console").open("a") as console:
                console.write(f"node: {problem}\n")
        written = plan(
            node,
            script,
            address=address.host,
            is_bare=self.why_bare is not None,
            hidden=self._root,
            grace_s=self._grace_s,
            volume=self.volume,
        )
        write_text(folder / "node.json", json.dumps(written))
        written["fellows"] = self._fellows(node.bid_id)
        write_text(folder / "node.json", json.dumps(written))

    def _start(self, folder: Path, number: int) -> None:
        arguments = ["/bin/sh", "-c", _START, str(folder / "console")]
        arguments += [*_python(_PLAY), str(folder), str(number)]
        env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        subprocess.run(arguments, env=env, cwd=folder, start_new_session=True, check=False)

    def _attend(self, node_id: str) -> None:
        if node_id in self._attended or not self._door.is_open:
            return
        held, address = addresses.bound(
            node_id, before=self.address(node_id), taken=self._hosts(), port=self._port
        )
        self._keep_address(node_id, address)
        self._attended.add(node_id)
        folder = self.folder(node_id)
        self._door.attend(node_id, folder, held, address, (folder / "host_key").read_bytes())

    def _addressed(self, node_id: str) -> Address:
        found = self.address(node_id)
        if found is not None:
            return found
        held, address = addresses.bound(node_id, before=None, taken=self._hosts(), port=self._port)
        held.close()
        self._keep_address(node_id, address)
        return address

    def _keep_address(self, node_id: str, address: Address) -> None:
        told = {"host": address.host, "port": address.port}
        write_text(self.folder(node_id) / "address.json", json.dumps(told))

    def _hosts(self) -> set[str]:
        places = (self._root / "nodes").glob("*/address.json")
        return {found["host"] for place in places if (found := read_json(place))}

    def _host_key(self, node_id: str, *, fresh: bool = False) -> None:
        import asyncssh

        place = self.folder(node_id) / "host_key"
        if fresh or not place.exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            write_text(place, key.export_private_key().decode())

    def _fellows(self, bid_id: str) -> list[tuple[str, str]]:
        found = []
        for place in (self._root / "nodes").glob("*/node.json"):
            told = read_json(place)
            if told.get("bid") == bid_id and NodeFolder(place.parent).power()[0] != "gone":
                found.append((told["rank"], told["address"], told["name"]))
        return [(address, name) for _, address, name in sorted(found)]

    def _tell_fellows(self, bid_id: str) -> None:
        fellows = self._fellows(bid_id)
        if len(fellows) < 2:
            return
        for place in (self._root / "nodes").glob("*/node.json"):
            told = read_json(place)
            if told.get("bid") == bid_id:
                write_text(place, json.dumps({**told, "fellows": fellows}))
                self._door.tell_hosts(place.parent, fellows)

    def _switch(self, node_id: str, to: str, number: signal.Signals) -> None:
        """Write down that the node is not wanted, then tell its keeper; without one, clear up here."""
        folder = self.folder(node_id)
        kept = NodeFolder(folder)
        with self._lock:
            wanted, count = kept.power()
            if not folder.exists() or wanted == "gone":
                return
            kept.set_power(to, count)
            if node_id in self._attended:
                self._door.let_go(node_id)
                self._attended.discard(node_id)
            if to == "gone":
                (folder / "address.json").unlink(missing_ok=True)
        first = read_json(folder / "init.pid")
        if first.get("number") == count and kept.is_up():
            self._tell_keeper(folder, number)
        elif not first or not kept.is_up():
            # Without a name, a keeper that still lives is on its way out, and past asking what is wanted.
            wait_until_free(folder / "init.lock")
            machine.clear(folder)

    def _tell_keeper(self, folder: Path, number: signal.Signals) -> None:
        first = read_json(folder / "init.pid")
        if first and NodeFolder(folder).is_up():
            with contextlib.suppress(ProcessLookupError):
                os.kill(first["pid"], number)


def _python(program: str) -> list[str]:
    return [sys.executable, "-I", "-c", program, json.dumps(sys.path)]


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
