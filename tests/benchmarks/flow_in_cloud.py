"""`flow` with a cloud whose nodes are servers on loopback: `… flow_in_cloud CLOUD.json WORDS…`.

A program of its own, so that no more is loaded than `flow` itself loads, and nothing before the process is set up.
"""

import os
import sys
from pathlib import Path

from flow_cli.__main__ import alone, begun_ahead


def main() -> int:
    """Run one command of `flow` in the cloud that the first word's file describes."""
    state = Path(sys.argv[1]).parent / "state"
    return begun_ahead(sys.argv[2:], {**os.environ, "FLOW_STATE_DIR": str(state)}, _flow)


def _flow() -> int:
    from tests.benchmarks.cloud_sessions import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(alone(main))
