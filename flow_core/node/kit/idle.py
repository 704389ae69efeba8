"""Tells whether a node has had nothing to do since it was last asked.

Run as `python kit.zip idle`; prints {"idle": whether, "gap_s": seconds since the look before, null at the first,
"busy": what was going on}. Nothing to do means all of these, since the look before: no GPU over GPU_PERCENT now, as
nvidia-smi tells; the command and all that it started took less than CPU_SHARE of one core; nothing was written to the
log; nobody has a terminal over ssh, or copies files; on a dev box, nobody runs anything by `flow dev`. Processes of
the task are those that have its FLOW_HOME among their variables, also those within its container. What was seen is
kept in idle.json.

Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

from flow_core.node.node_store import HOME, Log, load, path, save

GPU_PERCENT = 5.0
CPU_SHARE = 0.02
_GPU_ANSWERS_S = 20
_QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
#: What OpenSSH's server runs for a copy.
_COPIES = frozenset(("scp", "sftp-server", "rsync"))
#: Major numbers of the terminals that sshd makes. Source: Linux, Documentation/admin-guide/devices.txt.
TERMINALS = range(136, 144)


def main() -> None:
    """Look, and print what was found."""
    print(json.dumps(look(time.time())))


def look(now: float) -> dict[str, Any]:
    """Return what there is to say at `now`, unix seconds; keep what the next look needs."""
    before = load("idle.json")
    seen: dict[str, Any] = {"at": now, "cpu": spent(processes()), "log": Log().size}
    gap = now - before["at"] if before and now > before["at"] else None
    somebody = ""
    if os.path.isdir(path("dev")):
        from flow_core.node.kit import dev_presence

        somebody = dev_presence.look(before, seen, gap)
    save("idle.json", seen)
    busy = "" if gap is None else since(before, seen, gap) or somebody
    return {"idle": gap is not None and not busy, "gap_s": gap, "busy": busy}


def since(before: dict[str, Any], seen: dict[str, Any], gap: float) -> str:
    """Return what went on between two looks, or goes on now; empty for nothing."""
    used = sum(
        max(ticks - before["cpu"].get(process, 0), 0) for process, ticks in seen["cpu"].items()
    )
    if seen["log"] != before["log"]:
        return "the log grew"
    if used / os.sysconf("SC_CLK_TCK") > CPU_SHARE * gap:
        return "the command computes"
    if any(percent > GPU_PERCENT for percent in gpus()):
        return "a GPU computes"
    return "somebody is logged in" if logged_in() else ""


def processes() -> list[str]:
    """Return the ids of the task's processes, without this one."""
    mark = b"FLOW_HOME=" + os.fsencode(HOME)
    found = []
    for each in os.listdir("/proc"):
        if not each.isdigit() or int(each) in (os.getpid(), os.getppid()):
            continue
        try:
            with open("/proc/%s/environ" % each, "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(each)
        except OSError:
            continue
    return found


def spent(ids: list[str]) -> dict[str, int]:
    """Return the clock ticks that each process and its buried children took, by its id and start."""
    found = {}
    for each in ids:
        fields = stat(each)
        if fields:
            found["%s/%s" % (each, fields[19])] = sum(map(int, fields[11:15]))
    return found


def stat(process: str) -> list[str]:
    """Return what /proc says of a process from its third field on; empty for one that is gone."""
    try:
        with open("/proc/%s/stat" % process) as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def name_of(process: str) -> str:
    """Return a process's name; empty for one that is gone."""
    try:
        with open("/proc/%s/comm" % process) as file:
            return file.read().strip()
    except OSError:
        return ""


def logged_in() -> bool:
    """Whether somebody has a terminal over ssh, or copies files with it."""
    for each in os.listdir("/proc"):
        fields = stat(each) if each.isdigit() else []
        if not fields or not name_of(fields[1]).startswith("sshd"):
            continue
        name = name_of(each)
        has_terminal = os.major(int(fields[4]) & 0xFFFFFFFF) in TERMINALS
        if name in _COPIES or (has_terminal and not name.startswith("sshd")):
            return True
    return False


def gpus() -> list[float]:
    """Return how busy each GPU is, in percent; empty where nvidia-smi tells of none."""
    try:
        told = subprocess.run(
            _QUERY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GPU_ANSWERS_S,
            check=True,
        ).stdout
        return [float(line) for line in told.decode().split() if line.strip("0123456789.") == ""]
    except (OSError, subprocess.SubprocessError):
        return []
