"""What the three roles share: one folder a bid, with a record and a folder for each of its nodes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from flow_core.domain.allocation import Node

Record = dict[str, Any]


class Ledger:
    """Keeps bids on disk, because every Flow command is a process of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def id_of(self, name: str) -> str:
        """Return the id of the bid with this name: the name, as a file may be called."""
        return quote(name, safe="")

    def records(self) -> dict[str, Record]:
        """Return the record of every bid by its id."""
        found = {}
        for path in self._root.glob("*/bid.json"):
            found[path.parent.name] = json.loads(path.read_text("utf-8"))
        return found

    def record(self, bid_id: str) -> Record | None:
        """Return the record of one bid, or None."""
        try:
            text = (self._root / bid_id / "bid.json").read_text("utf-8")
        except FileNotFoundError:
            return None
        return cast(Record, json.loads(text))

    def write(self, bid_id: str, record: Record) -> None:
        """Replace a bid's record as a whole."""
        folder = self._root / bid_id
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"bid.{os.getpid()}"
        new.write_text(json.dumps(record), "utf-8")
        new.replace(folder / "bid.json")

    def home(self, node: Node) -> Path | None:
        """Return the folder of a node, or None when its bid has ended or never was."""
        record = self.record(node.id.partition("/")[0])
        return None if record is None or "ended_at" in record else self._root / node.id

    def environment(self, home: Path) -> dict[str, str]:
        """Return all the variables that a node's processes begin with."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "FLOW_HOME": str(home / "flow"),
            "FLOW_WORKSPACE": str(home / "workspace"),
            "FLOW_FOREGROUND": "1",
            "FLOW_PYTHON": sys.executable,
        }

    def start_node(self, bid_id: str, rank: int, script: str) -> None:
        """Make a node: its folder, and its node script running there, in a session of its own."""
        home = self._root / bid_id / f"node-{rank}"
        (home / "workspace").mkdir(parents=True)
        (home / "node.sh").write_text(script, "utf-8")
        subprocess.run(
            ["sh", "-c", "sh node.sh >boot.log 2>&1 & echo $! >pid"],
            cwd=home,
            env=self.environment(home),
            start_new_session=True,
            check=True,
        )

    def stop_nodes(self, bid_id: str) -> None:
        """Tell every node script to end its command, and drop the nodes' folders."""
        for home in (self._root / bid_id).glob("node-*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((home / "pid").read_text()), signal.SIGTERM)
            shutil.rmtree(home, ignore_errors=True)
