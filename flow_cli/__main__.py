"""The process that `flow` is, also as `python -m flow_cli`.

Looking for garbage is a tenth of a short command: hundreds of times while modules load, whose objects all stay, and
once more through everything when the interpreter goes. A process that lasts still looks, a seventieth as often.
"""

import gc
from collections.abc import Callable

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


def _flow() -> int:
    from flow_cli.app import main as run

    return run()


if __name__ == "__main__":
    import sys

    sys.exit(main())
