"""Unit files of services, read as systemd's manual describes them, as far as simple services go.

What isn't known is passed by, as the original passes by what it doesn't know. Only files that were put on the node are
looked at: the units of the machine that plays it are none of the node's.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

PLACES = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
)
#: What starts by itself at boot is wanted by one of these.
BOOT_TARGETS = ("multi-user.target", "default.target", "graphical.target", "network-online.target")
_SPANS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "us": 1e-6, "m": 60.0, "min": 60.0}
_SECONDS |= {"h": 3600.0, "hr": 3600.0, "d": 86400.0}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


class Unit:
    """One service, as its file says; `settings` holds every value of a key, in order."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.settings = parse(text, name)

    def last(self, key: str, default: str = "") -> str:
        """Return a setting's last value."""
        values = self.settings.get(key, [])
        return values[-1] if values else default

    def words(self, key: str) -> list[str]:
        """Return the words of all values of a setting."""
        return [word for value in self.settings.get(key, []) for word in value.split()]

    def commands(self, key: str) -> list[tuple[list[str], bool]]:
        """Return the commands of a setting, each with whether its failure is to be ignored."""
        found = []
        for value in self.settings.get(key, []):
            line = value.lstrip("@-:+!|")
            marks = value[: len(value) - len(line)]
            found.append((split(line), "-" in marks))
        return found

    def seconds(self, key: str, default: float) -> float:
        """Return a span of time; `infinity` is a very long one."""
        value = self.last(key).strip()
        if not value:
            return default
        if value == "infinity":
            return 1e9
        return sum(
            float(number) * _SECONDS.get(unit, 1.0) for number, unit in _SPANS.findall(value)
        )

    def says_yes(self, key: str) -> bool:
        """Whether a setting is on."""
        return self.last(key).lower() in ("1", "yes", "true", "on")

    def environment(self) -> dict[str, str]:
        """Return the variables of Environment= and EnvironmentFile=; the files come last, as they count more.

        Raises:
            OSError: a file that must be there can't be read.
        """
        env: dict[str, str] = {}
        for value in self.settings.get("Environment", []):
            env.update(_assignments(split(value)))
        for value in self.settings.get("EnvironmentFile", []):
            place = Path(value.removeprefix("-"))
            try:
                text = place.read_text(errors="surrogateescape")
            except OSError:
                if value.startswith("-"):
                    continue
                raise
            for line in _joined(text):
                name, is_set, set_to = line.partition("=")
                if is_set:
                    env[name.strip()] = " ".join(split(set_to.strip()))
        return env


def find(name: str) -> Unit | None:
    """Return the service of that name, or None where the node has no such file."""
    for folder in PLACES:
        place = folder / name
        try:
            return Unit(name, place.read_text(errors="surrogateescape"))
        except OSError:
            continue
    return None


def full_name(word: str) -> str:
    """Return a unit's name with its kind."""
    return word if "." in word else f"{word}.service"


def enabled(name: str) -> bool:
    """Whether a service starts by itself."""
    return any(link.name == name for link in _links())


def starting() -> list[str]:
    """Return what starts at boot: whatever a service must come after is named before it."""
    names = sorted({link.name for link in _links() if link.name.endswith(".service")})
    after = {name: unit.words("After") for name in names if (unit := find(name)) is not None}
    ordered: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        for each in after.get(name, []):
            if each in after and each not in above:
                add(each, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in names:
        add(name, ())
    return ordered


def enable(unit: Unit) -> list[str]:
    """Make a service start at each boot; return what was linked."""
    said = []
    for key, kind in (("WantedBy", "wants"), ("RequiredBy", "requires")):
        for target in unit.words(key):
            link = PLACES[0] / f"{target}.{kind}" / unit.name
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(PLACES[0] / unit.name)
                said.append(f"Created symlink {link} -> {PLACES[0] / unit.name}.\n")
    return said


def disable(name: str) -> list[str]:
    """Let a service no longer start by itself; return what was unlinked."""
    said = []
    for link in _links(everywhere=True):
        if link.name == name:
            link.unlink()
            said.append(f"Removed {link}.\n")
    return said


def parse(text: str, name: str) -> dict[str, list[str]]:
    """Return all settings of a file; an empty value forgets the earlier ones, as for the original."""
    settings: dict[str, list[str]] = {}
    for line in _joined(text):
        if line.startswith("["):
            continue
        key, is_set, value = line.partition("=")
        if not is_set:
            continue
        value = _specified(value.strip(), name)
        if value:
            settings.setdefault(key.strip(), []).append(value)
        else:
            settings[key.strip()] = []
    return settings


def split(line: str) -> list[str]:
    """Return the words of a line, unquoted."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return line.split()


def expanded(words: list[str], env: dict[str, str]) -> list[str]:
    """Return a command with its variables filled in; `$NAME` as a word of its own may become several words."""
    found: list[str] = []
    for word in words:
        if re.fullmatch(r"\$\w+", word):
            found += env.get(word[1:], "").split()
            continue
        found.append(
            _VARIABLE.sub(
                lambda match: (
                    "$" if match[0] == "$$" else env.get(match[1], "") if match[1] else match[0]
                ),
                word,
            )
        )
    return found


def _joined(text: str) -> list[str]:
    lines: list[str] = []
    held = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not held and (not line or line[0] in "#;"):
            continue
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        lines.append(held + line)
        held = ""
    return [*lines, held] if held else lines


def _specified(value: str, name: str) -> str:
    stem = name.rpartition(".")[0]
    known = {"%n": name, "%N": stem, "%p": stem.partition("@")[0], "%i": stem.partition("@")[2]}
    known |= {"%%": "%", "%h": "/root", "%u": "root", "%t": "/run", "%H": os.uname().nodename}
    return re.sub(r"%[a-zA-Z%]", lambda match: known.get(match[0], match[0]), value)


def _assignments(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, is_set, value = word.partition("=")
        if is_set:
            found[name] = value
    return found


def _links(*, everywhere: bool = False) -> list[Path]:
    targets = [
        PLACES[0] / f"{target}.{kind}" for target in BOOT_TARGETS for kind in ("wants", "requires")
    ]
    folders = (
        [each for kind in ("wants", "requires") for each in PLACES[0].glob(f"*.{kind}")]
        if everywhere
        else targets
    )
    return [link for folder in folders if folder.is_dir() for link in sorted(folder.iterdir())]
