"""The `sudo` of a booting node: becomes the user asked for and runs the command; never asks for a password.

A program of the node's, with the standard library of whatever Python 3.8 or later the node has. Where users are told
apart, its interpreter is a copy that belongs to root and has the set-user-id bit.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Who may: root, and the node's own user. Whoever was added to a node is as on a real one, nobody in particular.
_SUDOERS = (0, 1000)
_KEPT = ("TERM", "COLORTERM", "LANG", "DISPLAY", "TZ", "LINES", "COLUMNS")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_WITH_VALUE = "ugpCDRThrt"
_LONG = {
    "user": "u",
    "group": "g",
    "preserve-env": "E",
    "set-home": "H",
    "login": "i",
    "shell": "s",
    "list": "l",
}
_LONG.update(
    {"non-interactive": "n", "stdin": "S", "validate": "v", "remove-timestamp": "K", "chdir": "D"}
)
_LONG.update({"reset-timestamp": "k", "background": "b", "prompt": "p", "version": "V"})


def main(arguments: list[str]) -> int:
    """Run what `arguments` ask for as whom they ask for; return only where there is nothing to run."""
    told, rest = _options(arguments)
    if os.getuid() not in _SUDOERS:
        return _refuse("sudo: only root and ubuntu may use sudo on this node")
    if "V" in told:
        sys.stdout.write("sudo of a simulated node\n")
    if "l" in told:
        sys.stdout.write("(ALL : ALL) NOPASSWD: ALL\n")
    if not rest and not told.keys() & set("is"):
        if told.keys() & set("vkKlV"):
            return 0
        return _refuse("usage: sudo [-EHins] [-u user] [NAME=value ...] command")
    try:
        caller, user = _caller(), _user(told.get("u", "root"))
    except KeyError as error:
        return _refuse(f"sudo: unknown user {error}")
    env = _environment(told, caller, user)
    while rest and _SETTING.match(rest[0]):
        name, _, value = rest.pop(0).partition("=")
        env[name] = value
    command = rest
    if told.keys() & set("is"):
        shell = user.pw_shell or "/bin/sh"
        command = [shell, *(["-c", " ".join(map(_quoted, rest))] if rest else [])]
    _become(user)
    if "i" in told or "D" in told:
        os.chdir(told.get("D") or user.pw_dir)
    name = "-" + Path(command[0]).name if "i" in told else command[0]
    try:
        os.execvpe(command[0], [name, *command[1:]], env)
    except FileNotFoundError:
        return _refuse(f"sudo: {command[0]}: command not found")
    except OSError as error:
        return _refuse(f"sudo: {command[0]}: {error.strerror}")


def _refuse(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


def _options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    told: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            letter = _LONG.get(name, "")
            if letter in _WITH_VALUE and letter and not value and rest:
                value = rest.pop(0)
            told[letter] = value
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _WITH_VALUE:
                told[letter] = letters or (rest.pop(0) if rest else "")
                break
            told[letter] = ""
    return told, rest


def _caller() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("ubuntu") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    except KeyError:
        return pwd.getpwuid(0)


def _user(name: str) -> pwd.struct_passwd:
    return pwd.getpwuid(int(name[1:])) if name.startswith("#") else pwd.getpwnam(name)


def _environment(
    told: dict[str, str], caller: pwd.struct_passwd, user: pwd.struct_passwd
) -> dict[str, str]:
    named = told.get("E", "").split(",") if told.get("E") else []
    if "E" in told and not named:
        env = dict(os.environ)
    else:
        env = {name: os.environ[name] for name in (*_KEPT, *named) if name in os.environ}
        env["PATH"] = PATH
    env.setdefault("PATH", PATH)
    env.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    env.update(SHELL=user.pw_shell, SUDO_USER=caller.pw_name)
    env.update(SUDO_UID=str(caller.pw_uid), SUDO_GID=str(caller.pw_gid))
    env["SUDO_COMMAND"] = " ".join(sys.argv[1:])
    return env


def _become(user: pwd.struct_passwd) -> None:
    if user.pw_uid == os.getuid() == os.geteuid():
        return
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def _quoted(word: str) -> str:
    return "".join(each if each.isalnum() or each in "_-$" else "\\" + each for each in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
