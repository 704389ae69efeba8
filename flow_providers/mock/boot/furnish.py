"""What a booting node finds in its files at each boot: users, names, keys, and the programs that are its own.

Runs as the node's first process, inside. Files that the host has too are replaced as a whole, never written in place:
in a user namespace that is all that may be done to them. What the user changed since the last boot stays, except what
only the cloud knows: fellows, keys at first boot, the node's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

USER, HOME, FIRST_ID = "ubuntu", "/home/ubuntu", 1000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCRIPT = Path("/var/lib/foundry/startup_script.sh")
SCRIPT_LOG = Path("/var/log/foundry/startup_script.log")
CLOUD_INIT_LOG = Path("/var/log/cloud-init-output.log")
#: There once the node has booted for the first time.
_BOOTED = Path("/var/lib/foundry/booted")
_POWER_NAMES = ("poweroff", "reboot", "halt", "shutdown")


class Furnished:
    """The node's own user, as its processes need to know him."""

    def __init__(self, *, is_root: bool) -> None:
        self.uid = self.gid = FIRST_ID if is_root else 0
        self.is_root = is_root

    def make(self, plan: Mapping[str, Any], programs: Mapping[str, str], python: str) -> bool:
        """Write everything; return whether this is the node's first boot.

        `programs` are the texts of `sudo`, `systemctl`, `mount` and `nvidia-smi`; `python` is the interpreter inside.
        """
        is_first = not _BOOTED.exists()
        if is_first:
            self._users()
            self._home(plan["keys"])
            SCRIPT.parent.mkdir(parents=True, exist_ok=True)
            if plan["script"]:
                _write(SCRIPT, plan["script"], mode=0o700)
            SCRIPT_LOG.parent.mkdir(parents=True, exist_ok=True)
            _write(SCRIPT_LOG, "")
            _link(CLOUD_INIT_LOG, str(SCRIPT_LOG))
        _write(Path("/etc/hostname"), plan["name"] + "\n")
        self.hosts(plan)
        self._programs(programs, python)
        with contextlib.suppress(OSError):
            for name in ("local", "../workspace"):
                os.chown(Path("/mnt", name), self.uid, self.gid)
        return is_first

    def hosts(self, plan: Mapping[str, Any]) -> None:
        """Write down by which names the node's fellows are reached."""
        _write(Path("/etc/hosts"), _hosts(plan))

    def mark_booted(self) -> None:
        """Write down that the first boot has begun; its script never runs again."""
        _write(_BOOTED, "")

    def _users(self) -> None:
        own = f"{USER}:x:{self.uid}:{self.gid}:Ubuntu:{HOME}:/bin/bash"
        _replace_entries("/etc/passwd", own, self.uid, place=2)
        _replace_entries("/etc/group", f"{USER}:x:{self.gid}:", self.gid, place=2)

    def _home(self, keys: list[str]) -> None:
        home = Path(HOME)
        home.mkdir(parents=True, exist_ok=True)
        if Path("/etc/skel").is_dir():
            shutil.copytree("/etc/skel", home, dirs_exist_ok=True, symlinks=True)
        (home / ".ssh").mkdir(exist_ok=True)
        (home / ".ssh").chmod(0o700)
        _write(home / ".ssh" / "authorized_keys", "".join(f"{key}\n" for key in keys), mode=0o600)
        home.chmod(0o750)
        if self.is_root:
            for folder, _, files in os.walk(home):
                for each in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
                    os.lchown(each, self.uid, self.gid)

    def _programs(self, programs: Mapping[str, str], python: str) -> None:
        # In memory of this namespace only: a program with the set-user-id bit lies nowhere on the host's disk.
        own = Path("/run/node")
        own.mkdir(mode=0o755, exist_ok=True)
        as_root = python
        if self.is_root:
            as_root = str(own / "as-root")
            shutil.copyfile(os.path.realpath(python), as_root)
            Path(as_root).chmod(0o4755)
        for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin"):
            Path(folder).mkdir(parents=True, exist_ok=True)
        _write(Path("/usr/bin/sudo"), f"#!{as_root} -IS\n{programs['sudo']}", mode=0o755)
        _write(Path("/usr/bin/systemctl"), f"#!{python} -IS\n{programs['systemctl']}", mode=0o755)
        _write(Path("/usr/bin/nvidia-smi"), programs["nvidia-smi"], mode=0o755)
        _write(Path("/usr/local/bin/mount"), programs["mount"], mode=0o755)
        for name in _POWER_NAMES:
            _link(Path("/usr/sbin", name), "/usr/bin/systemctl")
        if not shutil.which("python3", path=PATH):
            _link(Path("/usr/local/bin/python3"), python)


def _hosts(plan: Mapping[str, Any]) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    own = plan["address"]
    lines += [f"{own} {plan['name']}"]
    lines += [f"{address} {name}" for address, name in plan["fellows"] if address != own]
    return "\n".join(lines) + "\n"


def _replace_entries(path: str, own: str, number: int, *, place: int) -> None:
    """Put our entry into a file of users or groups, in place of those of the same name or number, but for root's."""
    file = Path(path)
    lines = file.read_text(errors="surrogateescape").splitlines() if file.exists() else []
    kept = []
    for line in lines:
        fields = line.split(":")
        same = fields[0] == USER or (len(fields) > place and fields[place] == str(number) != "0")
        if not same:
            kept.append(line)
    if not any(line.startswith("root:") for line in kept):
        kept.insert(
            0, "root:x:0:0:root:/root:/bin/bash" if path.endswith("passwd") else "root:x:0:"
        )
    _write(file, "\n".join([*kept, own]) + "\n")


def _link(path: Path, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.symlink_to(target)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8", errors="surrogateescape")
    new.chmod(mode)
    new.replace(path)
