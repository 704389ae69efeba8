"""Users' code against the installed wheel: right uses pass both type checkers, wrong ones are caught.

Each file in `samples/` is one user's program. A line that ends in `# wrong` must be an error to both
checkers; every other line must be none.
"""

from __future__ import annotations

import subprocess
import zipfile

import pytest

from tests.typing import checkers

SAMPLES = sorted(checkers.SAMPLES.glob("*.py"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session", params=[checkers.with_mypy, checkers.with_pyright])
def findings(request, users_python, tmp_path_factory):
    """What one of the two checkers says of all samples."""
    return request.param(tmp_path_factory.mktemp("samples"), users_python)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_checker_objects_to_what_is_wrong_and_to_nothing_else(findings, sample):
    """mypy --strict and strict pyright find each marked line of a sample, and no other."""
    found = {each.line: each.words for each in findings if each.sample == sample.name}
    wrong = checkers.marked_wrong(sample)

    assert {} == {line: words for line, words in found.items() if line not in wrong}
    assert wrong == set(found)


def test_the_wheel_is_what_the_checkers_see(users_python, tmp_path):
    """The environment's `flow` is the wheel's, so the tests above say something about what ships."""
    run = subprocess.run(
        [users_python, "-c", "import flow_core; print(flow_core.__path__[0])"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    assert users_python.parents[1].as_posix() in run.stdout


def test_the_wheel_holds_our_packages_and_nothing_else(wheel):
    """Beside its metadata the wheel has the five packages; no test, no doc, no setting."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    ours = {name for name in tops if not name.endswith(".dist-info")}

    assert {"flow", "flow_core", "flow_adapters", "flow_providers", "flow_cli"} >= ours
    assert {"flow", "flow_core"} <= ours


def test_the_wheel_holds_what_runs_on_nodes(wheel):
    """The plain files of flow_core/node are in the wheel: without them a node has nothing to start with."""
    node = checkers.SAMPLES.parents[2] / "flow_core" / "node"
    there = {
        path.relative_to(node).as_posix()
        for path in node.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    names = zipfile.ZipFile(wheel).namelist()
    prefix = "flow_core/node/"
    shipped = {name[len(prefix) :] for name in names if name.startswith(prefix)}

    assert there == shipped
