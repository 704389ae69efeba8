"""Two nodes in two folders, with the kit in each, as the helper would start them: where batch scripts run for tests."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from flow_adapters.node_files import load_kit
from flow_cli.commands.slurm import conversion
from flow_core.domain.slurm.converting import members

KEY = "k" * 32


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody listens on, below those that systems give out."""
    for first in range(21_000 + os.getpid() % 1_000, 32_000, count):
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("", port)))
            except OSError:
                continue
            return first
    raise AssertionError("every port is taken")


class Nodes:
    """Nodes that share this host; each has a folder, and ends with the script."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.port = free_ports(count + 1)
        self.running: list[subprocess.Popen[str]] = []

    def env(self, rank: int) -> dict[str, str]:
        """What the helper tells a node of this rank."""
        home = self.folder / f"node{rank}"
        (home / "workspace").mkdir(parents=True, exist_ok=True)
        (home / "kit.zip").write_bytes(load_kit())
        return {
            "PATH": os.environ["PATH"],
            "FLOW_HOME": str(home),
            "FLOW_NODES": " ".join(["127.0.0.1"] * self.count),
            "FLOW_NUM_NODES": str(self.count),
            "FLOW_NODE_RANK": str(rank),
            "FLOW_GPUS": "4",
            "MASTER_PORT": str(self.port),
        }

    def run(self, directives: str, body: str) -> subprocess.CompletedProcess[str]:
        """Run a script over all nodes to its end; the others must end with it."""
        script = self.folder / "job.slurm"
        script.write_text(f"#!/bin/bash\n#SBATCH -N {self.count} {directives}\n{body}", "utf-8")
        found = conversion(str(script), (), environ={}, number=77, key=KEY)
        assert found.task is not None, found.refusals
        told = found.task["env"]
        assert isinstance(told, dict)
        env = {**told, **next((each.env for each in members(found)), {})}
        for rank in reversed(range(self.count)):
            own = {**self.env(rank), **env}
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", str(found.task["command"])],
                    cwd=Path(own["FLOW_HOME"]) / "workspace",
                    env=own,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
        first = self.running[-1]
        out, err = first.communicate(timeout=60)
        ends = [each.wait(timeout=20) for each in self.running[:-1]]
        assert [0] * (self.count - 1) == ends, [each.communicate() for each in self.running[:-1]]
        return subprocess.CompletedProcess([], first.returncode, out, err)

    def end(self) -> None:
        """Kill whatever is left."""
        for each in self.running:
            if each.poll() is None:
                each.kill()
            each.communicate()
