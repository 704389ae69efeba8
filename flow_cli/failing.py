"""Failures at the door: what is said, what is written as JSON, and which exit code it makes. Never a traceback.

A fault of Flow's own leaves its traceback in a file that only the user can read, and one line on stderr that names it.
With FLOW_DEBUG set, tracebacks are printed as well.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import click

from flow_cli import exit_codes
from flow_cli.invocation import Invocation
from flow_cli.show.errors import error_json, error_text
from flow_core.errors import FlowError, InvalidRequest


def told(failure: BaseException, invocation: Invocation) -> int:
    """Tell the user of `failure` and return the exit code."""
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else 1
    if isinstance(failure, BrokenPipeError):
        _hush()
        return exit_codes.BROKEN_PIPE
    try:
        return _told(failure, invocation)
    except BrokenPipeError:
        _hush()
        return exit_codes.BROKEN_PIPE


def speak_up(verbosity: int) -> None:
    """Let the libraries' log be seen on stderr: facts with one -v, details with two."""
    import logging

    level = logging.INFO if verbosity == 1 else logging.DEBUG
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(name)s: %(message)s", force=True
    )
    for chatty in ("httpcore", "httpx", "hpack"):  # their details hold headers, and so keys
        logging.getLogger(chatty).setLevel(max(level, logging.INFO))


def _told(failure: BaseException, invocation: Invocation) -> int:
    if isinstance(failure, (KeyboardInterrupt, click.Abort)):
        if not invocation.json:
            invocation.talk.say("interrupted")
        return exit_codes.INTERRUPTED
    if invocation.debug and not isinstance(failure, click.ClickException):
        traceback.print_exception(failure)
    if isinstance(failure, click.ClickException):
        hint = None
        if isinstance(failure, click.UsageError) and failure.ctx is not None:
            hint = f"`{failure.ctx.command_path} --help` shows how it is written"
            if isinstance(failure, click.NoSuchOption) and getattr(
                failure.ctx.command, "takes_words", False
            ):
                hint = "options of your own command go in quotes with it, or after `--`"
        return _reported(invocation, exit_codes.USAGE, failure.format_message(), hint=hint)
    if isinstance(failure, InvalidRequest):
        return _reported(
            invocation, failure.kind, failure.message, hint=failure.hint, problems=failure.problems
        )
    if isinstance(failure, FlowError):
        return _reported(invocation, failure.kind, failure.message, hint=failure.hint)
    if _is_full(failure):
        return _reported(
            invocation,
            "no-room",
            f"this machine has no room left: {failure}",
            hint="free some disk space and try again",
        )
    where = _kept(failure, invocation.environ)
    return _reported(
        invocation,
        exit_codes.UNEXPECTED,
        f"Flow met something it was not made for: {type(failure).__name__}: {failure}",
        hint=f"the details are in {where}" if where else "set FLOW_DEBUG=1 to see the details",
    )


def _reported(
    invocation: Invocation,
    kind: str,
    message: str,
    *,
    hint: str | None,
    problems: Mapping[str, str] | None = None,
) -> int:
    code = exit_codes.exit_code(kind, passes_on=invocation.passes_on)
    if invocation.json:
        document = error_json(kind, message, exit_code=code, hint=hint, problems=problems)
        invocation.out.document("error", {**document, **invocation.subject})
    text = error_text(kind, message, hint=hint, problems=problems, spelled=invocation.spelled)
    for line in text.split("\n"):
        invocation.talk.line(line, "bold red" if line.startswith("error:") else "")
    return code


def _is_full(failure: BaseException) -> bool:
    import errno

    return isinstance(failure, OSError) and failure.errno in (
        errno.ENOSPC,
        getattr(errno, "EDQUOT", None),
    )


def _kept(failure: BaseException, environ: Mapping[str, str]) -> Path | None:
    """Write the traceback down and return where, or None where even that can't be done."""
    from flow_adapters.clocks import SystemClock
    from flow_adapters.places import state_dir

    try:
        folder = state_dir(environ) / "faults"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        moment = SystemClock().now().strftime("%Y%m%dT%H%M%S")
        path = folder / f"{moment}-{os.getpid()}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(failure)))
    except OSError:
        return None
    return path


def _hush() -> None:
    """Give the streams somewhere to go, so that the interpreter's last flush has nothing to complain of."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
