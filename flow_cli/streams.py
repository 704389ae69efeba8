"""The two ways out: `Out` is data on stdout, `Talk` is everything said to a person, on stderr.

Without a terminal both are plain lines without escape codes and rich is never imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from flow_cli.show.text import clean
from flow_core.domain.duration import rough_duration
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from flow_cli.show.layout import Block

#: The version of every JSON document; it grows when a key changes its meaning or goes, not when one is added.
JSON_VERSION = 1
#: Without a terminal, an unchanged wait is told again after this long, then after twice as long, and so on.
FIRST_REMINDER = timedelta(seconds=30)
#: Without a terminal, a reason that passes sooner is not worth a line.
PATIENCE = timedelta(seconds=2)


class Stream:
    """One of the process's streams, looked up when used, and how it may be written to."""

    def __init__(
        self, name: str, *, terminal: bool | None, colour: bool, width: int | None
    ) -> None:
        self._name = name
        self._terminal = terminal
        self._colour = colour
        self._width = width
        self._console: Console | None = None

    @property
    def file(self) -> TextIO:
        """The stream itself."""
        found: TextIO = getattr(sys, self._name)
        return found

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads along."""
        return self.file.isatty() if self._terminal is None else self._terminal

    @property
    def console(self) -> Console:
        """A rich console over the stream; only for a terminal."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self.file, force_terminal=True, width=self._width, highlight=False, markup=False, emoji=False,
                color_system="auto" if self._colour else None, no_color=not self._colour,
            )  # fmt: skip
        return self._console

    def line(self, text: str, style: str = "") -> None:
        """Write one line, or several, escaped by the caller."""
        if self.is_terminal and style and self._colour:
            from rich.text import Text

            self.console.print(Text(text, style=style), soft_wrap=True)
        else:
            self._write(text + "\n")

    def show(self, block: Block) -> None:
        """Draw a table or a panel, or write it plainly."""
        from flow_cli.show.layout import drawn, plain

        if self.is_terminal:
            self.console.print(drawn(block, self.console.width))
        else:
            self._write(plain(block) + "\n")

    def data(self, raw: bytes) -> None:
        """Write bytes as they are."""
        buffer = getattr(self.file, "buffer", None)
        if buffer is None:
            self.file.write(raw.decode("utf-8", "replace"))
            self.file.flush()
            return
        self.file.flush()
        left = memoryview(raw)
        while left:  # an unbuffered stream (PYTHONUNBUFFERED) may take less than it is given
            left = left[buffer.write(left) or 0 :]
        buffer.flush()

    def _write(self, text: str) -> None:
        encoding = self.file.encoding or "utf-8"
        raw = text.encode(encoding, "backslashreplace")
        if self.is_terminal or not hasattr(self.file, "buffer"):
            self.file.write(raw.decode(encoding))
            self.file.flush()
        else:
            self.data(raw)


def can_show(stream: Stream, letters: str) -> bool:
    """Whether a stream's encoding has all of these letters."""
    try:
        letters.encode(stream.file.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Out(Stream):
    """Data."""

    def document(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Write one JSON document on one line."""
        self._write(json.dumps({"version": JSON_VERSION, "kind": kind, **payload}) + "\n")


class Talk(Stream):
    """What is said to a person."""

    def say(self, text: object, style: str = "") -> None:
        """Say one line; strangers' words in it are made harmless."""
        self.line(clean(text, lines=True), style)

    @contextmanager
    def waiting(self) -> Iterator[Wait]:
        """While entered, one line says what is waited for; on a terminal it moves, and goes when left."""
        wait = _MovingWait(self) if self.is_terminal else Wait(self)
        try:
            yield wait
        finally:
            wait.end()

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to answer."""
        return self.is_terminal and (self._terminal is not None or sys.stdin.isatty())

    def prompt(self, question: str) -> str:
        """Return what the person types after `question`; raise `click.Abort` where nothing more can come."""
        self._write(clean(question, lines=True) + " ")
        answer = sys.stdin.readline()
        if not answer:
            from click import Abort

            raise Abort
        return answer.strip()

    def ask(self, question: str, *, unasked: str) -> bool:
        """Return whether the person agrees; without a terminal to ask on, raise with `unasked` as the reason.

        Raises:
            InvalidRequest: there is nobody to ask.
        """
        if not self.can_ask:
            raise InvalidRequest({"yes": unasked}, hint="add --yes to go ahead without being asked")
        self._write(clean(question, lines=True) + " [y/N] ")
        return sys.stdin.readline().strip().lower() in ("y", "yes")


class Wait:
    """What is being waited for, as plain lines: reasons that last, and now and then how long it has taken."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._text = ""
        self._since = timedelta(0)
        self._next_line: timedelta | None = None

    def tell(
        self, text: str, *, elapsed: timedelta = timedelta(0), then: str = "", at_once: bool = False
    ) -> None:
        """Say what is waited for, how long everything has taken so far, and what comes next.

        A reason is a line once it has stood for two seconds, or `at_once`.
        """
        text = clean(text)
        if text != self._text:
            self._text, self._since = text, elapsed
            self._next_line = elapsed if at_once else elapsed + PATIENCE
        if self._next_line is None or elapsed < self._next_line:
            return
        stood = elapsed - self._since
        if stood < FIRST_REMINDER:
            self._talk.line(text + (f"; then {clean(then)}" if then else ""))
        else:
            self._talk.line(f"{text} (for {rough_duration(stood)} so far)")
        self._next_line = self._since + max(stood * 2, FIRST_REMINDER)

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._text = ""


class _MovingWait(Wait):
    """The same as one line at the bottom of a terminal, with a spinner and running seconds."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(talk)
        from rich.live import Live
        from rich.spinner import Spinner

        self._spinner = Spinner("dots")
        self._then = ""
        self._began = time.monotonic()
        self._live = Live(
            self,
            console=talk.console,
            transient=True,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def tell(
        self, text: str, *, elapsed: timedelta = timedelta(0), then: str = "", at_once: bool = False
    ) -> None:
        if not self._text:
            self._live.start()
        self._text, self._then = clean(text), clean(then)
        self._began = time.monotonic() - elapsed.total_seconds()

    def end(self) -> None:
        if self._text:
            self._text = ""
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        taken = timedelta(seconds=int(time.monotonic() - self._began))
        line = Text(self._text)
        if taken:
            line.append(f" ({rough_duration(taken)})", style="dim")
        if self._then:
            line.append(f"; then {self._then}", style="dim")
        line.no_wrap, line.overflow = False, "fold"
        self._spinner.update(text=line)
        yield self._spinner
