"""The process that `flow` is, also as `python -m flow_cli`.

Looking for garbage is a tenth of a short command: hundreds of times while modules load, whose objects all stay, and
once more through everything when the interpreter goes. A process that lasts still looks, a seventieth as often.
"""

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence

#: New objects between two looks for garbage; Python's own number is 700. Loading `submit` makes 70,000.
OBJECTS = 50_000


def main() -> int:
    """Run `flow` with the words of the process, and return its exit code."""
    return alone(_flow)


def alone(work: Callable[[], int]) -> int:
    """Do what the whole process is for; whatever there is at its end goes with it."""
    gc.set_threshold(OBJECTS)
    try:
        return work()
    finally:
        gc.freeze()


def begun_ahead(words: Sequence[str], environ: Mapping[str, str], work: Callable[[], int]) -> int:
    """Do `work`, for which a login to the task's node may begin before anything else is loaded."""
    from flow_adapters import ssh_ahead

    login = ssh_ahead.begin(words, environ)
    try:
        return work()
    finally:
        if login is not None:
            login.close()


def _flow() -> int:
    words = sys.argv[1:]
    return (
        begun_ahead(words, os.environ, _run)
        if words[:1] in (["logs"], ["ssh"], ["upload"])
        else _run()
    )


def _run() -> int:
    from flow_cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
