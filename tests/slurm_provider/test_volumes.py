"""Volumes on a cluster: folders of the shared folder, at a path by a link, or bound where an image runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_providers.slurm import mounts
from flow_providers.slurm.desk_volumes import problem_with
from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.test_images import APPTAINER
from tests.slurm_provider.user import User
from tests.stories.simulated_mithril import end_processes_of


@pytest.fixture
def user(tmp_path: Path, slurm: RunningCluster) -> Iterator[User]:
    """Somebody on the cluster's login node; what a failed test leaves running ends with it."""
    yield User(tmp_path, slurm)
    slurm.run("scancel", "--me")
    end_processes_of(tmp_path)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A shared folder with the volumes `a` and `b`, which hold nothing."""
    root = tmp_path / "shared"
    for name in ("a", "b"):
        (root / "volumes" / name / "data").mkdir(parents=True)
    return root


@pytest.mark.slurm
@pytest.mark.slow
def test_a_volume_goes_from_task_to_task(user: User):
    """A task makes its volume and writes to it; two nodes of another partition read it, and it is deleted."""
    data = user.home / "scratch" / "data"
    mount = f"volume://data?size=1gb:{data}"
    user.flow("submit", f"echo kept > {data}/file", "-i", "cpu", "--mount", mount, "--yes")
    words = ("-i", "cpu", "-N", "2", "--region", "urgent", "--mount", f"volume://data:{data}")
    said = user.flow("submit", f"cat {data}/file", *words, "--yes")
    listed = user.flow("volume", "list")
    user.flow("volume", "delete", "data", "--yes")

    assert 2 == sum(line.endswith(" kept") for line in said.splitlines()), said
    assert "every" in listed
    assert not data.exists()


@pytest.mark.slurm
@pytest.mark.slow
def test_a_path_that_can_not_be_is_refused_before_anything_waits(user: User):
    """A path where files are is refused with a sentence, and so is what is read-only without an image."""
    taken = user.home / "taken"
    taken.mkdir()
    (taken / "file").touch()
    user.flow("volume", "create", "--size", "1", "--name", "data")
    words = ("submit", "true", "-i", "cpu", "--yes", "--mount")
    first = user.flow(*words, f"volume://data:{taken}", code=125)
    second = user.flow(*words, f"volume://data:{user.home}/data:ro", code=125)

    assert "is taken: there are files already" in first
    assert "can't be read-only without an image" in second
    assert [] == user.names()


@pytest.mark.slurm
@pytest.mark.slow
def test_an_image_has_volumes_at_any_path(user: User):
    """With an image a volume is bound at a path that nobody could make on the node, read-only if that is said."""
    (user.home / "bin").mkdir()
    (user.home / "bin" / "apptainer").write_text(APPTAINER)
    (user.home / "bin" / "apptainer").chmod(0o755)
    far = User(user.home, user.cluster, path=str(user.home / "bin"))
    words = ("-i", "cpu", "--image", "ubuntu:22.04", "--yes")
    said = far.flow(
        "submit", "true", *words, "--mount", "volume://data?size=1gb:/proc/nowhere/data"
    )
    again = far.flow("submit", "true", *words, "--mount", "volume://data:/proc/nowhere/data:ro")
    source = user.home / "shared" / "volumes" / "data" / "data"

    assert f"--bind {source}:/proc/nowhere/data " in said
    assert f"--bind {source}:/proc/nowhere/data:ro " in again


def test_a_link_leads_where_a_bid_wants_it(shared: Path, tmp_path: Path):
    """A link is made, kept, and led elsewhere once no live bid wants it as it is; an empty folder gives way to it."""
    first, other = (_bid(shared, name) for name in ("a", "b"))
    path = tmp_path / "deep" / "data"
    path.mkdir(parents=True)
    (shared / "bids" / "a" / "mounts").write_text(json.dumps([_mount("a", path)]))

    assert 0 == mounts.main(str(first))
    assert 0 == mounts.main(str(first))
    (shared / "bids" / "b" / "mounts").write_text(json.dumps([_mount("b", path)]))
    assert 1 == mounts.main(str(other))
    assert shared / "volumes" / "a" / "data" == path.readlink()
    (first / "end.json").touch()
    assert 0 == mounts.main(str(other))
    assert shared / "volumes" / "b" / "data" == path.readlink()


def test_what_is_somebodys_stays(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A file, a folder with files and a link to somewhere else are left as they are, and the bid says so."""
    (tmp_path / "file").touch()
    (tmp_path / "full" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "full")
    bid = _bid(shared, "a")
    for name in ("file", "full", "link"):
        (bid / "mounts").write_text(json.dumps([_mount("a", tmp_path / name)]))

        assert 1 == mounts.main(str(bid))
        assert f"volume a can't be at {tmp_path / name}" in capsys.readouterr().err
    assert [tmp_path / "full" / "inner"] == list((tmp_path / "full").iterdir())


def test_an_image_needs_no_link(shared: Path, capsys: pytest.CaptureFixture[str]):
    """For a bid with an image it is enough to say which folder is meant."""
    bid = _bid(shared, "a", in_image=True)
    (bid / "mounts").write_text(json.dumps([_mount("a", Path("/proc/nowhere"), read_only=True)]))

    assert 0 == mounts.main(str(bid))
    found = json.loads(capsys.readouterr().out)
    assert {"/proc/nowhere": [str(shared / "volumes" / "a" / "data"), True]} == found


def test_problems_are_seen_from_the_login_node(shared: Path, tmp_path: Path):
    """What is taken, can't be made, or is no volume, is a sentence; a free path, an empty folder, a link are none."""

    def said(path: str, volume: str = "a", *, in_image: bool = False) -> str:
        mount = {"id": volume, "path": path, "read_only": False}
        return problem_with(str(shared), mount, in_image=in_image)

    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    assert ["", "", ""] == [said(f"{tmp_path}/{name}") for name in ("new/one", "empty", "link")]
    assert "is taken" in said(f"{tmp_path}/file")
    assert "can't be made" in said(f"{tmp_path}/file/below")
    assert "there is no volume c" in said(f"{tmp_path}/new", "c")
    assert "it has ':'" in said("/data:x", in_image=True)


def _bid(shared: Path, name: str, *, in_image: bool = False) -> Path:
    folder = shared / "bids" / name
    folder.mkdir(parents=True)
    (folder / "bid.json").write_text(json.dumps({"name": name, "in_image": in_image}))
    return folder


def _mount(volume: str, path: Path, *, read_only: bool = False) -> dict[str, object]:
    return {"id": volume, "path": str(path), "read_only": read_only}
