"""What an agent does for the tasks of a step, at the moments that are hard to hit with processes."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

from flow_core.node.slurm.agent import Step


class Told(Step):
    """A step whose tasks are told to end before their start is known."""

    def start(self, task: dict[str, Any]) -> Any:
        """Tell it at the worst moment; where telling doesn't wait, it has told nobody once it is over."""
        child = super().start(task)
        telling = threading.Thread(target=self.tell, args=[signal.SIGTERM])
        telling.start()
        telling.join(0.2)
        return child


def test_a_task_that_just_starts_hears_that_its_node_stops(tmp_path: Path):
    """TERM that comes while a task is being started reaches it all the same."""
    read, write = os.pipe()
    asked = {
        "argv": ["sleep", "5"],
        "env": {"PATH": os.environ["PATH"]},
        "cwd": str(tmp_path),
        "workspace": str(tmp_path),
        "tasks": [{"id": 0, "env": {}}],
    }
    with os.fdopen(read, "rb") as hearing, os.fdopen(write, "wb"):
        said = io.BytesIO()
        stream = Both(hearing, said)
        Told(stream, asked, {}).run()

    assert b'{"exit": 0, "code": 143}\n{"over": true}\n' == said.getvalue()


class Both:
    """A stream with two ends: one to hear from, one to speak to."""

    def __init__(self, hearing: Any, said: io.BytesIO) -> None:
        self.hearing, self.write, self.flush = hearing, said.write, said.flush

    def __iter__(self) -> Any:
        """What the other side says."""
        return iter(self.hearing)
