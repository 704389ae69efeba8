"""Following a log of 1,000,000 lines to its end, against `ssh host cat` of the same file: whole processes, by turns.

The log was written by the node helper itself, and is read through a real sshd. Both write to a file. What a process
takes to read nothing is told too, since starting Python is most of it. The node's host key is known to both, as it is
once the watcher has been there, which also lets the login begin ahead; what it takes without is told, too.
"""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from flow_adapters.node_files import load_node_files
from flow_core.domain.script import NodeTask, render_script
from tests.benchmarks.cloud_sessions import shell_in
from tests.benchmarks.harness import Effort, Measured, by_turns, median, process, surroundings
from tests.ssh.cloud import Cloud
from tests.ssh.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
LINES, SHARE, ROUNDS = 1_000_000, 1.2, 5
#: What a training says of a step; 70 bytes.
_SAY = (
    "awk 'BEGIN { for (n = 1; n <= %d; n++) printf "
    '"step %%07d loss 0.%%06d lr 3.0e-04 tokens/s 412345 mfu 0.41 grad 1.2\\n", n, n %% 999983 }\''
)


def following(effort: Effort) -> list[Measured]:
    """`flow logs -f` of a finished log, and cat."""
    with _site(LINES // 10 if effort.is_quick else LINES) as site:
        ways = {
            "flow": site.flow,
            "first": site.first,
            "cat": site.cat,
            "no flow": lambda: site.flow("--tail", "0"),
            "no cat": lambda: site.cat("true"),
        }
        site.watch()
        found = by_turns(ways, runs=min(effort.runs, ROUNDS))
        size = (site.home / "log").stat().st_size / 1e6
    took, peer = median(found["flow"]), median(found["cat"])
    alone, peer_alone = median(found["no flow"]), median(found["no cat"])
    return [
        Measured(
            name="flow logs -f, 1,000,000 lines",
            value=took,
            limit=SHARE * peer,
            peer=peer,
            note=f"at most {SHARE} × ssh host cat, which took {peer:.2f} s for {size:.0f} MB",
            runs=found["flow"],
        ),
        Measured(
            name="the same, of a task that neither watcher nor user looked at",
            value=median(found["first"]),
            peer=peer,
            note="no login begins ahead",
            runs=found["first"],
        ),
        Measured(
            name="the same, but for reading nothing",
            value=took - alone,
            peer=peer - peer_alone,
            note=f"reading nothing takes {alone:.2f} s, and ssh host true {peer_alone:.2f} s",
        ),
    ]


@frozen
class _Site:
    """A server whose FLOW_HOME has a whole log, and both ways to read it."""

    folder: Path
    home: Path
    sshd: Sshd

    def watch(self) -> None:
        """Meet the node, and let the login to it begin ahead, as the watcher does."""
        cloud = Cloud(**json.loads(self._cloud().read_text()))
        shell, [node] = shell_in(cloud), cloud.nodes()
        shell.meet([node])
        shell.foresee("train", node)
        shell.close()

    def flow(self, *words: str) -> float:
        """Follow the log as a whole process, into a file; or read as `words` say."""
        environ = surroundings(HOME=str(self.folder), PYTHONPATH=str(ROOT))
        environ.pop("SSH_AUTH_SOCK", None)
        shutil.rmtree(self.folder / "cloud" / "logs", ignore_errors=True)
        flow = [sys.executable, "-m", "tests.benchmarks.flow_in_cloud", str(self._cloud())]
        return self._whole([*flow, "logs", "train", *(words or ["-f"])], environ, not words)

    def first(self) -> float:
        """Follow it as who has never looked at the task."""
        kept = self.folder / "state" / "ahead"
        assert kept.is_dir()
        shutil.rmtree(kept)
        return self.flow()

    def cat(self, line: str = "") -> float:
        """Read the same file by OpenSSH; or run `line`."""
        ssh = (
            f"ssh -F none -p {self.sshd.port} -i {self.sshd.user_key} -o IdentitiesOnly=yes"
            " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        )
        words = [*ssh.split(), f"{getpass.getuser()}@127.0.0.1", line or f"cat {self.home}/log"]
        return self._whole(words, surroundings(), not line)

    def _whole(self, words: Sequence[str], environ: dict[str, str], is_all: bool) -> float:
        out = self.folder / "out"
        took = process(["sh", "-c", f'exec "$@" > {out}', "sh", *words], env=environ, cwd=ROOT)
        assert out.stat().st_size == is_all * (self.home / "log").stat().st_size
        return took

    def _cloud(self) -> Path:
        folder = self.folder / "cloud"
        if not folder.exists():
            folder.mkdir()
            (folder / "flow-home").symlink_to(self.home)
            (folder / "state").symlink_to(self.folder / "state")
        cloud = Cloud(folder=str(folder), key=str(self.sshd.user_key), ports=[self.sshd.port])
        return cloud.saved(folder / "cloud.json")


@contextmanager
def _site(lines: int) -> Iterator[_Site]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = folder / "flow"
        home.mkdir()
        (folder / "state").mkdir()
        task = NodeTask(name="train", token="abcdef", command=_SAY % lines, workspace=place)
        environ = surroundings(FLOW_HOME=str(home), FLOW_FOREGROUND="1", FLOW_PYTHON=sys.executable)
        script = render_script(task, files=load_node_files())
        subprocess.run(["bash", "-c", script], env=environ, check=True)
        sshd = Sshd(folder / "sshd")
        sshd.start()
        try:
            yield _Site(folder, home, sshd)
        finally:
            sshd.stop()
