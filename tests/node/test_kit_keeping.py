"""Of a log that outgrows its place the end is kept; its offsets stay right, and a note says what is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.house.tree import ROOT
from tests.node.kit import PATIENCE_S
from tests.s3_service import BUCKET, serving

SEGMENT, MOST = 10, 3
GROWTH = st.one_of(st.integers(0, 25), st.integers(30, 90))
#: Writes what stands in $GROWTHS to a node's log, piece by piece, with a look after each, some of them after a restart.
PROGRAM = f"""
import json, os
from flow_core.node.kit.keeping import Keeping
from flow_core.node.node_store import Log
log, keeping = Log(), Keeping({SEGMENT}, {MOST})
setup = json.loads(os.environ["SETUP"])
for number, (growth, restarts) in enumerate(json.loads(os.environ["GROWTHS"])):
    log.add(0, bytes(97 + (log.size + each) % 26 for each in range(growth)))
    if restarts:
        keeping = Keeping({SEGMENT}, {MOST})
    keeping.look(setup, 100.0 * number)
"""


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(GROWTH, st.booleans()), min_size=1, max_size=12))
@example([(25, False), (90, True)])
def test_the_end_of_a_long_log_is_kept(growths: list[tuple[int, bool]]):
    """Files follow on each other to the log's end, each named by its offset; dropped ones are all before the first."""
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume"
        keep(Path(folder), growths, {"attending": {"log": {"folder": str(volume), "mounted": ""}}})
        files = {each.name: each.read_text() for each in sorted(volume.glob("log/node-0-*/*.log"))}

    must_be_the_end(files, sum(growth for growth, _ in growths))


def test_a_bucket_has_the_same(tmp_path: Path):
    """Files are put as a whole, and dropped, by the mount's own keys."""
    about = {"path": "/data", "bucket": BUCKET, "prefix": "", "writable": True, "endpoint": ""}
    with serving() as service:
        mounts = [{**about, "endpoint": service.url, "region": ""}]
        setup = {
            "attending": {"log": {"folder": ".flow/one", "bucket": "/data"}},
            "s3": {"keys": service.keys(), "mounts": mounts},
        }
        keep(tmp_path, [(25, False), (90, True), (7, False)], setup)
        found = service.client.list_objects_v2(Bucket=BUCKET, Prefix=".flow/one/log/")["Contents"]
        files = {
            each["Key"].rpartition("/")[2]: service.client.get_object(
                Bucket=BUCKET, Key=each["Key"]
            )["Body"].read().decode()
            for each in found
        }  # fmt: skip

    must_be_the_end(files, 122)


def must_be_the_end(files: dict[str, str], size: int) -> None:
    """Files, in the order of `cat *.log`, are the end of a log of that size, and say where it begins."""
    whole = "".join(chr(97 + each % 26) for each in range(size))
    note = files.pop("000000000000-dropped.log", "")
    begins = [int(name.removesuffix(".log")) for name in files]
    first = max(size // SEGMENT - MOST, 0) * SEGMENT
    told = f"flow: what the log had before byte {first} is no longer kept here\n"

    assert list(range(first, size, SEGMENT)) == begins
    assert whole[first:] == "".join(files.values())
    assert (told if first else "") == note


def keep(folder: Path, growths: list[tuple[int, bool]], setup: dict[str, object]) -> None:
    """Have a node with that set-up keep a log that grows so."""
    env = {
        "FLOW_HOME": str(folder),
        "SETUP": json.dumps(setup),
        "GROWTHS": json.dumps(growths),
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, timeout=PATIENCE_S)
