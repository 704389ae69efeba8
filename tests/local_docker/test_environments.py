"""The command's own Python, made in a container and kept for the next."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

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
