"""Options of a task, GPUs as nvidia-smi lists them, and images' names: read and refused without any engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_core.domain.shape import parse_shape
from flow_core.errors import InvalidRequest, Misconfigured
from flow_providers.local_docker import gpus
from flow_providers.local_docker.asked import Asked, check_limits, read_options
from flow_providers.local_docker.bringing import Progress, registry_of
from flow_providers.local_docker.images import is_path
from flow_providers.local_docker.labels import id_of

EIGHT = "".join(f"{index}, NVIDIA H100 80GB HBM3, 81559\n" for index in range(8))


def test_options_are_read_as_docker_users_write_them(tmp_path: Path):
    """Sizes have units, CPUs may be parts of one, folders become binds, ports become pairs."""
    asked = read_options(
        {
            "cpus": "1.5", "memory": "2g", "shm": "512m", "user": "1000:1000",
            "live": str(tmp_path), "mount": f"{tmp_path}:/data:ro", "publish": "8080:80,9000",
        },
        workspace="/workspace",
    )  # fmt: skip

    assert (1.5, 2 << 30, 512 << 20, "1000:1000") == (
        asked.cpus,
        asked.memory,
        asked.shm,
        asked.user,
    )
    assert (f"{tmp_path}:/workspace", f"{tmp_path}:/data:ro") == asked.binds
    assert ((8080, 80), (9000, 9000)) == asked.publish


def test_every_option_that_cannot_be_is_told_at_once(tmp_path: Path):
    """Each wrong option has its sentence, and nothing is placed for one of them alone."""
    wrong = {
        "cpus": "many", "memory": "1k", "shm": "big", "mount": "here",
        "publish": "99999", "user": "me", "live": str(tmp_path / "gone"),
    }  # fmt: skip
    with pytest.raises(InvalidRequest) as raised:
        read_options(wrong, workspace="/workspace")

    assert [] == [name for name in wrong if name not in raised.value.message]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(memory=1 << 30), ["memory"]),
        (Asked(cpus=2.0), ["cpus"]),
        (Asked(memory=1 << 30, cpus=2.0), ["memory", "cpus"]),
    ],
)
def test_a_limit_that_the_engine_does_not_enforce_is_refused(asked: Asked, told: list[str]):
    """An engine that says it can't limit something is not asked to; one that says nothing is taken to."""
    can = {"MemoryLimit": True, "CpuCfsQuota": True}
    rootless = {**can, "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    for about in (
        {"MemoryLimit": False, "CpuCfsQuota": False},
        {**rootless, "CgroupVersion": "1"},
    ):
        with pytest.raises(InvalidRequest) as raised:
            check_limits(asked, about)

        words = raised.value.problems["options"]
        assert told == [name for name in ("memory", "cpus") if name in words]
    check_limits(asked, can)
    check_limits(asked, {**rootless, "CgroupVersion": "2"})
    check_limits(asked, {})
    check_limits(Asked(), {"MemoryLimit": False, "CpuCfsQuota": False})


def test_gpus_are_read_from_nvidia_smi():
    """Eight lines are eight GPUs of a family, in the size that it is sold in."""
    found = gpus.read_gpus(EIGHT)

    assert tuple(range(8)) == found.indices
    assert parse_shape("8xh100").matches(found.shape(8))
    assert () == gpus.read_gpus("No devices were found").indices


def test_a_card_that_flow_does_not_know_is_a_family_of_its_own():
    """A new card is offered under its maker's name rather than not at all."""
    found = gpus.read_gpus("0, NVIDIA Zeta Z9000, 99999\n")

    assert ("zetaz9000", (0,)) == (found.family, found.indices)


def test_pretended_gpus_are_a_shape():
    """`pretend_gpus` takes a shape, and says so where it is none."""
    assert 8 == len(gpus.pretended("8xh100").indices)
    with pytest.raises(Misconfigured):
        gpus.pretended("lots")


def test_a_pull_adds_up_its_layers():
    """What is said of a pull is the sum over its layers, whole ones included."""
    progress = Progress()
    for name, here in (("a", 10_000_000), ("b", 5_000_000)):
        detail = {"current": here, "total": 20_000_000}
        words = progress.heard({"id": name, "status": "Downloading", "progressDetail": detail})
    done = progress.heard({"id": "a", "status": "Download complete"})

    assert "15 of 40 MB" == words
    assert "25 of 40 MB" == done


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("python:3.12", "https://index.docker.io/v1/"),
        ("nvidia/cuda:12", "https://index.docker.io/v1/"),
        ("localhost:5000/mine", "localhost:5000"),
        ("ghcr.io/me/mine:1", "ghcr.io"),
    ],
)
def test_an_image_names_its_registry(image: str, registry: str):
    """The login that is used for a pull is the one kept for the registry that the image's name begins with."""
    assert registry == registry_of(image)


def test_paths_are_told_from_names():
    """An image that begins like a path, or ends in Dockerfile, is built; any other is a name."""
    paths = ["./Dockerfile", ".", "/home/me/box", "~/box", "sub/Dockerfile", "Dockerfile"]

    assert paths == [each for each in [*paths, "python:3.12", "me/mine"] if is_path(each)]


def test_a_bid_s_name_becomes_an_id_that_docker_takes():
    """A plain name is its own id; any other has one that differs for each name."""
    odd = {id_of(name) for name in ("a b", "a/b", "ü", "-a", "")}

    assert "train-ab12" == id_of("train-ab12")
    assert 5 == len(odd)
    assert [] == [each for each in odd if not each.replace("-", "").replace("_", "").isalnum()]
