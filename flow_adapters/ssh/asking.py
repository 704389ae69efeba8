"""Asking a person for a key's passphrase, at the terminal that the process has; without one nobody is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def ask_at_terminal(key: Path) -> str | None:
    """Return what the person types, unseen, or None where nobody can or will answer."""
    if not _has_terminal():
        return None
    import getpass

    try:
        return getpass.getpass(f"Passphrase for {key}: ")
    except EOFError:
        return None


def _has_terminal() -> bool:
    """Whether this process has a terminal and may read from it now; one in the background would be stopped."""
    if sys.platform == "win32":
        return sys.stdin.isatty()
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
