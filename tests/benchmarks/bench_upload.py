"""`flow upload` against rsync over the same SSH: 10,000 files of 200 MB to one node, one file changed, eight nodes.

All files lie in memory where there is enough of it: each run writes gigabytes.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.benchmarks.cloud_sessions import shell_in
from tests.benchmarks.harness import Effort, Measured, by_turns, median, process, surroundings
from tests.ssh.cloud import Cloud
from tests.ssh.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
FILES, FOLDERS, BYTES = 10_000, 100, 200_000_000
NODES = 8
FIRST, AGAIN_S, MANY = 1.3, 0.3, 0.6
ROUNDS = 5


def upload(effort: Effort) -> list[Measured]:
    """One node the first time and again; then eight nodes."""
    files, nodes = (1_000, 2) if effort.is_quick else (FILES, NODES)
    rounds = min(effort.runs, ROUNDS)
    with _site(files, nodes) as site:
        first = by_turns(
            {"flow": lambda: site.flow(1), "rsync": lambda: site.rsync(1)}, runs=rounds
        )
        again = by_turns(
            {
                "flow": lambda: site.flow(1, again=True),
                "rsync": lambda: site.rsync(1, again=True),
            },
            runs=rounds,
        )
        many = by_turns(
            {"flow": lambda: site.flow(nodes), "rsync": lambda: site.rsync(nodes)},
            runs=min(rounds, 3),
        )
    size = f"{files:,} files, {BYTES * files // FILES // 1_000_000} MB"
    once = median(again["rsync"])
    return [
        _line(f"flow upload, {size}", first, FIRST * median(first["rsync"]), f"{FIRST} × rsync -a"),
        _line("flow upload, one file changed", again, once + AGAIN_S, f"rsync + {AGAIN_S} s"),
        _line(
            f"flow upload, {nodes} nodes", many, MANY * median(many["rsync"]),
            f"{MANY} × {nodes} rsyncs in a row",
        ),
    ]  # fmt: skip


def _line(name: str, found: dict[str, tuple[float, ...]], limit: float, against: str) -> Measured:
    value, peer = median(found["flow"]), median(found["rsync"])
    note = f"at most {against}; rsync took {peer:.2f} s"
    return Measured(name=name, value=value, peer=peer, limit=limit, note=note, runs=found["flow"])


@define
class _Site:
    """Servers with homes of their own, a folder to upload, and the two programs that do."""

    folder: Path
    code: Path
    servers: list[Sshd]
    changes: int = field(default=0)

    def flow(self, count: int, *, again: bool = False) -> float:
        """Run `flow upload` to `count` nodes as a whole process."""
        self._prepare(count, "work", again=again)
        if not again:
            shutil.rmtree(self.folder / "code-store", ignore_errors=True)
        words = [sys.executable, "-m", "tests.benchmarks.flow_in_cloud", str(self._file(count))]
        environ = surroundings(HOME=str(self.folder), PYTHONPATH=str(ROOT))
        environ.pop("SSH_AUTH_SOCK", None)
        return process([*words, "upload", "train", str(self.code)], env=environ)

    def rsync(self, count: int, *, again: bool = False) -> float:
        """Run rsync to `count` nodes, one after another."""
        self._prepare(count, "rsync", again=again)
        took = 0.0
        for server in self.servers[:count]:
            ssh = (
                f"ssh -F none -p {server.port} -i {self.servers[0].user_key} -o IdentitiesOnly=yes"
                " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
            )
            target = f"{getpass.getuser()}@127.0.0.1:rsync/"
            took += process(["rsync", "-a", "-e", ssh, f"{self.code}/", target])
        return took

    def _prepare(self, count: int, name: str, *, again: bool) -> None:
        if again:
            self.changes += 1
            place = f"d{self.changes % FOLDERS:02}/f0"
            (self.code / place).write_bytes(random.Random(self.changes).randbytes(20_000))
            return
        for server in self.servers[:count]:
            shutil.rmtree(server.home / name, ignore_errors=True)
        os.sync()

    def _file(self, count: int) -> Path:
        cloud = Cloud(
            folder=str(self.folder),
            key=str(self.servers[0].user_key),
            ports=[each.port for each in self.servers[:count]],
        )
        return cloud.saved(self.folder / f"cloud-{count}.json")

    def introduce(self) -> None:
        """Have the nodes know each other, as a delivery does."""
        file = self._file(len(self.servers))
        cloud = Cloud(**json.loads(file.read_text()))
        shell, nodes = shell_in(cloud), cloud.nodes()
        shell.meet(nodes)
        hosts = {node.id: "127.0.0.1" for node in nodes}
        for _ in shell.run_many(shell.introductions(nodes, hosts)):
            pass
        shell.close()


@contextmanager
def _site(files: int, nodes: int) -> Iterator[_Site]:
    with tempfile.TemporaryDirectory(dir=_in_memory()) as place:
        folder = Path(place)
        code = folder / "code"
        chance = random.Random(1)
        for number in range(files):
            path = code / f"d{number % FOLDERS:02}" / f"f{number // FOLDERS}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(BYTES // FILES))
        servers: list[Sshd] = []
        try:
            for number in range(nodes):
                servers.append(_server(folder / f"server{number}"))
                keys = servers[0].authorized_keys.read_text()
                servers[-1].authorized_keys.write_text(keys)
            site = _Site(folder, code, servers)
            site.introduce()
            yield site
        finally:
            for server in servers:
                server.stop()


def _in_memory() -> str | None:
    """Where files are kept in memory, so that a disk's speed counts for neither; None where there is no room."""
    memory = Path("/dev/shm")
    free = shutil.disk_usage(memory).free if memory.is_dir() else 0
    return str(memory) if free > 4 * NODES * BYTES else None


def _server(folder: Path) -> Sshd:
    own = f"AuthorizedKeysFile {folder}/authorized_keys {folder}/home/.ssh/authorized_keys"
    enter = 'ForceCommand cd "$HOME" && eval "$SSH_ORIGINAL_COMMAND"'
    server = Sshd(folder, settings=(own, enter))
    server.start()
    return server
