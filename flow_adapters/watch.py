"""The watcher process as commands see it: start it, and know by its lock whether it runs.

The lock is the truth: it ends with the process, however that ends. A watcher that was started and hasn't taken its
lock yet counts as on its way for a few seconds. Secrets that only this process's environment holds go to it over a
pipe, never through its arguments or environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from flow_adapters.locks import is_held
from flow_core.errors import Misconfigured, NoRoom
from flow_core.ports.clock import Clock

LOCK_NAME = "watcher.lock"
LOG_NAME = "watcher.log"
TROUBLE_NAME = "watcher.trouble"
#: How long a watcher may take from its start to its lock, in real time.
START_PATIENCE = timedelta(seconds=15)
_TRIES = 3


class Detached(subprocess.Popen[bytes]):
    """A process that is meant to outlive this one, so letting go of it is no mistake to be warned of."""

    def __del__(self) -> None:
        pass


class ProcessWatch:
    """Implements `ports.watch.Watch` with one detached process per state folder."""

    def __init__(
        self,
        state_dir: Path,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._environ = {name: value for name, value in environ.items() if name not in secrets}
        self._secrets = dict(secrets)
        self._child: Detached | None = None
        self._started_at = clock.now()
        self._tries = 0

    def is_running(self) -> bool:
        """See `Watch.is_running`."""
        return is_held(self._state_dir / LOCK_NAME)

    def trouble(self) -> str | None:
        """See `Watch.trouble`."""
        try:
            return (self._state_dir / TROUBLE_NAME).read_text("utf-8", "replace").strip() or None
        except OSError:
            return None

    def ensure(self) -> None:
        """See `Watch.ensure`."""
        if self._is_on_its_way() or self.is_running():
            return
        if self._tries >= _TRIES:
            raise Misconfigured(
                f"the watcher did not start, {self._tries} times: {self._last_words()}",
                hint=f"its own account is in {self._state_dir / LOG_NAME}",
            )
        self._tries += 1
        self._start()

    def _is_on_its_way(self) -> bool:
        if self._child is None or self._child.poll() is not None:
            return False
        return self._clock.now() - self._started_at < START_PATIENCE

    def _start(self) -> None:
        self._started_at = self._clock.now()
        command = [sys.executable, "-m", "flow_adapters.watch_process", str(self._state_dir)]
        try:
            log = os.open(self._state_dir / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._child = Detached(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._state_dir,
                    env=self._environ,
                    start_new_session=True,
                    close_fds=True,
                )
            finally:
                os.close(log)
        except OSError as trouble:
            raise NoRoom(
                f"the watcher could not be started: {trouble}", hint="nothing was bid"
            ) from trouble
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):
                self._child.stdin.write(json.dumps(self._secrets).encode() + b"\n")
                self._child.stdin.close()

    def _last_words(self) -> str:
        try:
            text = (self._state_dir / LOG_NAME).read_text("utf-8", "replace")
        except OSError:
            return "it left no word"
        return (text.strip().splitlines() or ["it left no word"])[-1]
