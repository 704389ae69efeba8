"""Lets a rank that fails for good end the others within seconds, also while no client and no watcher is awake.

Who calls whom: the process beside the failed command (`attending`) logs in to each fellow by the allocation's own key
pair and leaves a word there, `python kit.zip fallen RANK NUMBER CODE`, kept in fallen.json. The process beside the
fellow's command sees it at its next look and ends that command as the helper would: TERM, and KILL after FLOW_GRACE_S.
The fellow's helper then finds a command that failed, with what the word said as its reason. A newer membership starts
all again, as after any failure, so a client that knows better, because a node was lost, may still have it so.

What can go wrong, and what then:

- a word comes late. It names the membership that its attempt ran with. Every attempt of several nodes takes a newer
  one, so a word for another than the one in use is passed over; one for an attempt yet to begin waits for it.
- a fellow doesn't answer: it is called again, ever less often, for as long as the failure stands.
- a word is lost with its connection: it was written before the call came back, or the call is made again.
- all fail at once: each calls the others in another order, and stops where it hears that a fellow calls too.
- a command that was ended at a fellow's word failed, too: its reason says why, and it calls nobody.
- retries are left: a client decides, for it alone counts the tries of all; nobody is called. What no try mends, such as
  a set-up that failed, is told at once.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress
from typing import Any

from flow_core.node.kit.idle import processes, stat
from flow_core.node.node_store import HOME, is_there, load, opened, path, save

#: How the reason of a command begins that was ended at a fellow's word; `domain/run.py` knows it, too.
ENDED_FOR = "ended because "
#: Calls at once; seconds before a fellow that didn't answer is called again: twice as long each time.
_CALLS = 16
_AGAIN_S, _SELDOM_S = 2.0, 60.0
#: Exit codes that no other try changes: the set-up's, and the shell's for what can't be run; the helper has them, too.
USERS_MISTAKES = (125, 126, 127)
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=5", "ServerAliveInterval=5", "ServerAliveCountMax=2")


class Failing:
    """One node's part in it; `look` does what is due."""

    def __init__(self) -> None:
        self.number: Any = None  # the membership of the attempt that is spoken of
        self.left: list[int] = []  # ranks that don't know yet
        self.calls: dict[int, subprocess.Popen[bytes]] = {}
        self.next, self.pause_s = 0.0, _AGAIN_S
        self.group, self.kills_at = 0, 0.0  # a command that was told to end
        self.grace_s = float(os.environ.get("FLOW_GRACE_S", "10"))

    def look(self, setup: dict[str, Any], now: float) -> None:
        """Tell the fellows of a failure here, and end the command here for one of theirs."""
        if not (setup.get("attending") or {}).get("failing"):
            return
        state, word = load("state.json"), load("fallen.json")
        if self.group:
            self.insist(now)
        elif is_meant(word, state):
            self.obey(word, now)
        mine = load("delivery.json")
        if (
            not has_failed(state)
            or mine.get("number") != state.get("used")
            or is_heard(word, state)
        ):
            self.left = []
        elif self.number != state["used"]:
            ranks, rank = sorted(int(node["rank"]) for node in mine["nodes"]), int(mine["rank"])
            self.number, self.next, self.pause_s = state["used"], now, _AGAIN_S
            self.left = [each for each in ranks if each > rank] + ranks[: ranks.index(rank)]
        self.tell(mine, state, now)

    def tell(self, mine: dict[str, Any], state: dict[str, Any], now: float) -> None:
        """Call fellows that don't know yet, and see what came of the calls before."""
        for rank, call in list(self.calls.items()):
            if call.poll() is None:
                continue
            del self.calls[rank]
            if call.returncode == 0 and rank in self.left:
                self.left.remove(rank)
            elif call.returncode:
                self.next, self.pause_s = now + self.pause_s, min(2 * self.pause_s, _SELDOM_S)
        if now < self.next or not is_there("ssh/id"):
            return
        hosts = {int(node["rank"]): str(node["host"]) for node in mine["nodes"]}
        for rank in self.left:
            if rank not in self.calls and len(self.calls) < _CALLS:
                words = (str(mine["rank"]), repr(float(state["used"])), str(state["exit_code"]))
                with suppress(OSError):  # no ssh here
                    self.calls[rank] = called(hosts[rank], words)

    def obey(self, word: dict[str, Any], now: float) -> None:
        """Have the command end that the word speaks of."""
        group = command()
        # The state is looked at again: the command of a later attempt would have been seen after its state.
        if group and is_meant(word, load("state.json")):
            save("failure.json", ENDED_FOR + word["why"])
            self.group, self.kills_at = group, now + self.grace_s
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)

    def insist(self, now: float) -> None:
        """End what is left of a command that was told to."""
        left = any(stat(each)[2:3] == [str(self.group)] for each in processes())
        if left and now < self.kills_at:
            return
        if left:
            with suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)
        self.group = 0


def hear(rank: str, number: str, code: str) -> None:
    """Keep a fellow's word, unless one of a later attempt is there."""
    if load("fallen.json").get("number", 0) < float(number):
        why = "node %d ended with %d" % (int(rank), int(code))
        save("fallen.json", {"number": float(number), "why": why})


def is_meant(word: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a word speaks of the attempt whose command runs now."""
    return bool(word) and state.get("phase") == "running" and is_heard(word, state)


def is_heard(word: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a word speaks of the last attempt."""
    return bool(word) and bool(word["number"] == state.get("used"))


def has_failed(state: dict[str, Any]) -> bool:
    """Whether the command failed by itself, and no try is left, or would mend it."""
    return bool(
        state.get("phase") == "exited"
        and state.get("exit_code")
        and not str(state.get("reason", "")).startswith(ENDED_FOR)
        and not is_there("stop")
        and (
            state["exit_code"] in USERS_MISTAKES
            or state.get("retried", 0) >= load("task.json").get("retries", 0)
        )
    )


def command() -> int:
    """Return the process that leads the command's group, which is the helper's only child; 0 where there is none."""
    lock = opened("lock")
    helper = os.pread(lock, 20, 0).decode().strip()
    os.close(lock)
    for each in filter(str.isdigit, os.listdir("/proc")):
        fields = stat(each)
        if helper and fields[1:4] == [helper, each, each]:
            return int(each)
    return 0


def called(host: str, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Begin to tell a fellow; the call ends by itself."""
    line = "FLOW_HOME=%s exec python3 %s fallen " % (
        shlex.quote(HOME),
        shlex.quote(path("kit.zip")),
    )
    options = [word for each in _OPTIONS for word in ("-o", each)]
    null = subprocess.DEVNULL
    return subprocess.Popen(
        ["ssh", "-F", path("ssh/config"), *options, host, line + " ".join(map(shlex.quote, words))],
        stdin=null,
        stdout=null,
        stderr=null,
    )
