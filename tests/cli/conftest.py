"""`flow` as a function: one call of the command line over the in-memory session."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import frozen
from click.testing import CliRunner

from flow_cli.app import cli
from flow_cli.invocation import Invocation
from flow_core.services.session import Session


@frozen
class Answer:
    """What one call came to."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The JSON documents on stdout, in order."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        """The only document on stdout."""
        (found,) = self.documents
        return found


Flow = Callable[..., Answer]


@pytest.fixture
def flow(session: Session, tmp_path) -> Flow:
    """Call `flow` with these words; `typed` is what the user types, `terminal` makes both streams one."""
    environ = {
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "HOME": str(tmp_path),
    }

    def call(
        *words: str,
        typed: str = "",
        terminal: bool | None = None,
        width: int = 80,
        environ: Mapping[str, str] = environ,
        connect: Callable[..., Session] = lambda provider, environ: session,
    ) -> Answer:
        invocation = Invocation(connect=connect, environ=environ, terminal=terminal, width=width)
        result = runner().invoke(cli, list(words), obj=invocation, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


def runner() -> CliRunner:
    """A runner that keeps stderr apart: an option before click 8.2, the only way since."""
    try:
        return CliRunner(mix_stderr=False)
    except TypeError:
        return CliRunner()
