"""A person at the command line, with a home of their own and the tests' engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from flow_adapters.clocks import SystemClock
from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import BID

#: Seconds after which a command hangs.
HANGS_S = 180.0
_FLOW = (Path(sys.executable).parent / "flow", "--provider", "local-docker")


@frozen
class User:
    """Runs `flow --provider local-docker` in a folder `code` below `home`."""

    home: Path
    host: str
    image: str
    #: Variables that this user has besides.
    more: tuple[tuple[str, str], ...] = ()

    def knowing(self, **more: str) -> User:
        """Return the same person with these variables."""
        return evolve(self, more=tuple(more.items()))

    def flow(self, *words: str, fails: bool = False, settings: str = "") -> str:
        """Run a command, and return what it wrote to both streams; it must succeed unless it `fails`."""
        done = self.run(*words, settings=settings)
        said = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, said
        return said

    def run(self, *words: str, settings: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command; `settings` are lines for the provider's section."""
        return subprocess.run(
            [*_FLOW, *words],
            cwd=self._folder(),
            env=self.environ(settings),
            capture_output=True,
            text=True,
            timeout=HANGS_S,
            check=False,
        )

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command whose streams the caller reads, and which the caller ends."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*_FLOW, *words], cwd=self._folder(), env=self.environ(), stdout=pipe, stderr=pipe
        )

    def environ(self, more: str = "") -> dict[str, str]:
        """Return a user's variables, with none of this process's but where programs are."""
        settings = self.home / "config"
        settings.mkdir(exist_ok=True)
        text = f'[local-docker]\nimage = "{self.image}"\n{more}'
        (settings / "config.toml").write_text(text, "utf-8")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "FLOW_CONFIG_DIR": str(settings),
            "FLOW_STATE_DIR": str(self.home / "state"),
            "DOCKER_HOST": self.host,
            **dict(self.more),
        }

    def _folder(self) -> Path:
        folder = self.home / "code"
        folder.mkdir(exist_ok=True)
        return folder

    def boxes(self, name: str = "") -> list[dict[str, Any]]:
        """Return the containers of this user's task, or of every bid."""
        query = {"filters": {"label": [BID]}, "all": "true"}
        found = Engine(parse_address(self.host)).ask("GET", "/containers/json", query=query)
        return [box for box in found if box["Labels"][BID].startswith(name)]

    def left(self, name: str) -> list[str]:
        """Return whatever the engine still has of a task some seconds later: containers, networks, its record."""
        clock = SystemClock()
        for _ in range(600):
            if not self._left(name):
                break
            clock.sleep(0.1)
        return self._left(name)

    def _left(self, name: str) -> list[str]:
        engine, query = Engine(parse_address(self.host)), {"filters": {"label": [BID]}}
        networks = [each["Name"] for each in engine.ask("GET", "/networks", query=query)]
        volumes = [
            each["Name"] for each in engine.ask("GET", "/volumes", query=query)["Volumes"] or []
        ]
        boxes = [box["Names"][0] for box in self.boxes()]
        return [each for each in [*boxes, *networks, *volumes] if name in each]


def last_json(text: str) -> Any:
    """Return the value that a command wrote as its last line of JSON."""
    return json.loads(text.strip().splitlines()[-1])
