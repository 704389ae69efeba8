"""A user of Mithril with nothing but `flow` and what `flow mock serve` printed; every part is a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from tests.docs.blocks import ROOT

BIN = Path(sys.executable).parent
#: Real seconds that any one command may take on a busy machine.
PATIENCE_S = 180.0
#: How often a command that looks is repeated until it sees what it waits for; each look is a process.
LOOKS = 200
REGION = "us-central1-a"


@frozen
class Answer:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it wrote as JSON."""
        return json.loads(self.out)


@frozen
class User:
    """Someone at a terminal, in a folder of theirs; `home` is all that Flow knows them by."""

    home: Path

    @property
    def folder(self) -> Path:
        """Where they work."""
        return self.home / "work"

    @property
    def environ(self) -> dict[str, str]:
        """Their variables: none is Flow's, none is Mithril's; Flow is this tree's."""
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {"HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT)}

    def run(self, *words: str, **added: str) -> Answer:
        """Run a program to its end; it has nothing to read."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environ, **added},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def flow(self, *words: str, code: int = 0, **added: str) -> Answer:
        """Run `flow`, which ends with `code`."""
        answer = self.run("flow", *words, **added)
        assert code == answer.code, f"flow {' '.join(words)}: {answer}"
        return answer

    def asked(self, *words: str, **added: str) -> Any:
        """Return what `flow … --json` says."""
        return self.flow(*words, "--json", **added).document

    def task(self, name: str) -> dict[str, Any]:
        """Return what Flow says about one task."""
        found: dict[str, Any] = self.asked("status", name)["task"]
        return found

    def until(self, name: str, state: str) -> dict[str, Any]:
        """Look at a task until it is in `state`."""
        seen = []
        for _ in range(LOOKS):
            task = self.task(name)
            if task["state"] == state:
                return task
            seen.append(task["state"])
        raise AssertionError(f"{name} was never {state}, but {sorted(set(seen))}")

    def costs(self, **added: str) -> dict[str, int]:
        """Return what Flow says that each bid cost, in cents, by the bid's id."""
        tasks = self.asked("status", "--all", **added)["tasks"]
        return {
            each["bid_id"]: cents(each["cost"])
            for each in tasks
            if each["bid_id"].startswith("bid_")
        }

    def paid(self) -> dict[str, int]:
        """Return what Flow says that each reservation cost, in cents, by its id."""
        found = self.asked("reservation", "list", "--all")["reservations"]
        return {each["id"]: cents(each["total"]) for each in found}

    def is_watched(self, **added: str) -> bool:
        """Whether this user's watcher runs, after it was given the time to go."""
        return all(self.asked("status", **added)["watcher_running"] for _ in range(LOOKS))


@frozen
class Simulator:
    """A running `flow mock serve`, as somebody sees it who has its control token."""

    said: dict[str, Any]

    @property
    def url(self) -> str:
        """Where it answers."""
        return str(self.said["url"])

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Ask the API as the user."""
        reply = httpx.get(
            f"{self.url}{path}",
            params=query,
            headers={"authorization": f"Bearer {self.said['api_key']}"},
            trust_env=False,
            timeout=PATIENCE_S,
        )
        assert reply.is_success, reply.text
        return reply.json()

    def control(self, name: str, **body: Any) -> Any:
        """Ask the control API: with a body to do something, without one to tell."""
        reply = httpx.request(
            "POST" if body else "GET",
            f"{self.url}/_sim/{name}",
            json=body or None,
            headers={"authorization": f"Bearer {self.said['control_token']}"},
            trust_env=False,
            timeout=PATIENCE_S,
        )
        assert reply.is_success, reply.text
        return reply.json()

    def billed(self, kind: str) -> dict[str, int]:
        """Return what the ledger has for each bid or reservation, in cents, by its id."""
        return {line["fid"]: line["cents"] for line in self._lines() if line["kind"] == kind}

    def live(self) -> list[str]:
        """Return the names of all that still costs money."""
        return [line["name"] for line in self._lines() if line["live"]]

    def _lines(self) -> list[dict[str, Any]]:
        (project,) = self.control("ledger")["projects"]
        lines: list[dict[str, Any]] = project["lines"]
        return lines


@contextmanager
def serving(user: User, *words: str, rate: float = 600) -> Iterator[Simulator]:
    """Serve simulated Mithril as `user`, with `words` as options too, until the end of the block."""
    process = subprocess.Popen(
        [
            BIN / "flow", "mock", "serve", "--port", "0", "--rate", str(rate), "--mood", "quiet",
            "--control", "--json", *words,
        ],
        cwd=user.folder, env=user.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield Simulator(json.loads(process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        process.stdout.close()


def set_up(user: User, simulator: Simulator) -> Answer:
    """Have `user` run `flow setup`, the key in a file of theirs."""
    key = user.folder.parent / "key.txt"
    key.touch(0o600)
    key.write_text(f"{simulator.said['api_key']}\n")
    return user.flow(
        "setup", "--provider", "mithril", "--api-url", simulator.url, "--api-key-from", str(key),
        "--key-file", "~/.config/flow/keys.json", "--project", simulator.said["project"],
        "--ssh-key", "new", "--region", REGION, "--yes",
    )  # fmt: skip


def cents(dollars: float) -> int:
    """Return an amount of JSON's in whole cents, as bills round it."""
    return int((Decimal(str(dollars)) * 100).quantize(Decimal(1), ROUND_HALF_UP))


def end_processes_of(folder: Path) -> list[str]:
    """Kill what names `folder`, or has it as its home, and return the command lines of what there was."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words or f"HOME={folder}".encode() in variables:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
    return found


def kill_watchers_of(home: Path) -> None:
    """Kill the watcher of the user who lives there, who has one."""
    watchers = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _is_watcher_of(process, home)
    ]
    assert watchers
    for each in watchers:
        os.kill(each, signal.SIGKILL)


def _is_watcher_of(process: Path, home: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes()
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"flow_adapters.watch_process" in words and f"HOME={home}".encode() in variables
