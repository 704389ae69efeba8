"""Images: here already, pulled by name, or built from a Dockerfile; the long ways in a process of their own.

The engine stops a pull when whoever asked for it goes, and a command must not wait minutes for its bid to be taken. So
a process of its own does it for each bid, and says in a file how far it is and why it failed. Whoever places the bid
waits a little for it, so that an image that isn't there is refused at once; else the next look at the bids goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow_core.errors import InvalidRequest, NotFound
from flow_core.ports.clock import Clock
from flow_providers.local_docker.engine import Engine, read_json
from flow_providers.local_docker.labels import Record

#: Seconds that placing a bid waits for a quick pull, a cached build, or the reason why neither can be.
PLACING_WAITS_S = 8.0
_LOOK_S = 0.1
#: How long a word about an image's coming counts; whoever brings it says something at least this often.
SILENCE_S = 60.0
#: The option in which a record keeps the Dockerfile that its image is built from.
DOCKERFILE = "dockerfile"
_BUILT = "flow-built-"
#: What the images are called that Flow builds.
BUILT = re.compile(_BUILT + "[0-9a-f]{16}:latest")


class Images:
    """Knows which images are here, and has others brought. `default` is for tasks that name none."""

    def __init__(
        self,
        engine: Engine,
        *,
        folder: Path,
        clock: Clock,
        default: str,
        settings: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._clock = clock
        self._default = default
        self._settings = settings

    def named(self, asked: str | None) -> tuple[str, dict[str, str]]:
        """Return the image for a task that asks for this one, and what its record's options say besides.

        Raises:
            InvalidRequest: it is the path of a Dockerfile that isn't there.
        """
        if not asked or not is_path(asked):
            return asked or self._default, {}
        path = Path(asked).expanduser().absolute()
        file = path / "Dockerfile" if path.is_dir() else path
        if not file.is_file():
            raise InvalidRequest(
                {"image": f"there is no {file}"},
                hint="name an image, a Dockerfile, or a folder with one",
            )
        known = hashlib.sha256(os.fsencode(file)).hexdigest()[:16]
        return f"{_BUILT}{known}:latest", {DOCKERFILE: str(file)}

    def prepared(self, record: Record, *, waits_s: float = 0.0) -> dict[str, Any] | None:
        """Return what the engine knows of a record's image; None while it is still being brought here.

        Raises:
            InvalidRequest: it can't be brought; the message is the registry's or the builder's.
        """
        told = read_json(self._path(record.id))
        if DOCKERFILE not in record.options or told.get("done"):
            try:
                found: dict[str, Any] = self._engine.ask("GET", f"/images/{record.image}/json")
                return found
            except NotFound:
                pass
        if not self._is_coming(told):
            self._bring(record)
        while waits_s > 0:
            told = read_json(self._path(record.id))
            if told.get("failed") or told.get("done"):
                break
            self._clock.sleep(_LOOK_S)
            waits_s -= _LOOK_S
        if told.get("failed"):
            raise InvalidRequest({"image": str(told["failed"])}, hint=told.get("hint"))
        return self.prepared(record) if told.get("done") else None

    def said(self, record: Record) -> str:
        """Return how far the coming of a bid's image is, in words; empty where nobody brings it."""
        told = read_json(self._path(record.id))
        return "" if told.get("done") else str(told.get("words", ""))

    def say(self, bid_id: str, words: str, **more: object) -> None:
        """Write down how far the coming of a bid's image is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        told = {"words": words, "at": self._clock.now().timestamp(), **more}
        new = self._path(bid_id).with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(told), "utf-8")
        new.replace(self._path(bid_id))

    def forget(self, bid_id: str) -> None:
        """Drop what was said for a bid."""
        self._path(bid_id).unlink(missing_ok=True)

    def _is_coming(self, told: Mapping[str, Any]) -> bool:
        if told.get("failed"):
            return True
        age = self._clock.now().timestamp() - float(told.get("at", 0))
        return not told.get("done") and age < SILENCE_S

    def _bring(self, record: Record) -> None:
        self.say(record.id, f"asking for {record.image}")
        told = {
            **self._settings,
            "folder": str(self._folder),
            "bid": record.id,
            "image": record.image,
            "dockerfile": record.options.get(DOCKERFILE, ""),
        }
        subprocess.Popen(
            [sys.executable, "-m", "flow_providers.local_docker.bringing", json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _path(self, bid_id: str) -> Path:
        return self._folder / f"{bid_id}.json"


def is_path(image: str) -> bool:
    """Whether a task's image is the path of a Dockerfile, or of a folder with one, and no name."""
    return image.startswith((".", "/", "~")) or image.rpartition("/")[2] == "Dockerfile"
