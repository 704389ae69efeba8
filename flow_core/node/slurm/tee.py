"""What a batch script writes, into the files that --output and --error name as well as into the task's log.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Dict, List, Optional, Tuple

from flow_core.node.slurm.layout import expanded


def files_of(env: Dict[str, str]) -> Tuple[Optional[Any], Optional[Any]]:
    """Return the files for output and errors, open; one and the same where only output is named; None for none."""
    appends = bool(env.get("FLOW_SLURM_APPENDS"))
    opened: Dict[str, Any] = {}
    found: List[Optional[Any]] = []
    for name in (
        env.get("FLOW_SLURM_OUTPUT"),
        env.get("FLOW_SLURM_ERROR", env.get("FLOW_SLURM_OUTPUT")),
    ):
        path = name and named(name, env)
        if not path:
            found.append(None)
            continue
        if path not in opened:
            try:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
                opened[path] = open(path, "ab" if appends else "wb", buffering=0)  # noqa: SIM115
            except OSError as error:
                sys.stderr.write("flow: %s is not written: %s\n" % (path, error.strerror))
                opened[path] = None
        found.append(opened[path])
    return found[0], found[1]


def named(pattern: str, env: Dict[str, str]) -> str:
    """Return a file's name with its patterns replaced; a backslash turns them off."""
    if "\\" in pattern:
        return pattern.replace("\\", "")
    number = env.get("SLURM_JOB_ID", "0")
    host = env.get("SLURMD_NODENAME", "")
    values = {
        "j": number, "J": number, "A": env.get("SLURM_ARRAY_JOB_ID", number),
        "a": env.get("SLURM_ARRAY_TASK_ID", "4294967294"), "x": env.get("SLURM_JOB_NAME", ""),
        "u": env.get("SLURM_JOB_USER", ""), "N": host, "n": 0, "t": 0, "s": "batch",
    }  # fmt: skip
    return expanded(pattern, values)


def copying(source: Any, target: Any, file: Optional[Any]) -> threading.Thread:
    """Return a running thread that copies a pipe to a stream of ours and to a file, as it comes, to its end."""

    def copy() -> None:
        with source:
            data = os.read(source.fileno(), 65536)
            while data:
                target.write(data)
                target.flush()
                if file is not None:
                    file.write(data)
                data = os.read(source.fileno(), 65536)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread
