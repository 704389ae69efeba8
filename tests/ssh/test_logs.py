"""Logs of nodes behind a real server, read by OpenSSH's client and by a connection of ours."""

from __future__ import annotations

import random

import pytest

from tests.node.test_log_reader import MIB, write
from tests.ssh.cloud import Cloud


@pytest.mark.parametrize("ssh", ["ssh", None])
def test_a_node_s_log_is_empty_until_its_helper_writes_one(make_shell, sshd, tmp_path, ssh):
    """Who reads before the node script has begun finds nothing, and later all of it, however it is asked for."""
    home = tmp_path / "it's flow"
    cloud = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port])
    session = cloud.session(make_shell(flow_home=str(home), ssh=ssh))
    before = list(session.tasks.logs("train", follow=False))
    data = random.Random(1).randbytes(3 * MIB)
    write(home, [5, len(data) - 5], data)
    after = list(session.tasks.logs("train", follow=False))

    assert [] == before
    assert data == b"".join(chunk.data for chunk in after)
    assert after[-1].is_last
