"""One login to a node, begun before the rest of a command has loaded.

`flow logs`, `flow ssh TASK -- COMMAND` and `flow upload` load, ask the provider where the task's nodes are, and log in:
each takes about as long as the others. Where the watcher knows the node, or such a command was there before, the next
begins with the very command of OpenSSH's client that would do, which logs in and waits for a line. Once it is known
where the node is and how it is reached, what has begun is taken if it is, word for word, what would be begun now; else
it is ended, and nobody has heard of it. So nothing that was kept is relied on: not the address, the key, the settings,
nor whose node it was.

What a node sees of one that isn't taken is a login that ends. A host that has the address now shows another key than
the one pinned to the node, and is told nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flow_adapters.files import write_whole
from flow_adapters.places import made, state_dir
from flow_core.errors import FlowError

#: Commands whose second word is a task, and that log in to a node of it.
VERBS = ("logs", "ssh", "upload")
#: How many tasks' are kept.
KEPT = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: How long an end is waited for that was asked for.
_END_S = 5.0


class Ahead:
    """At most one login, kept in the file `place` for the next process like this one."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._words: list[str] = []
        self._begun: subprocess.Popen[bytes] | None = None
        self._is_noted = False

    def begin(self) -> None:
        """Begin what is kept, if anything is."""
        try:
            self._words = self._place.read_text("utf-8", "surrogateescape").split("\0")
            self._begun = begun(self._words)
        except (OSError, ValueError):
            self._words = []

    def taken(self, words: Sequence[str]) -> subprocess.Popen[bytes] | None:
        """Return what has begun if these are its words, and it runs; it is the caller's from now on."""
        process = self._begun
        if process is None or list(words) != self._words or process.poll() is not None:
            return None
        self._begun = None
        return process

    def note(self, words: Sequence[str]) -> None:
        """Keep the words that logged in, for the next process; the first node counts."""
        if self._is_noted:
            return
        self._is_noted = True
        if list(words) != self._words:
            keep(self._place, words)

    def close(self) -> None:
        """End what nobody took, and don't begin it again."""
        process, self._begun = self._begun, None
        if process is None:
            return
        if not self._is_noted:
            with suppress(OSError):
                self._place.unlink()
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


#: What this process began.
_own: Ahead | None = None


class Logins:
    """The logins that are kept in `folder`, by their tasks' names, and this process's own."""

    def __init__(self, folder: Path, own: Ahead | None = None) -> None:
        self._folder = folder
        self.own = own or _own
        self._kept: dict[str, Sequence[str]] = {}

    def keep(self, task: str, words: Sequence[str]) -> None:
        """Have the next process that looks at the task begin with these words; known ones cost nothing."""
        if _NAME.fullmatch(task) and self._kept.get(task) != words:
            self._kept[task] = words
            keep(self._folder / task, words)


def keep(place: Path, words: Sequence[str]) -> None:
    """Write the words of a login down; where that can't be done, the next one begins later."""
    with suppress(OSError, FlowError):
        text = "\0".join(words).encode("utf-8", "surrogateescape")
        write_whole(made(place.parent) / place.name, text, mode=0o600)
        kept = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink()


def folder_of(state: Path) -> Path:
    """Return where logins are kept below the state folder."""
    return state / "ahead"


def begun(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin OpenSSH's client for a line that waits for another, in a session that no Ctrl-C reaches."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


def begin(words: Sequence[str], environ: Mapping[str, str]) -> Ahead | None:
    """Begin what the last process with such `words` came to, if they name a task that is logged in to."""
    global _own
    if sys.platform == "win32" or len(words) < 2 or not _NAME.fullmatch(words[1]):
        return None
    # A terminal, and what is given input, has a login of its own.
    if words[0] not in VERBS or (words[0] == "ssh" and words[2:3] != ["--"]):
        return None
    _own = Ahead(folder_of(state_dir(environ)) / words[1])
    _own.begin()
    return _own
