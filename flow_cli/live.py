"""`flow status --watch`: a screen that is repainted in place, or lines of what changed where there is no terminal.

On a terminal one thread looks, so that keys and the screen's size are answered at once even while a provider is silent;
what went wrong is shown, and the next look comes by itself. The screen is the terminal's second one: it is written over
and never cleared, so that nothing flickers, and what was there before comes back at the end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from flow_cli.invocation import Invocation
from flow_cli.show.layout import drawn
from flow_cli.show.live import Frame, live_screen
from flow_cli.show.text import clean, clock_time, dollars
from flow_cli.streams import can_show
from flow_core.domain.overview import Overview, changes
from flow_core.errors import FlowError, NotFound
from flow_core.services.overviews import Overviews
from flow_core.services.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from flow_cli.streams import Out

#: How often keys and the screen's size are looked at, in real seconds.
_BLINK_S = 0.2
#: The least time between two looks, in real seconds, however quick the provider says that it is.
LEAST_S = 1.0
#: The longest wait after a look that failed.
_MOST_S = 10.0
#: A look that takes this much longer than usual is said to.
_SLOW_S = 5.0
_ENDS = frozenset({b"q", b"Q", b"\x04"})
#: What the screen is drawn with, where it can be.
_LETTERS = "●━╌│─·…"


def watch(invocation: Invocation, session: Session, *, task: str | None, every_s: float) -> None:
    """Show what is live until q or Ctrl-C; without a terminal, say what changed until nothing is live any more.

    Raises:
        NotFound: the one task or group isn't known.
    """
    overviews = Overviews(session.ports, task=task)
    if task is not None:
        session.groups.called(task)
    try:
        if invocation.out.is_terminal and not invocation.json:
            _Screen(invocation.out, session, overviews, every_s=every_s).show()
        else:
            _say_changes(invocation, session, overviews, every_s=every_s)
    except KeyboardInterrupt:
        return


def _say_changes(
    invocation: Invocation, session: Session, overviews: Overviews, *, every_s: float
) -> None:
    """Write a line for each change, or with --json the list of tasks whenever something did."""
    from flow_cli.show.groups import fold_json
    from flow_cli.show.tasks import task_json

    seen: Overview | None = None
    trouble, failed = "", 0
    while True:
        try:
            now = overviews.look()
        except NotFound:
            raise
        except FlowError as error:
            if error.message != trouble:
                invocation.talk.say(f"{error.message}; asking again", "yellow")
            trouble, failed = error.message, failed + 1
        else:
            if trouble:
                invocation.talk.say(f"{session.provider.name} answers again")
                trouble, failed = "", 0
            found = changes(seen, evolve(now, folds={}) if invocation.json else now)
            if invocation.json and (found or seen is None):
                rows = [
                    task_json(row.view, waits_for=row.waits_for)
                    | {"cost": dollars(row.spent), "cost_is_estimate": row.is_estimate}
                    for row in now.rows
                ]
                about = {
                    "watcher_running": now.watcher_runs,
                    "provider": session.provider.name,
                    "simulated": session.provider.limits.simulated,
                    "groups": [fold_json(each) for each in now.folds.values()],
                }
                invocation.out.document("task-list", {"tasks": rows, **about})
            elif not invocation.json:
                for name, text in found:
                    invocation.out.line(clean(f"{clock_time(now.at)}  {name}  {text}"))
            seen = now
            if not now.live:
                return
        session.ports.clock.sleep(_rest(every_s, failed))


@define
class _Looker:
    """Looks again and again in a thread of its own, which ends with the process."""

    overviews: Overviews
    every_s: float
    overview: Overview | None = None
    trouble: str = ""
    #: The last look that succeeded, and the one that is going on; real seconds, None when none is.
    seen_at: float = 0.0
    asking_since: float | None = None
    number: int = 0
    failure: BaseException | None = None
    _ended: threading.Event = field(factory=threading.Event)

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="flow-look", daemon=True).start()

    def end(self) -> None:
        """Look no more once the look that is going on has ended."""
        self._ended.set()

    def _run(self) -> None:
        failed = 0
        while not self._ended.is_set():
            self.asking_since = time.monotonic()
            try:
                self.overview = self.overviews.look()
                self.trouble, self.seen_at, failed = "", time.monotonic(), 0
            except NotFound as error:
                self.failure = error
                return
            except FlowError as error:
                self.trouble, failed = error.message, failed + 1
            except BaseException as error:  # noqa: BLE001  (raised in the thread that can tell it)
                self.failure = error
                return
            self.asking_since = None
            self.number += 1
            self._ended.wait(_rest(self.every_s, failed))


class _Screen:
    """The live view on a terminal."""

    def __init__(self, out: Out, session: Session, overviews: Overviews, *, every_s: float) -> None:
        self._out = out
        self._session = session
        self._looker = _Looker(overviews, every_s)
        self._every_s = every_s

    def show(self) -> None:
        """Repaint whenever something is new, until a key ends it; then leave the last view behind.

        Raises:
            BaseException: what the looking thread stumbled over.
        """
        from rich.live import Live

        looker, console = self._looker, self._out.console
        looker.start()
        try:
            with (
                suppress(KeyboardInterrupt),
                _keys() as key,
                Live(
                    console=console, screen=True, auto_refresh=False,
                    redirect_stdout=False, redirect_stderr=False,
                ) as live,
            ):  # fmt: skip
                painted: object = None
                while looker.failure is None:
                    looks = (looker.number, looker.trouble, self._frame(), tuple(console.size))
                    if looks != painted:
                        painted = looks
                        live.update(self._drawn(), refresh=True)
                    if key(_BLINK_S) in _ENDS:
                        break
        finally:
            looker.end()
        if looker.failure is not None:
            raise looker.failure
        self._leave()

    def _drawn(self) -> RenderableType:
        width, height = self._out.console.size
        screen = live_screen(self._looker.overview, self._frame(), width=width, height=height)
        return drawn(screen, width)

    def _frame(self) -> Frame:
        looker, now = self._looker, time.monotonic()
        trouble = looker.trouble
        asking = now - looker.asking_since if looker.asking_since is not None else 0.0
        if not trouble and asking > _SLOW_S:
            trouble = f"{self._session.provider.name} hasn't answered for {asking:.0f} s"
        return Frame(
            provider=self._session.provider.name,
            simulated=self._session.provider.limits.simulated,
            trouble=trouble,
            seen_s=float(int(now - looker.seen_at)) if trouble else 0.0,
            every_s=self._every_s,
            fancy=can_show(self._out, _LETTERS),
        )

    def _leave(self) -> None:
        """Print what was last seen of live tasks, without the log, where the shell goes on."""
        overview = self._looker.overview
        if overview is None or not overview.rows:
            return
        from attrs import evolve

        width = self._out.console.width
        bare = evolve(overview, lines=())
        screen = live_screen(bare, self._frame(), width=width, height=4 * len(bare.rows) + 6)
        kept = [line for line in screen.lines[:-1] if line]
        self._out.show(screen._replace(lines=tuple(kept)))


def _rest(every_s: float, failed: int) -> float:
    """Return how long to wait until the next look: longer after each that failed in a row."""
    return min(every_s * float(1 << min(failed, 6)), max(_MOST_S, every_s))


@contextmanager
def _keys() -> Iterator[Callable[[float], bytes]]:
    """While entered, keys come one by one and unseen; yields what waits for one, up to so many seconds.

    Where keys can't be had so (input from a file, another system), it only waits; Ctrl-C ends a view in any case.
    """
    waited = threading.Event()

    def no_keys(seconds: float) -> bytes:
        waited.wait(seconds)
        return b""

    try:
        import select
        import termios
        import tty
    except ImportError:
        yield no_keys
        return
    if not sys.stdin.isatty():
        yield no_keys
        return
    place = sys.stdin.fileno()
    before = termios.tcgetattr(place)

    def one_key(seconds: float) -> bytes:
        ready, _, _ = select.select([place], [], [], seconds)
        return os.read(place, 1) if ready else b""

    tty.setcbreak(place)
    try:
        yield one_key
    finally:
        termios.tcsetattr(place, termios.TCSADRAIN, before)
