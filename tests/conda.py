"""A real conda, and a channel in a folder, so that making an environment needs no network.

The newest conda in a package index is 4.3.16, of 2017; its own SAT solver and its way of linking files are what later
ones began from. It runs unchanged on a Python that is given back the names that it counts on. Its own command only says
that it should be installed otherwise, so `conda` and `conda-env` are made here, of the same two functions as an
installer's are.

Source: conda 4.3.16, `utils/setup-testing.py` and `conda.core.repodata`, for a channel's files.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.installing import install, installed, refuse

#: The last Python on which it is known to run; 3.13 has no logging._acquireLock.
_LAST = (3, 12)
_NEEDS = ("cytoolz", "pycosat", "requests", "ruamel.yaml<0.18", "setuptools<81", "wheel")
_OLD_NAMES = """
import collections, collections.abc, importlib, platform, sys, types

for name in collections.abc.__all__:
    setattr(collections, name, getattr(collections.abc, name))
platform.linux_distribution = lambda: ("", "", "")
sys.modules.setdefault("imp", types.SimpleNamespace(reload=importlib.reload))
"""
_PROGRAMS = {"conda": "conda.cli.main", "conda-env": "conda_env.cli.main"}
#: What files of a package have in the place of the environment's folder.
_PREFIX = "/the/folder/of/the/environment"


def real_conda(folder: Path) -> Path:
    """A folder for PATH with `conda` and nothing else; the venv that it is in is beside it, in `venv`."""
    if sys.version_info[:2] > _LAST:
        refuse(f"conda 4.3.16 runs on no Python after {'.'.join(map(str, _LAST))}")
    python = installed(folder, *_NEEDS) / "python"
    [packages] = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "old_names.py").write_text(_OLD_NAMES)
    (packages / "old_names.pth").write_text("import old_names\n")
    install(python, "--no-build-isolation", "--no-deps", "conda==4.3.16")
    for name, module in _PROGRAMS.items():
        program = python.with_name(name)
        program.write_text(f"#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        program.chmod(0o755)
    programs = folder / "condabin"
    programs.mkdir()
    (programs / "conda").symlink_to(python.with_name("conda"))
    return programs


def tiny_channel(folder: Path) -> str:
    """Make a channel in `folder`; return the text of an environment.yml that asks it for `greet`.

    `greet` prints the words that it got and the folder it is in. It works with `words` 2 and later: there are 2.0, and
    3.0 that needs what no channel has. It brings variables as packages do, and as later condas keep those of a file,
    and a script that makes GREETING of them. Another package's script, `leave`, ends its shell. `pip` brings this
    machine's Python and pip, which install into the environment.
    """
    words, greeting = "share/words.txt", f'echo "$(cat {_PREFIX}/share/words.txt): {_PREFIX}"'
    platform = (
        _package("words-1.0", {words: "too old"}),
        _package("words-2.0", {words: "from the channel"}),
        _package("words-3.0", {words: "too new"}, needs="no-such-thing"),
    )
    greet = {
        "bin/greet": f"#!/bin/sh\n{greeting}\n",
        "etc/conda/env_vars.d/greet.json": '{"WORD": "hello", "WHO": "packages"}',
        "conda-meta/state": '{"version": 1, "env_vars": {"WHO": "everyone"}}',
        "etc/conda/activate.d/greet.sh": 'echo is read\nexport GREETING="$WORD $WHO"\nunset WORD\n',
    }
    anywhere = (
        _package("greet-1.0", greet, needs="words >=2"),
        _package("leave-1.0", {"etc/conda/activate.d/leave.sh": "exit 7\n"}),
        _package("pip-1.0", _python_and_pip()),
    )
    for subdir, packages in (("linux-64", platform), ("noarch", anywhere)):
        place = folder / subdir
        place.mkdir(parents=True)
        listed = {}
        for index, archive in packages:
            name = f"{index['name']}-{index['version']}-{index['build']}.tar.bz2"
            (place / name).write_bytes(archive)
            md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
            listed[name] = index | {"subdir": subdir, "md5": md5, "size": len(archive)}
        text = json.dumps({"info": {"subdir": subdir}, "packages": listed}).encode()
        (place / "repodata.json").write_bytes(text)
        (place / "repodata.json.bz2").write_bytes(bz2.compress(text))
    return f"name: ours\nchannels: ['file://{folder}', nodefaults]\ndependencies: [greet]\n"


def _python_and_pip() -> dict[str, str]:
    """Files that make a folder an environment of this Python's; conda runs `bin/pip` by `bin/python`."""
    python, pip = Path(sys._base_executable), find_spec("pip")  # type: ignore[attr-defined]
    if pip is None or pip.origin is None:
        refuse("this Python has no pip")
    place = Path(pip.origin).parents[1]
    start = "from pip._internal.cli.main import main\nsys.exit(main())\n"
    return {
        "pyvenv.cfg": f"home = {python.parent}\ninclude-system-site-packages = false\n",
        "bin/python": f'#!/bin/bash\nexec -a "$0" {python} "$@"\n',
        "bin/pip": f"import sys\nsys.path.append({str(place)!r})\n{start}",
    }


def _package(
    named: str, files: Mapping[str, str], *, needs: str = ""
) -> tuple[dict[str, Any], bytes]:
    """What the channel's list says of a package, and its archive."""
    name, _, version = named.rpartition("-")
    index = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": [needs] if needs else [],
    }
    paths = [
        {"_path": path, "path_type": "hardlink"}
        | ({"prefix_placeholder": _PREFIX, "file_mode": "text"} if _PREFIX in text else {})
        for path, text in files.items()
    ]
    about = {
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:bz2") as tar:
        for path, text in {**about, **files}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return index, archive.getvalue()
