"""Nodes boot for a plain user too: as `nobody`, in a user namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.house import tree
from tests.sim_nodes.kit import refuse

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

#: What setpriv starts it may start with root's rights; what that starts, it may not.
PROBE = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import asyncssh, attrs'], check=True)"


@pytest.fixture
def told() -> dict[str, object]:
    """What the program in `as_user` found, run as nobody."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip(
            "needs root, and setpriv to become somebody else; as a plain user the other tests show it"
        )
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tree.ROOT), *sys.path[1:]]),
    }
    folder = Path(tempfile.mkdtemp(prefix="flow-nobody-"))
    os.chown(folder, 65534, 65534)
    try:
        for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
            line = [*AS_NOBODY, python, "-m", "tests.sim_nodes.as_user", str(folder)]
            probe = [*AS_NOBODY, python, "-c", PROBE]
            if _works(probe, env):
                done = subprocess.run(
                    line, env=env, cwd=folder, capture_output=True, text=True, check=False
                )
                assert 0 == done.returncode, done.stderr
                found: dict[str, object] = json.loads(done.stdout)
                return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    pytest.skip("nobody may read neither this interpreter nor its packages")


def _works(probe: list[str], env: dict[str, str]) -> bool:
    try:
        return subprocess.run(probe, env=env, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.slow
def test_a_plain_user_s_node_boots_runs_and_goes(told):
    """The script and sudo are root inside; services, terminals, input, a second boot and the end are as for root."""
    if told["why_bare"] is not None:
        refuse(f"nobody can make no node: {told['why_bare']}")

    assert 0 == told["script"], told
    assert [0, "ubuntu\n0\n/home/ubuntu\ntrain-0\n", ""] == told["user"]
    assert [0, "0\nmade\n", ""] == told["sudo"]
    assert [0, "active\nran\n", ""] == told["service"]
    assert [8, "/dev/pts/0\n", ""] == told["terminal"]
    assert [0, "300000\n", ""] == told["input"]
    assert "0\n" == told["log"][1][:2]
    assert [0, "/etc/made\n", ""] == told["again"]
    assert not set(told["left"]) & {"disk", "local", "view", "host_key"}
    assert not Path("/etc/made").exists()
