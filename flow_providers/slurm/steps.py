"""One command on one node of an allocation: a step that overlaps those that are there, by srun on the login node.

srun says things of its own and ends with 1 for many reasons. So the command's shell tells, on standard error and by a
mark that no program writes, that it has begun and how it has ended: what comes before the first mark and after the
last is srun's own, and a step that never told its end was lost.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from attrs import field, frozen, mutable

from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_providers.slurm.errors import words_of

_BEGUN = b"\x1eflow-begun\n"
_ENDED = re.compile(rb"\x1eflow-ended ([0-9]{1,3})\n")
#: What srun passes on and never ends with by itself. An endless input may cost the end of standard error, mark and all.
_A_COMMANDS = range(2, 126)
_LONGEST = len(b"\x1eflow-ended 255\n")
#: Lines at the end that may be srun's last words; before the command's mark they are its own but for its code.
_LAST_WORDS = re.compile(rb"(?:\A|(?<=\n))srun: [^\n]*\n?(?:srun: [^\n]*\n?)*\Z")
#: In the step: `$1` is where it starts, `$2` the node's FLOW_HOME, `$3` its Python, `$4` the line.
#: It may be quicker than the batch script, so it brings volumes to their paths as that does.
_ENTER = (
    'cd -- "$1" || exit 1; FLOW_HOME=$2 FLOW_PYTHON=$3; export FLOW_HOME FLOW_PYTHON; bid=${2%/*};'
    ' [ ! -s "$bid/mounts" ] || "$3" "$bid/mounts.py" "$bid" >/dev/null 2>&1;'
)
_STEP = (
    f"printf '\\036flow-begun\\n' >&2; {_ENTER}"
    ' sh -c "$4"; code=$?; printf \'\\036flow-ended %d\\n\' "$code" >&2;'
)
#: srun tells a code in a line of its own, at times between the command's last ones. So a step tells srun of it only
#: where its input may cost the mark.
_TELLS, _TELLS_NOT = ' exit "$code"', " exit 0"
_AT_TERMINAL = (
    f"{_ENTER}"
    ' if [ -n "$4" ]; then exec sh -c "$4"; fi;'
    " if command -v bash >/dev/null; then exec bash -l; else exec sh -l; fi"
)


@frozen(kw_only=True)
class Place:
    """Where a node is: Slurm's number of its allocation, its own name there, and its bid's folder."""

    job: str
    host: str
    folder: str
    rank: int
    python: str

    @property
    def workspace(self) -> str:
        """Where commands start."""
        return f"{self.folder}/work-{self.rank}"

    @property
    def home(self) -> str:
        """Where the helper keeps its files."""
        return f"{self.folder}/node-{self.rank}"


def step_line(place: Place, line: str, *, has_input: bool) -> str:
    """Return what runs `line` on a node, told on the login node; whatever is in it, it is one word."""
    step = _STEP + (_TELLS if has_input else _TELLS_NOT)
    return f"exec {_srun(place)} sh -c {shlex.quote(step)} flow {_words(place, line)}"


def terminal_line(place: Place, line: str | None, *, has_terminal: bool) -> str:
    """Return what gives a terminal to `line`, or to a login shell, on a node."""
    pty = "--pty " if has_terminal else ""
    return f"exec {_srun(place)} {pty}sh -c {shlex.quote(_AT_TERMINAL)} flow {_words(place, line or '')}"


def _srun(place: Place) -> str:
    return (
        f"srun --quiet --overlap --jobid={shlex.quote(place.job)} --nodes=1 --ntasks=1"
        f" --nodelist={shlex.quote(place.host)} --chdir=/"
    )


def _words(place: Place, line: str) -> str:
    return " ".join(map(shlex.quote, (place.workspace, place.home, place.python, line)))


@mutable
class Hearing:
    """Turns what a step's srun says into what its command said."""

    node: Node
    _begun: bool = field(default=False, init=False)
    _code: int | None = field(default=None, init=False)
    _held: bytes = field(default=b"", init=False)
    #: Lines as srun writes them, just before the command's last mark.
    _doubtful: bytes = field(default=b"", init=False)

    def hear(self, event: NodeEvent) -> Iterator[NodeEvent]:
        """Yield what one event of srun's comes to."""
        if isinstance(event, NodeOutput):
            if event.stream is Stream.OUT:
                yield event
            elif said := self._said(event.data):
                yield NodeOutput(self.node, Stream.ERR, said)
        elif isinstance(event, NodeLost):
            yield event
        elif self._code is not None:
            if said := self._doubted():
                yield NodeOutput(self.node, Stream.ERR, said)
            yield NodeExit(self.node, self._code)
        elif self._begun and event.code in _A_COMMANDS:
            yield NodeExit(self.node, event.code)
        else:
            yield NodeLost(self.node, self._reason())

    def _said(self, data: bytes) -> bytes:
        """Return what of standard error is the command's own, as far as it is sure."""
        self._held += data
        if not self._begun:
            _, mark, after = self._held.partition(_BEGUN)
            if not mark:
                return b""
            self._begun, self._held = True, after
        if self._code is not None:
            return b""
        ended = _ENDED.search(self._held)
        if ended is not None:
            self._code = int(ended[1])
            said, self._held = self._held[: ended.start()], self._held[ended.end() :]
            last = _LAST_WORDS.search(said)
            if last is not None:
                said, self._doubtful = said[: last.start()], said[last.start() :]
            return said
        keep = self._held.rfind(b"\x1e", max(0, len(self._held) - _LONGEST))
        keep = len(self._held) if keep < 0 else keep
        last = _LAST_WORDS.search(self._held)
        keep = keep if last is None else min(keep, last.start())
        said, self._held = self._held[:keep], self._held[keep:]
        return said

    def _doubted(self) -> bytes:
        """Return what of the doubtful lines is the command's own: srun tells a code once, at times before the mark."""
        told = re.compile(rb"srun: error: [^\n]* Exited with exit code %d\n" % (self._code or 0))
        return self._doubtful if told.search(self._held) else told.sub(b"", self._doubtful, count=1)

    def _reason(self) -> str:
        if self._begun:
            return "its allocation ended before the command did"
        said = words_of(self._held.decode("utf-8", "replace"))
        return said or "Slurm did not start the command"
