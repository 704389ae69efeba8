"""The kit gives a command the Python it asks for, once, and says what failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.run import RunPhase
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, wait_for_bytes
from tests.wheels import tiny_wheel

pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one tiny package, `tinypkg` 1.0, which is all that any index has here."""
    return tiny_wheel(tmp_path / "wheels")


@pytest.fixture
def node(tmp_path: Path, wheels: Path):
    """A node with uv on its PATH, no index but the folder of wheels, and a cache of its own."""
    node = BareNode(tmp_path)
    config = tmp_path / "uv.toml"
    config.write_text(f"no-index = true\nfind-links = ['{wheels}']\n")
    node.env |= {
        "PATH": f"{UV.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "UV_CONFIG_FILE": str(config),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
        "FLOW_CACHE": str(tmp_path / "cache"),
    }
    node.workspace.mkdir()
    yield node
    node.close()


def run(node: BareNode, what: str, command: str) -> str:
    """Run `command` in the environment `what`, to its end; return what the log has."""
    node.take(command, wants_delivery=True)
    started = node.start()
    wait_for_bytes(node.home / "log")
    kit = load_kit()
    assert 0 == node.deliver(1, setup={"environment": {"what": what}}, kit=kit)
    started.wait(3 * PATIENCE_S)
    assert RunPhase.EXITED is node.report().phase
    return node.log().data.decode()


def test_requirements_are_there(node):
    """`python` is the environment's own, and the packages of the file are installed."""
    (node.workspace / "requirements.txt").write_text("tinypkg==1.0\n")
    said = run(
        node,
        "requirements.txt",
        "python -c 'import sys, tinypkg; print(tinypkg.WORD, sys.prefix != sys.base_prefix)'; which python",
    )

    assert 0 == node.report().exit_code, said
    assert "from the wheel True\n" in said
    assert "flow: makes the environment of requirements.txt\n" in said
    assert f"{node.env['FLOW_CACHE']}/envs/" in said


def test_the_same_requirements_are_installed_once(node, tmp_path):
    """Another task on this node with the same file finds the environment made."""
    (node.workspace / "requirements.txt").write_text("tinypkg\n")
    run(node, "requirements.txt", "true")
    other = BareNode(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.env |= {**node.env, "FLOW_HOME": str(other.home), "FLOW_WORKSPACE": str(other.workspace)}
    other.workspace.mkdir()
    (other.workspace / "requirements.txt").write_text("tinypkg\n")
    said = run(other, "requirements.txt", "python -c 'import tinypkg; print(tinypkg.WORD)'")

    assert "from the wheel" in said
    assert "makes the environment" not in said
    other.close()


def test_a_projects_dependencies_are_there(node):
    """A pyproject.toml's dependencies are installed, not the project itself."""
    (node.workspace / "pyproject.toml").write_text(
        "[project]\nname = 'mine'\nversion = '0'\ndependencies = ['tinypkg']\n"
    )
    said = run(node, "pyproject.toml", "python -c 'import tinypkg; print(tinypkg.WORD)'")

    assert "from the wheel" in said


def test_a_version_of_python_may_be_asked_for(node):
    """`python:3.11` is a Python of that version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    said = run(node, f"python:{version}", "python -c 'import sys; print(sys.version_info[:2])'")

    assert str(sys.version_info[:2]) in said


def test_what_can_not_be_installed_is_named(node):
    """The step, its program and its last words are in the log and in the reason; the command is not run."""
    (node.workspace / "requirements.txt").write_text("no-such-package-here\n")
    said = run(node, "requirements.txt", "echo ran")

    report = node.report()
    assert (125, True) == (report.exit_code, "ran\n" not in said)
    assert report.reason.startswith("environment: uv pip install ended with 1: ")
    assert "no-such-package-here" in report.reason


def test_a_file_that_is_not_there_is_named(node):
    """A list of requirements that wasn't uploaded is told by its name and place."""
    run(node, "requirements.txt", "true")

    assert f"requirements.txt is not in {node.workspace}" in node.report().reason


def test_conda_is_missed_by_name(node):
    """An environment.yml on a node without conda says which programs would do."""
    node.env["PATH"] = "/usr/bin:/bin"
    (node.workspace / "environment.yml").write_text("dependencies: [python]\n")
    run(node, "environment.yml", "true")

    assert "needs one of micromamba, mamba, conda" in node.report().reason
