"""README.md and docs/start.md, followed word for word in an empty folder with a fresh mock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.docs.blocks import Block, blocks

PAGES = ("README.md", "docs/start.md")
#: What these say is the business of whoever installs; every other line of the pages is run here.
INSTALLS = ("make ", "git clone", "uv tool install", "pipx install")
FINAL = {"completed", "failed", "cancelled"}

pytestmark = pytest.mark.slow


@frozen
class Newcomer:
    """Someone with an empty folder, Flow on the path and no settings."""

    folder: Path

    def follow(self, interpreter: str, text: str) -> subprocess.CompletedProcess[str]:
        """Put `text` into a file and have it run."""
        page = self.folder.parent / "page"
        page.write_text(text, "utf-8")
        return self.run(*interpreter.split(), str(page))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which comes within three minutes; it has nothing to read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOW_")}
        place = {"FLOW_STATE_DIR": "state", "FLOW_CONFIG_DIR": "config"}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={
                **kept,
                **{name: str(self.folder.parent / value) for name, value in place.items()},
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """A newcomer; whatever is live in the end is ended."""
    folder = tmp_path / "work"
    folder.mkdir()
    someone = Newcomer(folder)
    yield someone
    someone.run("flow", "--provider", "mock", "mock", "reset", "--yes")


def test_a_page_has_something_to_run():
    """What is left out is only what installs, so that the tests below can't pass by running nothing."""
    assert [True, True] == [bool(commands(page)) for page in PAGES]
    assert [1, 1] == [len(blocks(page, "python")) for page in PAGES]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(page, newcomer):
    """In their order, in one shell, each command of the page ends with 0 and nothing is left running."""
    done = newcomer.follow("sh -e", "".join(block.text for block in commands(page)))
    assert 0 == done.returncode, done.stderr

    listed = newcomer.run("flow", "--provider", "mock", "status", "--json")
    states = {task["state"] for task in json.loads(listed.stdout)["tasks"]}

    assert states
    assert set() == states - FINAL


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "python")], ids=str)
def test_a_page_in_python_works(block, newcomer):
    """The page's script runs as it stands, and what its command printed reaches the caller."""
    done = newcomer.follow(sys.executable, block.text)

    assert 0 == done.returncode, done.stderr
    assert "42" in done.stdout.splitlines()


def commands(page: str) -> list[Block]:
    """The page's shell blocks that don't install anything."""
    return [
        block
        for block in blocks(page, "sh")
        if not any(line.startswith(INSTALLS) for line in block.text.splitlines())
    ]
