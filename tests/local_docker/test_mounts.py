"""What appears in containers besides the image: buckets, folders of this machine, and the workspace itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.services.data_buckets import MARGIN
from tests.local_docker.engine import BARE_IMAGE, refuse
from tests.local_docker.user import User
from tests.s3_service import s3fs_problem, serving

pytestmark = [pytest.mark.docker, pytest.mark.slow]

#: Source: linux/capability.h; the mask in /proc/PID/status.
SYS_ADMIN = 1 << 21


@pytest.fixture
def user(tmp_path: Path, docker_host: str) -> User:
    """A person whose tasks run where there is nothing but a busybox."""
    return User(tmp_path, docker_host, BARE_IMAGE)


def test_a_bucket_is_mounted_though_the_image_has_nothing_for_it(user: User):
    """Objects are files, what is written becomes one but in a copy, and the command can't mount anything itself."""
    if problem := s3fs_problem():
        refuse(problem)
    look = "cat /data/one; echo two > /data/two; grep CapEff /proc/self/status"
    with serving(part__one="one\n") as service:
        user = user.knowing(**service.environ)
        mount = ["--mount", "s3://data/part?mode=rw:/data", "--option", "network=host"]
        said = user.flow("submit", look, "-i", "cpu", *mount, "--yes")
        (user.home / "mine").mkdir()
        os.chown(user.home / "mine", 1234, 1234)
        live = ["--live", str(user.home / "mine"), "--option", "user=1234"]
        copied = ("--mount", "s3://data/part?copy:/copied")
        write = (
            "cat /data/two /copied/one > copy; echo three > /copied/three; echo four > /data/four"
        )
        user.flow("submit", write, "-i", "cpu", *mount, *copied, *live, "--yes")
        texts = service.texts()
    copy = user.home / "mine" / "copy"
    capabilities = int(said.partition("CapEff:")[2].split()[0], 16)

    assert "one\n" in said
    assert {"part/one": "one\n", "part/two": "two\n", "part/four": "four\n"} == texts
    assert 0 == capabilities & SYS_ADMIN
    assert ("two\none\n", 1234) == (copy.read_text(), copy.stat().st_uid)


def test_expiring_keys_are_renewed_in_the_container(user: User):
    """Keys of a credential_process that soon expire are replaced while the command runs, and a new mount shows."""
    if problem := s3fs_problem():
        refuse(problem)
    look = "echo $(ls -d /opt/flow/s3/*); cat /data/one"
    line = f"{look}; until [ -e done ]; do sleep 0.1; done; {look}"
    with serving(part__one="one\n") as service:
        told = {
            "Version": 1,
            "AccessKeyId": service.access_key,
            "SecretAccessKey": service.secret_key,
        }
        (user.home / "keys.py").write_text(
            "import datetime as d, json\n"
            # Some seconds after the command has begun they are due.
            f"end = d.datetime.now(d.timezone.utc) + d.timedelta(seconds={MARGIN.total_seconds() + 8})\n"
            f"print(json.dumps({{**{told!r}, 'Expiration': end.isoformat()}}))\n"
        )
        (user.home / ".aws").mkdir()
        (user.home / ".aws" / "config").write_text(
            f"[default]\ncredential_process = {sys.executable} {user.home}/keys.py\nendpoint_url = {service.url}\n"
        )
        mount = ["--mount", "s3://data/part:/data", "--option", "network=host", "--no-code"]
        user.flow("submit", line, "-i", "cpu", "--name", "long", *mount, "--yes", "-d")
        for _ in range(100):
            if "its nodes have new keys" in user.flow("status", "long", "--json"):
                break
        user.flow("ssh", "long", "--", "touch done")
        log = user.run("logs", "long", "-f").stdout.splitlines()

    assert ["one", "one"] == log[1::2]
    assert log[0] != log[2]


def test_a_folder_of_this_machine_is_mounted(user: User):
    """A relative path is one of where it was submitted; `:ro` lets nobody write; one that isn't there is named."""
    data = user.home / "code" / "data"
    data.mkdir(parents=True)
    (data / "word").write_text("here\n")
    look = "cat /in/word; touch /in/new || echo refused"
    said = user.flow("submit", look, "-i", "cpu", "--mount", "./data:/in:ro", "--yes")
    lost = user.flow("submit", "true", "-i", "cpu", "--mount", "./gone:/in", "--yes", fails=True)

    assert "here\n" in said
    assert "refused\n" in said
    assert f"there is no {data.with_name('gone')}" in lost


def test_a_live_folder_is_edited_here_and_run_there(user: User):
    """A change here is seen there at once, nothing is copied over it, and what is written there is the user's own."""
    code = user.home / "code"
    code.mkdir()
    os.chown(code, 1234, 1234)
    (code / "word").write_text("first\n")
    wait = "touch begun; until grep -q second word; do sleep 0.1; done; echo made > made.txt"
    asked = ["--option", "local-docker.live=.", "--option", "local-docker.user=1234:1234"]
    user.flow("submit", wait, "-i", "cpu", "--name", "alive", *asked, "--yes", "-d")
    until(code / "begun")
    (code / "word").write_text("second\n")
    user.flow("logs", "alive", "-f")
    made = code / "made.txt"

    assert ("made\n", 1234, 1234) == (made.read_text(), made.stat().st_uid, made.stat().st_gid)
    assert "second\n" == (code / "word").read_text()


def until(path: Path) -> None:
    """Wait for a file."""
    clock = SystemClock()
    for _ in range(600):
        if path.exists():
            return
        clock.sleep(0.1)
    raise AssertionError(f"{path} never came")
