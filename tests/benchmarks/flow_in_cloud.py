"""`flow` with a cloud whose nodes are servers on loopback: `… flow_in_cloud CLOUD.json WORDS…`.

A program of its own, so that no more is loaded than `flow` itself loads, and nothing before the process is set up.
"""

import sys

from flow_cli.__main__ import alone


def main() -> int:
    """Run one command of `flow` in the cloud that the first word's file describes."""
    from tests.benchmarks.cloud_sessions import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(alone(main))
