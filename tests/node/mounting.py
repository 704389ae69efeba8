"""A bare node that may mount: its processes have mounts of their own, which end with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from flow_adapters.node_files import load_kit
from flow_core.domain.run import RunPhase
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, wait_for_bytes

KIT = load_kit()


class MountingNode(BareNode):
    """One node whose mounts nobody else sees; `before` is a line that its provider runs first."""

    before = "true"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"

    def start(self) -> subprocess.Popen[bytes]:
        """Boot the node with mounts of its own."""
        started = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f'{self.before}; exec sh "$0"', self._script],
            env={**self.env, "PATH": self.path},
        )
        self._started.append(started)
        return started

    def set_up(self, command: str, setup: dict[str, Any], **about: Any) -> None:
        """Run `command` on a node that sets up `setup` first, to its end."""
        self.take(command, wants_delivery=True, **about)
        started = self.start()
        self.deliver_setup(setup)
        for _ in range(2_000):
            if self.report().phase is RunPhase.EXITED:
                break
        started.wait(PATIENCE_S)

    def deliver_setup(self, setup: dict[str, Any], *, number: int = 1) -> None:
        """Deliver what to set up, once the node waits for it."""
        wait_for_bytes(self.home / "log")
        assert 0 == self.deliver(number, setup=setup, kit=KIT)

    def inside(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program among the node's mounts, while it lives."""
        return subprocess.run(
            ["nsenter", "-m", "-t", str(self._started[-1].pid), *words],
            env=self.env,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )

    @property
    def said(self) -> str:
        """All that its log holds."""
        return self.log().data.decode()

    def close(self) -> None:
        """End what still runs, what serves its mounts too."""
        super().close()
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = place.read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"s3fs") and str(self.home).encode() in b" ".join(words):
                os.kill(int(place.parent.name), signal.SIGKILL)


def mount_problem() -> str | None:
    """Why a bare node can't mount here; None where it can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "this machine has no unshare"
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return tried.stderr.decode().strip() if tried.returncode else None
