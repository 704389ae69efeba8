"""One file, three places: the pretend cloud, this machine's Docker and simulated Mithril run it unchanged, alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.local_docker.engine import PYTHON_IMAGE
from tests.stories.simulated_mithril import User, end_processes_of, serving, set_up

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.flaky(reruns=1),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="nodes boot on Linux only"),
]

TASK = """\
name: greet
instance_type: 8xh100
num_instances: 2
env:
  GREETING: hello
command: |
  sort words.txt | sed "s/^/$GREETING from $FLOW_NODE_RANK of $FLOW_NUM_NODES with $FLOW_GPUS GPUs: /"
"""


def test_one_file_runs_alike_everywhere(tmp_path: Path, docker_host: str):
    """The command's lines, by rank, and the exit code are the same on all three providers."""
    if shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("simulated Mithril's nodes need OpenSSH's server")
    said = {}
    for provider in ("mock", "local-docker", "mithril"):
        user = User(tmp_path / provider)
        user.folder.mkdir(parents=True)
        (user.folder / "task.yaml").write_text(TASK)
        (user.folder / "words.txt").write_text("two\none\n")
        try:
            said[provider] = run(user, provider, docker_host)
        finally:
            end_processes_of(user.home)
    expected = [
        f"[{rank}] hello from {rank} of 2 with 8 GPUs: {word}"
        for rank in (0, 1)
        for word in ("one", "two")
    ]

    assert dict.fromkeys(said, expected) == said


def run(user: User, provider: str, host: str) -> list[str]:
    """Submit the file, and return the lines that its command wrote, in order."""
    words = ("submit", "task.yaml", "--yes", "--provider", provider)
    if provider == "mock":
        return lines(user.flow(*words, FLOW_MOCK_INSTANT="1").out)
    if provider == "mithril":
        with serving(user) as simulator:
            set_up(user, simulator)
            return lines(user.flow(*words).out)
    settings = user.home / ".config" / "flow"
    settings.mkdir(parents=True)
    text = f'[local-docker]\nimage = "{PYTHON_IMAGE}"\npretend_gpus = "16xh100"\n'
    (settings / "config.toml").write_text(text)
    return lines(user.flow(*words, DOCKER_HOST=host).out)


def lines(out: str) -> list[str]:
    """The command's own lines; the two nodes write at once, so in order."""
    return sorted(line for line in out.splitlines() if "GPUs" in line)
