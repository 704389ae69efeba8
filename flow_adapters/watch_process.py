"""The watcher process: `python -m flow_adapters.watch_process STATE_DIR`, started by `ProcessWatch`.

Holds the lock, ticks the watcher of every provider that has something live, and exits when nothing is. Before it
exits it lets go of the lock and looks once more, so that a task journalled in that moment is not left alone.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from flow_adapters import places
from flow_adapters.clocks import SystemClock
from flow_adapters.files import write_whole
from flow_adapters.locks import hold
from flow_adapters.vault import HeldVault, serve, socket_of
from flow_adapters.watch import LOCK_NAME, TROUBLE_NAME
from flow_core.errors import FlowError
from flow_core.services.polling import intervals
from flow_core.services.session import Session

#: How long nothing may be live before the watcher goes, in real time: a burst of short tasks keeps one watcher.
LINGER = timedelta(seconds=2)
#: How often the journal is asked whether another process wrote, in real seconds.
GLANCE_S = 0.05
#: How long to leave a provider alone after it did not answer, in real time.
BACK_OFF = timedelta(seconds=10)
#: The longest rest between two looks while anything is live, in real seconds.
LONGEST_REST_S = 30.0
#: New objects between two looks for garbage, as in a command: what modules make while they load stays.
OBJECTS = 50_000
#: The longest while nodes come up, which then wait for what we bring them.
STARTING_REST_S = 1.0


class WatchLoop:
    """Ticks the sessions of every provider with live tasks until nothing is live."""

    def __init__(self, state_dir: Path, secrets: dict[str, str]) -> None:
        from flow_adapters.wiring import open_journal

        self._state_dir = state_dir
        self._secrets = secrets
        self._vault = HeldVault({**os.environ, **secrets})
        self._door = socket_of(state_dir, os.environ)
        serve(self._vault, self._door)
        self._clock = SystemClock()
        self._journal = open_journal(state_dir)
        self._sessions: dict[str, Session] = {}
        self._stamp = 0
        self._troubles: dict[str, str] = {}
        self._resting: dict[str, datetime] = {}
        self._waits: dict[str, Iterator[float]] = {}
        self._seen: dict[str, int] = {}

    def run(self) -> None:
        """Tick until nothing has been live for a while."""
        self._tell_troubles()
        idle_since = None
        while True:
            names = {record.provider for record in self._journal.live()}
            if names:
                idle_since = None
            elif idle_since is None:
                idle_since = self._clock.now()
            elif self._clock.now() - idle_since >= LINGER:
                self._door.unlink(missing_ok=True)
                return
            rest = min([self._tick(name) for name in sorted(names)], default=LINGER.total_seconds())
            self._rest(rest)

    def has_work(self) -> bool:
        """Whether anything is live now."""
        return bool(self._journal.live())

    def _tick(self, name: str) -> float:
        """Tick one provider's watcher and return how long to rest, in real seconds: not long while things move."""
        resting_until = self._resting.get(name)
        if resting_until is not None and self._clock.now() < resting_until:
            return BACK_OFF.total_seconds() / 10
        try:
            session = self._session(name)
            session.watcher.tick()
        except FlowError as trouble:
            self._say(f"{name}: {trouble.message}")
            self._troubles[name] = f"{name}: {trouble.message}"
            self._tell_troubles()
            self._resting[name] = self._clock.now() + BACK_OFF
            return BACK_OFF.total_seconds() / 10
        self._resting.pop(name, None)
        if self._troubles.pop(name, None) is not None:
            self._tell_troubles()
        changes = self._journal.changes()
        if changes != self._seen.get(name):
            self._waits[name] = intervals(min(session.provider.limits.poll_s, LONGEST_REST_S))
            self._seen[name] = changes
        rest = next(self._waits[name])
        return min(rest, STARTING_REST_S) if session.watcher.is_starting else rest

    def _session(self, name: str) -> Session:
        from flow_adapters.wiring import connect

        stamp = self._settings_stamp()
        if stamp != self._stamp:  # the user has changed a setting since, such as a key's path
            self._stamp = stamp
            self._sessions.clear()
        if name not in self._sessions:
            self._sessions[name] = connect(
                provider=name,
                state_dir=self._state_dir,
                secrets=self._secrets,
                vault=self._vault,
                journal=self._journal,
                watched=True,
            )
        return self._sessions[name]

    def _settings_stamp(self) -> int:
        try:
            return places.user_settings(os.environ).stat().st_mtime_ns
        except OSError:
            return 0

    def _rest(self, seconds: float) -> None:
        before = self._journal.changes()
        until = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < until and self._journal.changes() == before:
            self._clock.sleep(min(GLANCE_S, seconds))

    def _tell_troubles(self) -> None:
        """Leave word for commands of what keeps us from our work."""
        place = self._state_dir / TROUBLE_NAME
        if self._troubles:
            write_whole(place, "; ".join(self._troubles.values()).encode(), mode=0o600)
        else:
            place.unlink(missing_ok=True)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ} {text}\n")
        sys.stderr.flush()


def main() -> None:
    """Run the watcher of the state folder named by the first argument, unless one runs already."""
    gc.set_threshold(OBJECTS)
    try:
        _watch(Path(sys.argv[1]))
    finally:
        gc.freeze()  # as in a command: whatever there is goes with it


def _watch(state_dir: Path) -> None:
    line = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.readline()
    secrets = json.loads(line) if line.strip() else {}
    while True:
        with hold(state_dir / LOCK_NAME) as mine:
            if not mine:
                return
            loop = WatchLoop(state_dir, secrets)
            loop.run()
        if not loop.has_work():
            return


if __name__ == "__main__":
    main()
