"""What the process that `flow` is spares."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_is_the_program():
    """`python -m flow_cli` is `flow`: its words, what it says and its exit code."""
    said, refused = (
        subprocess.run(
            [sys.executable, "-m", "flow_cli", *words], capture_output=True, text=True, check=False
        )
        for words in (["--version"], ["no-such"])
    )

    assert (0, "flow ") == (said.returncode, said.stdout[:5])
    assert (2, True) == (refused.returncode, "no-such" in refused.stderr)


def test_nothing_is_looked_through_for_a_short_command():
    """Loading and leaving cost no look through all objects: a few looks for garbage, and none through what is old."""
    counting = (
        "import atexit, gc, sys\n"
        "from flow_cli.__main__ import alone\n"
        "def looks(): return [each['collections'] for each in gc.get_stats()]\n"
        "before = looks()\n"
        "atexit.register(lambda: print(*map(int.__sub__, looks(), before), gc.get_freeze_count() > 0))\n"
        "def work():\n import flow_cli.commands.submit, flow_core.services.session\n return 0\n"
        "sys.exit(alone(work))"
    )
    run = subprocess.run(
        [sys.executable, "-c", counting], capture_output=True, text=True, check=True
    )
    youngest, _, oldest, is_frozen = run.stdout.split()

    assert ("True", "0") == (is_frozen, oldest)
    assert int(youngest) <= 2
