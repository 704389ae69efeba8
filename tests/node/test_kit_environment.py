"""The kit gives a command the Python it asks for, once, and says what failed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.run import RunPhase
from tests.conda import real_conda, tiny_channel
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


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real conda."""
    return real_conda(tmp_path_factory.mktemp("conda"))


@pytest.fixture
def channel(node: BareNode, conda: Path, tmp_path: Path) -> Path:
    """A channel with `greet`, which the environment.yml on a node with conda asks for."""
    node.env["PATH"] = f"{conda}:/usr/bin:/bin"
    (node.workspace / "environment.yml").write_text(tiny_channel(tmp_path / "channel"))
    return tmp_path / "channel"


def another(node: BareNode, folder: Path) -> BareNode:
    """A node of another task on the same machine: all it shares is the cache."""
    folder.mkdir()
    other = BareNode(folder)
    other.env = {**node.env, **{name: other.env[name] for name in ("FLOW_HOME", "FLOW_WORKSPACE")}}
    other.env["HOME"] = str(folder)
    other.workspace.mkdir()
    return other


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
    other = another(node, tmp_path / "other")
    (other.workspace / "requirements.txt").write_text("tinypkg\n")
    said = run(other, "requirements.txt", "python -c 'import tinypkg; print(tinypkg.WORD)'")

    assert "from the wheel" in said
    assert "makes the environment" not in said
    other.close()


def test_what_a_list_takes_in_is_of_its_content(node, tmp_path):
    """A list whose `-r` file has changed is another one; so are two files in each other, which end all the same."""
    (node.workspace / "requirements.txt").write_text("# the rest\n-r more/base.txt  # is there\n")
    (node.workspace / "more").mkdir()
    base = node.workspace / "more" / "base.txt"
    base.write_text("-c ../limits.txt\n-r base.txt\n")
    (node.workspace / "limits.txt").write_text("tinypkg<2\n")
    first = run(node, "requirements.txt", "python -c 'import tinypkg'")
    other = another(node, tmp_path / "other")
    shutil.copytree(node.workspace, other.workspace, dirs_exist_ok=True)
    (other.workspace / "more" / "base.txt").write_text(base.read_text() + "tinypkg\n")
    second = run(other, "requirements.txt", "python -c 'import tinypkg; print(tinypkg.WORD)'")

    assert "No module named 'tinypkg'" in first
    assert "from the wheel" in second
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


def test_a_conda_environment_is_there(node, channel):
    """conda resolves the file against its channel; its programs are on PATH, and know the folder in CONDA_PREFIX."""
    said = run(node, "environment.yml", 'greet; echo "in $CONDA_PREFIX"; command -v greet')

    assert 0 == node.report().exit_code, node.report().reason
    [folder] = (line[3:] for line in said.splitlines() if line.startswith("in "))
    assert Path(folder).parent == Path(node.env["FLOW_CACHE"], "envs")
    assert f"from the channel: {folder}\n" in said
    assert f"{folder}/bin/greet\n" in said


def test_a_conda_that_only_a_shells_start_files_know_is_found(node, channel, conda):
    """Where its installer puts it by itself."""
    node.env["PATH"] = "/usr/bin:/bin"
    (Path(node.env["HOME"]) / "miniforge3").mkdir()
    (Path(node.env["HOME"]) / "miniforge3" / "bin").symlink_to(conda)
    said = run(node, "environment.yml", "command -v greet")

    assert 0 == node.report().exit_code, node.report().reason
    assert f"{node.env['FLOW_CACHE']}/envs/" in said


def test_a_conda_environment_is_activated(node, channel):
    """Variables of packages, then of the file, then what scripts make of them; what scripts print is for the log."""
    said = run(node, "environment.yml", 'echo "$GREETING, ${WORD:-no word}, $HOME"')

    assert f"hello everyone, no word, {node.env['HOME']}\n" in said
    assert "is read" not in said
    assert "is read\n" in (node.home / "environment.log").read_text()


def test_a_script_that_ends_the_shell_is_told(node, channel):
    """An environment whose packages can't be activated starts no command."""
    file = node.workspace / "environment.yml"
    file.write_text(file.read_text().replace("[greet]", "[greet, leave]"))
    said = run(node, "environment.yml", "echo ran")

    assert "ran\n" not in said
    assert node.report().reason.endswith("/etc/conda/activate.d/*.sh ended the shell, with 7")


def test_a_conda_environment_is_made_once_of_packages_that_are_kept(node, channel, tmp_path):
    """The next task finds it made, and one with another file needs no channel for the packages that both have."""
    run(node, "environment.yml", "greet")
    for each in channel.glob("*/*-*.tar.bz2"):
        each.unlink()
    asked, said = (node.workspace / "environment.yml").read_text(), []
    for name, text in (("same", asked), ("new", asked + "# again\n")):
        other = another(node, tmp_path / name)
        (other.workspace / "environment.yml").write_text(text)
        said.append(run(other, "environment.yml", "greet"))
        other.close()

    kept = [each.name for each in Path(node.env["FLOW_CACHE"], "conda").glob("*-*-0")]
    assert ["greet-1.0-0", "words-2.0-0"] == sorted(kept)
    assert [1, 1] == [each.count("from the channel: ") for each in said]
    assert [False, True] == ["makes the environment" in each for each in said]


def test_a_conda_environment_has_what_pip_installs_into_it(node, channel, wheels):
    """What stands below `pip:`, and in a list that it takes in, is the command's."""
    (node.workspace / "more.txt").write_text(f"--no-index\n--find-links {wheels}\n")
    file = node.workspace / "environment.yml"
    lines = "\n - pip\n - pip:\n   - -rmore.txt\n   - tinypkg\n"
    file.write_text(file.read_text().replace(" [greet]\n", lines))
    line = "python -c 'import sys, tinypkg; print(tinypkg.WORD, sys.prefix)'"
    said = run(node, "environment.yml", line)

    assert 0 == node.report().exit_code, node.report().reason
    assert f"from the wheel {node.env['FLOW_CACHE']}/envs/" in said


def test_what_no_channel_has_is_named(node, channel):
    """conda's last words are the reason, and the command is not run."""
    file = node.workspace / "environment.yml"
    file.write_text(file.read_text().replace("[greet]", "[greet, no-such-package-here]"))
    said = run(node, "environment.yml", "echo ran")

    report = node.report()
    assert (125, True) == (report.exit_code, "ran\n" not in said)
    assert report.reason.startswith("environment: conda env create ended with 1: ")
    assert report.reason.endswith(
        "NoPackagesFoundError: Package missing in current linux-64 channels: / - no-such-package-here"
    )


def test_a_mamba_is_told_to_ask_nothing(node, tmp_path):
    """mamba asks before it makes an environment, as conda does not, and there is nobody to answer."""
    mamba = tmp_path / "bin" / "mamba"
    mamba.parent.mkdir()
    mamba.write_text('#!/bin/sh\necho "yes: $MAMBA_ALWAYS_YES"\nexit 3\n')
    mamba.chmod(0o755)
    node.env["PATH"] = f"{mamba.parent}:/usr/bin:/bin"
    (node.workspace / "environment.yml").write_text("dependencies: [python]\n")
    run(node, "environment.yml", "true")

    assert "environment: mamba env create ended with 3: yes: true" == node.report().reason
