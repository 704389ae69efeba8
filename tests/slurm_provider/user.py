"""A person at the command line of a cluster, with a home of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from flow_adapters.clocks import SystemClock
from tests.slurm_provider.cluster import RunningCluster

#: Seconds after which a command hangs, and how often a state is looked at before it is given up.
HANGS_S = 180.0
LOOKS = 150


@frozen
class User:
    """Runs `flow --provider slurm` in a folder `code` below `home`."""

    home: Path
    cluster: RunningCluster
    #: Where programs are found before the system's.
    path: str = ""

    def run(self, *words: str, settings: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command; `settings` are lines for the provider's section."""
        folder = self.home / "code"
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [Path(sys.executable).parent / "flow", "--provider", "slurm", *words],
            cwd=folder,
            env=self.environ(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANGS_S,
            check=False,
        )

    def flow(self, *words: str, code: int = 0, settings: str = "") -> str:
        """Run a command that ends with `code`, and return what it wrote to both streams."""
        done = self.run(*words, settings=settings)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def task(self, name: str) -> dict[str, Any]:
        """What Flow says of one task."""
        done = self.run("status", name, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["task"]
        return found

    def until(self, name: str, **wanted: str) -> dict[str, Any]:
        """Look at a task until it says all that is wanted of it."""
        clock, task = SystemClock(), {}
        for _ in range(LOOKS):
            task = self.task(name)
            if all(text in str(task[key]) for key, text in wanted.items()):
                return task
            clock.sleep(0.1)
        raise AssertionError(f"{name} never had {wanted}: {task}")

    def environ(self, more: str = "") -> dict[str, str]:
        """A user's variables, with none of this process's but where programs are."""
        settings = self.home / "config"
        settings.mkdir(exist_ok=True)
        text = f'[slurm]\nfolder = "{self.home}/shared"\npython = "{sys.executable}"\n{more}'
        file = settings / "config.toml"
        # Only when it is another: a watcher that starts at this moment reads it too.
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
        return {
            "PATH": f"{self.path}{os.pathsep if self.path else ''}{self.cluster.environ['PATH']}",
            "SLURM_CONF": str(self.cluster.config),
            "HOME": str(self.home),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "FLOW_CONFIG_DIR": str(settings),
            "FLOW_STATE_DIR": str(self.home / "state"),
        }

    def names(self, begin: str = "") -> list[str]:
        """The names of what Slurm has of anybody's, those that begin so."""
        found = self.cluster.run("squeue", "-h", "-o", "%j").stdout.split()
        return [name for name in found if name.startswith(begin)]

    def left(self) -> list[str]:
        """The names of what Slurm still has some seconds later: nodes take a moment to go."""
        clock = SystemClock()
        for _ in range(LOOKS):
            if not self.names():
                break
            clock.sleep(0.1)
        return self.names()
