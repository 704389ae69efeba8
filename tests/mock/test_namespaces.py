"""Folders appear at absolute paths that this machine doesn't have, for one process only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flow_providers.mock import namespaces
from flow_providers.mock.namespaces import Bind
from tests.node.kit import PATIENCE_S

WHY_NOT = namespaces.available()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "unused")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two folders to bind, each with a file."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def seen(folders: Path, binds: list[Bind], line: str) -> subprocess.CompletedProcess[str]:
    """What a shell line says in a view with `binds`."""
    arguments = namespaces.inside(
        binds, staging=str(folders / "staging"), command=["sh", "-c", line]
    )
    return subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=folders
    )


def test_a_folder_appears_below_the_root(folders):
    """A path whose first part doesn't exist is there inside, and never outside."""
    done = seen(
        folders,
        [Bind(str(folders / "one"), "/flow-test-models/deep")],
        "cat /flow-test-models/deep/file; pwd",
    )

    assert f"one{folders}\n" == done.stdout
    assert not Path("/flow-test-models").exists()


def test_the_rest_of_the_machine_is_still_there(folders):
    """Beside the new folder, the root holds what it held."""
    done = seen(folders, [Bind(str(folders / "one"), "/flow-test-models")], "ls -A /")

    assert {"flow-test-models", *(path.name for path in Path("/").iterdir())} == set(
        done.stdout.split("\n")
    ) - {""}


def test_a_folder_appears_beside_others(folders):
    """A missing folder of an existing one appears without hiding its neighbours, and nothing is made on the host."""
    place = folders / "place"
    (place / "neighbour").mkdir(parents=True)
    (place / "text").write_text("x")
    (place / "link").symlink_to("text")
    done = seen(
        folders,
        [Bind(str(folders / "one"), f"{place}/new/deeper")],
        f"cat {place}/new/deeper/file; ls {place}",
    )

    assert "onelink\nneighbour\nnew\ntext\n" == done.stdout
    assert ["link", "neighbour", "text"] == sorted(path.name for path in place.iterdir())


def test_an_existing_folder_is_covered(folders):
    """Where the path exists, the bound folder is seen instead of what lies there."""
    binds = [
        Bind(str(folders / "one"), str(folders / "two")),
        Bind(str(folders / "two"), "/flow-test-two"),
    ]
    done = seen(folders, binds, f"cat {folders}/two/file /flow-test-two/file")

    assert "onetwo" == done.stdout


def test_what_is_written_lands_in_the_folder(folders):
    """A bound folder is the folder itself."""
    seen(
        folders,
        [Bind(str(folders / "one"), "/flow-test-models")],
        "echo new >/flow-test-models/made",
    )

    assert "new\n" == (folders / "one" / "made").read_text()


def test_a_read_only_folder_refuses_writes(folders):
    """Writing to a read-only bind fails and changes nothing, though its folder may be written elsewhere."""
    binds = [
        Bind(str(folders / "one"), "/flow-test-ro", True),
        Bind(str(folders / "one"), "/flow-test-rw"),
    ]
    done = seen(
        folders,
        binds,
        "echo no >/flow-test-ro/made; echo yes >/flow-test-rw/other; cat /flow-test-ro/other",
    )

    assert "yes\n" == done.stdout
    assert "Read-only" in done.stderr
    assert not (folders / "one" / "made").exists()


def test_one_folder_may_lie_in_another(folders):
    """A bind below another's path is seen in it."""
    binds = [
        Bind(str(folders / "two"), "/flow-test/a/b"),
        Bind(str(folders / "one"), "/flow-test/a"),
    ]
    done = seen(folders, binds, "cat /flow-test/a/file /flow-test/a/b/file")

    assert "onetwo" == done.stdout


def test_a_command_s_exit_code_comes_through(folders):
    """The view adds nothing to the command's own end."""
    assert 7 == seen(folders, [Bind(str(folders / "one"), "/flow-test")], "exit 7").returncode


def test_a_missing_folder_is_named(folders):
    """A source that isn't there ends with 127 and a word about it, and the command doesn't run."""
    done = seen(folders, [Bind(str(folders / "none"), "/flow-test")], "echo ran")

    assert (127, "") == (done.returncode, done.stdout)
    assert str(folders / "none") in done.stderr


def test_nothing_of_it_is_mounted_for_others(folders):
    """The host's table of mounts knows neither what was mounted nor where; others may mount meanwhile."""
    seen(
        folders,
        [Bind(str(folders / "one"), "/flow-test"), Bind(str(folders / "two"), f"{folders}/x/y")],
        "true",
    )

    table = Path("/proc/self/mountinfo").read_text()
    assert str(folders) not in table
    assert "/flow-test" not in table


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_plain_user_has_it_too(folders):
    """Without any privilege, a user namespace gives the same view, and no more rights than before."""
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("no interpreter that everyone may run")
    for place in (folders, *folders.parents[:3]):
        if place.stat().st_uid == 0 and place != Path("/tmp"):
            place.chmod(place.stat().st_mode | 0o055)
    program = folders / "namespaces.py"
    program.write_text(Path(namespaces.__file__).read_text())
    staging = folders / "mine"
    staging.mkdir()
    os.chown(staging, 54_321, 54_321)
    line = "id -u; cat /flow-test/file; touch /etc/flow-test 2>/dev/null || echo refused"
    binds = f'[["{folders}/one", "/flow-test", false]]'
    done = subprocess.run(
        [python, "-I", "-S", program, binds, staging, "sh", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=54_321,
        group=54_321,
        extra_groups=[],
    )
    if "refuse" in done.stderr or "of no use" in done.stderr:
        pytest.skip("this machine keeps user namespaces from plain users")

    assert "54321\nonerefused\n" == done.stdout
