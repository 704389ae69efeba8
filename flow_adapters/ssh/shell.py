"""The shell role over SSH: the synchronous door to the room in which connections live.

asyncssh takes a fifth of a second to load, so this file names it only where a node is about to be talked to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_adapters.ssh.doors import Doors
from flow_adapters.ssh.early import Early
from flow_adapters.ssh.lines import call_line, terminal_line
from flow_adapters.ssh.lone import LoneCalls
from flow_adapters.ssh.openssh import (
    OWN_FAILURE,
    on_the_way,
    quoted,
    ssh_options,
    ssh_settings,
    ssh_words,
)
from flow_adapters.ssh.trust import KnownNodes, fingerprint
from flow_core.domain.allocation import Node
from flow_core.errors import NodeUnreachable
from flow_core.ports.shell import Call, Events, NodeLost, NodeOutput

if TYPE_CHECKING:
    from flow_adapters.ssh.fanout import Job
    from flow_adapters.ssh.inside import Inside
    from flow_adapters.ssh.piped import Way
    from flow_adapters.ssh_ahead import Logins
    from flow_core.domain.code import Bundle
    from flow_core.ports.code import Packing
    from flow_core.ports.ssh import KeyChange

#: Runs a line as root for a user who isn't; a node without the program runs it as that user.
SUDO = ("sudo", "-n", "-H")
CONNECT_S = 15.0
#: A name that no setting of the user's is about, but for those about all hosts.
NOBODY = "flow-nobody.invalid"


class SshShell:
    """Implements `ports.shell.RemoteShell` and `ports.ssh.Ssh` for nodes with an address. Threads may share one.

    `state_dir` is where host keys are remembered, in `known_nodes`. `keys` are private key files, offered before the
    agent's; without any, the usual ones of `home/.ssh` are. `home` is where `.ssh/config` is looked for.
    `ask_passphrase` is called in the caller's thread. `sudo` is put before what runs for users other than root; empty,
    everything runs as the user who logs in. `ssh` is OpenSSH's client, for terminals, lone calls and uploads to one
    node; None does without. `logins` are those that begin before a process has loaded; none do without.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        keys: Sequence[Path] = (),
        workspace: str = "/workspace",
        home: Path | None = None,
        ask_passphrase: Callable[[Path], str | None] | None = None,
        connect_timeout_s: float = CONNECT_S,
        sudo: Sequence[str] = SUDO,
        flow_home: str | None = None,
        ssh: str | None = "ssh",
        logins: Logins | None = None,
    ) -> None:
        from flow_adapters.ssh.room import Room

        self.known_nodes = KnownNodes(Path(state_dir) / "known_nodes")
        self._keys = tuple(Path(key).expanduser() for key in keys)
        self._workspace = workspace
        self._ssh_folder = (home or Path.home()) / ".ssh"
        self._has_own_home = home is not None
        self._ask = ask_passphrase
        self._timeout_s = connect_timeout_s
        self._sudo = tuple(sudo)
        self._flow_home = flow_home
        self._ssh = ssh
        self._ways: dict[str, Mapping[str, Sequence[str]]] = {}
        self._doors = Doors()
        self._logins = logins
        self._lone = LoneCalls(
            doors=self._doors,
            ahead=logins.own if logins is not None else None,
            way=self._way,
            line=self._line,
        )
        self._early = Early(self._ssh_folder / "config")
        self._lock = threading.Lock()
        self._inside: Inside | None = None
        self._room = Room(at_close=self._leave)

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`. Nothing is run before the first event is asked for."""
        if len(calls) == 1 and calls[0].lone and calls[0].stdin == b"":
            return self._called(calls[0], timeout_s)
        return self._run_many(calls, timeout_s)

    def _run_many(self, calls: Sequence[Call], timeout_s: float | None) -> Events:
        if self._inside is None:
            self._early.begin(call.node for call in calls)
        from flow_adapters.ssh.fanout import CallJob

        def job(call: Call) -> Job:
            target = self._open().target(call.node)
            return CallJob(
                call, target, self._line(call.node, call.line), self._sudo_for(call.node)
            )

        return self._done(((call.node, partial(job, call)) for call in calls), timeout_s)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`. Nothing is sent before the first event is asked for."""
        from flow_adapters.ssh.upload_talk import upload_line

        text = upload_line(bundle, target=target)
        return (self._uploaded if len(nodes) == 1 else self._upload)(nodes, bundle, text)

    def _upload(self, nodes: Collection[Node], bundle: Bundle | Packing, text: str) -> Events:
        from flow_adapters.ssh.uploading import Upload, UploadJob
        from flow_core.ports.code import taken

        upload = Upload(bundle, nodes)

        def job(node: Node) -> Job:
            place = self._open().target(node)
            return UploadJob(node, place, self._line(node, text), self._sudo_for(node), upload)

        yield from self._done(((node, partial(job, node)) for node in nodes), None)
        taken(bundle)  # or says why not

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`. OpenSSH's own client does it, where this machine has one."""
        text = terminal_line(
            line,
            workspace=self._workspace,
            sudo=self._sudo_for(node),
            flow_home=self._flow_home,
            # Describes the very terminal that is given away, as TERM does.
            colours=os.environ.get("COLORTERM", "") if os.isatty(0) else "",
        )
        if node.address is None:
            raise _unreachable(node, "it has no address yet")
        if self._ssh is not None and shutil.which(self._ssh) is not None:
            if self.known_nodes.key_of(node.id) is None:
                self._reach(node)
            door, is_terminal = self._doors.to(node), os.isatty(0)
            options = self.ssh_options(node)
            words = ssh_words(
                self._ssh, node, text, options=options, door=door, has_terminal=is_terminal
            )
            code = subprocess.call(words)
            if code == OWN_FAILURE:
                # Says why there was no connection; if there is one, the command ended so.
                self._reach(node)
            return code
        return self._attached(node, text)

    @contextmanager
    def forward(self, node: Node, port: int, *, local_port: int = 0) -> Iterator[int]:
        """See `RemoteShell.forward`."""
        from flow_adapters.ssh.forwarding import Forwarding
        from flow_adapters.ssh.reasons import Lost

        inside = self._open()
        try:
            forwarding = Forwarding(inside.connections, inside.target(node), port)
            listening = self._room.run(forwarding.open(local_port))
        except Lost as lost:
            raise _unreachable(node, str(lost)) from lost
        try:
            yield listening
        finally:
            self._room.run(forwarding.close())

    def ssh_options(self, node: Node) -> list[str]:
        """Return what OpenSSH's programs must be told to reach `node`, which has an address, as this shell does."""
        config = self._ssh_folder / "config"
        return ssh_options(
            node,
            known=self.known_nodes.path,
            keys=self._keys,
            config=config if self._has_own_home and config.is_file() else None,
            timeout_s=self._timeout_s,
        )

    def settings(self, node: Node) -> Mapping[str, Sequence[str]]:
        """See `ports.ssh.Ssh.settings`."""
        assert node.address is not None
        told = ssh_settings(node, known=self.known_nodes.path, timeout_s=self._timeout_s)
        keys = [quoted(key) for key in self._keys]
        found: dict[str, list[str]] = {"HostName": [node.address.host]}
        found |= {name: [value] for name, value in told.items()}
        found |= {name: list(values) for name, values in self._way_to(node.address.host).items()}
        if keys:
            found["IdentityFile"] = [*keys, *found.get("IdentityFile", [])]
        return found

    def meet(self, nodes: Collection[Node]) -> Mapping[str, str]:
        """See `ports.ssh.Ssh.meet`."""
        from flow_adapters.ssh.fanout import met
        from flow_adapters.ssh.reasons import Lost

        strangers = [node for node in nodes if self.known_nodes.key_of(node.id) is None]
        if not strangers:
            return {}
        inside = self._open()
        reasons: dict[str, str] = {}
        targets = {}
        for node in strangers:
            try:
                targets[node.id] = inside.target(node)
            except Lost as lost:
                reasons[node.id] = str(lost)
        return {**reasons, **self._room.run(met(inside.connections, targets))}

    def introductions(self, nodes: Sequence[Node], hosts: Mapping[str, str]) -> Sequence[Call]:
        """See `ports.ssh.Ssh.introductions`."""
        from flow_adapters.ssh.introducing import introductions

        return introductions(nodes, hosts, known=self.known_nodes)

    def foresee(self, task: str, node: Node) -> None:
        """See `ports.ssh.Ssh.foresee`."""
        way = self._way(node, is_called=False)
        if way is not None and self._logins is not None:
            self._logins.keep(task, self._lone.words_ahead(way))

    def change(self, node: Node) -> KeyChange | None:
        """See `ports.ssh.Ssh.change`."""
        from flow_core.ports.ssh import KeyChange

        shown = self.known_nodes.refused.get(node.id)
        pinned = self.known_nodes.key_of(node.id)
        if shown is None or pinned is None or shown == pinned:
            return None
        return KeyChange(pinned=fingerprint(pinned), shown=fingerprint(shown), key=shown)

    def trust(self, node: Node, change: KeyChange) -> None:
        """See `ports.ssh.Ssh.trust`."""
        self.known_nodes.replace(node.id, change.key)

    def _way_to(self, host: str) -> Mapping[str, Sequence[str]]:
        """Return what the user's own settings say of the way to an address; asked once for each."""
        config = self._ssh_folder / "config"
        if self._ssh is None or not config.is_file() or shutil.which(self._ssh) is None:
            return {}
        if host not in self._ways:
            usual = self._ways.setdefault("", on_the_way(self._ssh, NOBODY, config=config))
            self._ways[host] = on_the_way(self._ssh, host, config=config, without=usual)
        return self._ways[host]

    def close(self) -> None:
        """End what still runs and close every connection; the next call opens new ones."""
        self._doors.close()
        self._room.close()

    def _done(
        self, work: Iterable[tuple[Node, Callable[[], Job]]], timeout_s: float | None
    ) -> Events:
        from flow_adapters.ssh.fanout import Fan
        from flow_adapters.ssh.reasons import Lost

        jobs: list[Job] = []
        for node, job in work:
            try:
                jobs.append(job())
            except Lost as lost:
                yield NodeLost(node, str(lost))
        if not jobs:
            self._early.close()
            return
        fan = self._room.run(Fan.begin(self._open().connections, jobs, timeout_s=timeout_s))
        left = len(jobs)
        try:
            while left:
                for event in fan.sink.take():
                    left -= not isinstance(event, NodeOutput)
                    yield event
        finally:
            self._early.close()
            fan.sink.shut()
            # The program may be leaving, and its room have ended everything already.
            if left and self._room.runs(fan.loop):
                self._room.run(fan.end())

    def _way(self, node: Node, *, keeps_door: bool = False, is_called: bool = True) -> Way | None:
        """Return how OpenSSH's client reaches a node that is known; one that `is_called` has no connection of ours."""
        from flow_adapters.ssh.algorithms import preferring
        from flow_adapters.ssh.piped import Way

        if (
            sys.platform == "win32"  # whose pipes can't be waited for together
            or self._ssh is None
            or (is_called and self._inside is not None)
            or node.address is None
            or self.known_nodes.key_of(node.id) is None
            or shutil.which(self._ssh) is None
        ):
            return None
        keeps = keeps_door and self._doors.open(node)
        door, options = self._doors.to(node), preferring(self.ssh_options(node))
        return Way(self._ssh, node, options, self._sudo_for(node), door, keeps)

    def _called(self, call: Call, timeout_s: float | None) -> Events:
        if not (yield from self._lone.run(call, timeout_s)):
            yield from self._run_many([call], timeout_s)

    def _uploaded(self, nodes: Collection[Node], bundle: Bundle | Packing, text: str) -> Events:
        (node,) = nodes
        if not (yield from self._lone.upload(node, bundle, text)):
            yield from self._upload(nodes, bundle, text)

    def _attached(self, node: Node, text: str) -> int:
        from flow_adapters.ssh.reasons import Lost
        from flow_adapters.ssh.terminal import attended, raw_terminal

        inside = self._open()
        sys.stdout.flush()
        try:
            with raw_terminal():
                return self._room.run(
                    attended(
                        inside.connections,
                        inside.target(node),
                        text,
                        has_terminal=os.isatty(0),
                        # Describes the very terminal that is given away.
                        term=os.environ.get("TERM", "xterm"),
                    )
                )
        except Lost as lost:
            raise _unreachable(node, str(lost)) from lost

    def _reach(self, node: Node) -> None:
        """Raise NodeUnreachable unless there is, or can be made, a connection to `node`."""
        from flow_adapters.ssh.reasons import Lost

        inside = self._open()
        try:
            self._room.run(inside.connections.reach(inside.target(node)))
        except Lost as lost:
            raise _unreachable(node, str(lost)) from lost

    def _open(self) -> Inside:
        from flow_adapters.ssh.inside import Inside

        with self._lock:
            self._doors.close()
            if self._inside is None or self._inside.loop is not self._room.loop():
                self._inside = Inside(
                    self._room,
                    known=self.known_nodes,
                    early=self._early,
                    keys=self._keys,
                    ssh_folder=self._ssh_folder,
                    ask=self._ask,
                    timeout_s=self._timeout_s,
                )
            return self._inside

    async def _leave(self) -> None:
        inside, self._inside = self._inside, None
        if inside is not None:
            await inside.connections.close()

    def _line(self, node: Node, line: str, *, keeps_code: bool = False) -> str:
        return call_line(
            line,
            keeps_code=keeps_code,
            workspace=self._workspace,
            sudo=self._sudo_for(node),
            flow_home=self._flow_home,
        )

    def _sudo_for(self, node: Node) -> tuple[str, ...]:
        return () if node.address is not None and node.address.user == "root" else self._sudo


def _unreachable(node: Node, reason: str) -> NodeUnreachable:
    return NodeUnreachable(f"node {node.rank} gave no answer: {reason}")
