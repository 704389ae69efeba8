"""Ends the bid of this node when its lease ends, whoever sleeps: `--guard node`.

`python kit.zip guard` takes {"left_s": seconds until the lease ends, "request": how the bid is withdrawn} from its
standard input, keeps them in guard.json, which only root reads, and sees to it that `guard-watch` runs: as a unit of
systemd, which a reboot starts again, else as a process of its own. Without "request" only the end changes. The request
holds a key of the whole account; it is forgotten as soon as it was used, or when the provider knows it no more.

Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from flow_core.node.kit.units import is_first, keep_running
from flow_core.node.node_store import load, path, save

#: Seconds between looks at the time, between tries, and that one try may take.
_LOOK_S = 5.0
_AGAIN_S = 15.0
_ANSWER_S = 30.0
#: Answers after which nothing is left to do: the bid is gone, or the key is.
_OVER = (401, 403, 404, 410)


def arm() -> None:
    """Take word of the lease, and have it watched."""
    told = json.load(sys.stdin)
    known = load("guard.json")
    request = told.get("request") or known.get("request")
    if not request:
        sys.exit("flow: this node has no key to guard the lease with")
    save("guard.json", {"ends_at": time.time() + float(told["left_s"]), "request": request})
    keep_running("flow-guard", "guard-watch")


def watch() -> None:
    """Wait for the lease's end, and withdraw the bid; return at once where another watches."""
    if not is_first("guard.lock"):
        return
    while True:
        told = load("guard.json")
        if not told:
            return
        left = told["ends_at"] - time.time()
        if left > 0:
            time.sleep(min(left, _LOOK_S))
        elif withdrawn(told["request"]):
            os.remove(path("guard.json"))
            return
        else:
            time.sleep(_AGAIN_S)


def withdrawn(request: dict[str, Any]) -> bool:
    """Send the one request; return whether nothing is left to do."""
    asked = urllib.request.Request(
        request["url"], headers=request["headers"], method=request["method"]
    )
    try:
        with urllib.request.urlopen(asked, timeout=_ANSWER_S):
            return True
    except urllib.error.HTTPError as refusal:
        return refusal.code in _OVER
    except (OSError, ValueError):
        return False
