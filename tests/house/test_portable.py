"""macOS and Windows are users' machines too: POSIX-only modules load where they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import tree

POSIX_ONLY = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
EVERYWHERE = ("flow", "flow_core", "flow_adapters", "flow_cli")
FOLDERS_EVERYWHERE = ("flow_providers/mithril", "flow_providers/conformance")
#: asyncssh knows by the platform what it may import, which masking modules does not change; so it comes first.
MASK = f"import sys, asyncssh\nfor name in {POSIX_ONLY!r}: sys.modules[name] = None\n"


def portable_modules() -> list[str]:
    """The modules that a user of the command line, the SDK or the Mithril provider may load."""
    return [tree.module_name(path) for path in tree.python_files(*tree.PACKAGES) if runs_here(path)]


def runs_here(path: Path) -> bool:
    """Whether a file is for the user's machine; what runs on a node, and the pretend nodes, are POSIX."""
    name = tree.relative(path)
    if name.startswith("flow_core/node/"):
        return False
    return name.split("/")[0] in EVERYWHERE or name.startswith(FOLDERS_EVERYWHERE)


def imported_in_one_go(modules: list[str]) -> subprocess.CompletedProcess[str]:
    """The result of importing them all in one interpreter without the POSIX-only modules."""
    attempts = "".join(
        f"try: import {name}\nexcept ImportError as error: failed.append(('{name}', str(error)))\n"
        for name in modules
    )
    program = (
        MASK + "failed = []\n" + attempts + "print(*failed, sep='\\n'); sys.exit(bool(failed))"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=tree.ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_users_side_imports_without_posix_modules():
    """Each module of the CLI, the SDK and the Mithril provider imports where fcntl, pwd and their like are absent."""
    result = imported_in_one_go(portable_modules())

    assert "" == (result.stdout + result.stderr).strip()


def test_the_mask_hides_what_it_names():
    """An import of a masked module is refused, so the test above can fail."""
    result = imported_in_one_go(["pwd"])

    assert 1 == result.returncode
    assert "pwd" in result.stdout
