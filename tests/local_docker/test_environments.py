"""The command's own Python, made in a container and kept for the next."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conda import real_conda, tiny_channel
from tests.local_docker.user import User

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_an_environment_is_made_once_for_all_containers_of_an_image(user: User, tools: Path):
    """Requirements are installed with the image's own Python, and the next task finds them installed."""
    (user.home / "code").mkdir()
    (user.home / "code" / "requirements.txt").write_text(f"# {tools}\ntinypkg==1.0\n")
    look = "python -c 'import sys, tinypkg; print(tinypkg.WORD, sys.base_prefix)'"
    asked = [
        "submit", look, "-i", "cpu", "--environment", "requirements.txt", "--mount", f"{tools}:/tools:ro",
        "--env", "PATH=/tools:/usr/bin:/bin", "--env", "UV_CONFIG_FILE=/tools/uv.toml", "--yes",
    ]  # fmt: skip
    first, second = user.flow(*asked), user.flow(*asked)

    assert "from the wheel /usr\n" in first
    assert "from the wheel /usr\n" in second
    assert [True, False] == ["makes the environment" in said for said in (first, second)]


def test_a_conda_environment_is_made_in_a_container(user: User, tmp_path: Path):
    """A conda in the container makes it; the next task finds it made, and a package that isn't there is told."""
    conda, channel = real_conda(tmp_path / "conda"), tmp_path / "channel"
    file = user.home / "code" / "environment.yml"
    file.parent.mkdir()
    file.write_text(tiny_channel(channel))
    asked = ["submit", "greet", "-i", "cpu", "--environment", "environment.yml", "--yes"]
    asked += ["--env", f"PATH={conda}:/usr/bin:/bin"]
    for place in {conda.parent, channel, Path(sys.base_prefix)} - {Path("/usr")}:
        asked += ["--mount", f"{place}:{place}:ro"]
    first, second = user.flow(*asked), user.flow(*asked)
    file.write_text(file.read_text().replace("[greet]", "[no-such-package-here]"))
    third = user.flow(*asked, fails=True)

    assert "from the channel: " in first
    assert "from the channel: " in second
    assert [True, False] == ["makes the environment" in said for said in (first, second)]
    assert "environment: conda env create ended with 1: " in third
    assert "no-such-package-here" in third


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with uv, and with one tiny package, which is all that any index has here."""
    folder = tmp_path / "tools"
    folder.mkdir()
    shutil.copy(Path(sys.executable).with_name("uv"), folder)
    about = "tinypkg-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinypkg-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinypkg.py", "WORD = 'from the wheel'\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n")
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", kind)
        wheel.writestr(f"{about}/RECORD", "")
    (folder / "uv.toml").write_text("no-index = true\nfind-links = ['/tools']\n")
    return folder
