"""What tests of other people's clients share: an empty home, keys, and a simulator behind a port."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import httpx

from flow_adapters.clocks import SystemClock
from flow_providers.mock.http.calls import Place
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.rows import NodeRow
from flow_providers.mock.rules import Mood

REGION = "us-central1-a"
#: A round of the market every two real seconds.
RATE = 60.0
COMMAND_S = 60.0
#: What a client must not find out about this machine.
_OURS = ("FLOW_", "MITHRIL_", "PYTHON", "VIRTUAL_ENV", "XDG_")


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of someone who has only what is named here, and an empty home."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "HOME": str(home), "NO_COLOR": "1", **more}


def new_pair() -> tuple[str, str]:
    """A new SSH key: its private and its public half."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return (
        key.export_private_key().decode("ascii"),
        key.export_public_key().decode("ascii").strip(),
    )


def somewhere(node: NodeRow) -> Place:
    """Say where a node would answer; nobody does."""
    return Place(ssh_destination=f"127.0.0.{2 + node.rank}", private_ip=f"10.0.0.{2 + node.rank}")


class Site:
    """A simulator behind a port, and what its API says."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url
        headers = {"authorization": f"Bearer {service.api_key}"}
        self.http = httpx.Client(base_url=url, headers=headers, trust_env=False)

    def variables(self) -> Mapping[str, str]:
        """The three variables that the simulator tells people to paste."""
        return {
            "MITHRIL_API_URL": self.url,
            "MITHRIL_API_KEY": self.service.api_key,
            "MITHRIL_PROJECT": self.service.project,
        }

    def told(self, path: str, **query: str) -> Any:
        """What a list holds."""
        body = self.http.get(path, params={"project": self.service.project, **query}).json()
        return body["data"] if isinstance(body, dict) else body


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve a simulator on loopback for a while."""
    service = on_disk(
        folder, SystemClock(), rate=RATE, seed=1, mood=Mood.QUIET, whereabouts=somewhere
    )
    server = Server(service, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    site = Site(service, server.url)
    try:
        yield site
    finally:
        site.http.close()
        server.stop()
        thread.join()
