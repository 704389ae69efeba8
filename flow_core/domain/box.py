"""A dev box: an ordinary task that waits for somebody to use it, and what is asked of it call by call."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from datetime import timedelta

from attrs import field, frozen

from flow_core.domain.names import LONGEST_NAME
from flow_core.domain.task import TaskSpec

#: The variable of a box's command by which a task is known to be one.
MARK = "FLOW_BOX"
#: What a box does by itself.
COMMAND = "exec sleep infinity"
#: How long nobody may be there before it stops costing money.
IDLE = timedelta(minutes=30)
#: What the line on the node ends with while the box hasn't got its files yet.
NOT_READY = 117
#: What a line writes to stderr, before all else, once the box has the code that it expects.
BEGUN = b"\x1eflow-begun\n"
_KIT = "${FLOW_HOME:-/opt/flow}/kit.zip"
#: Where a box notes the digest of the code that was brought to it last.
_CODE = "${FLOW_HOME:-/opt/flow}/dev/code"


@frozen(kw_only=True)
class Entry:
    """What a command runs in on a box: all empty is the box itself, in the workspace.

    `folder` is below the workspace. `env` names an environment that is kept under that name, `environment` says what
    one is made of, as in `TaskSpec`; `image` is a container's. `who` is the colleague who runs it, empty for the owner.
    """

    folder: str = ""
    env: str = ""
    environment: str = ""
    image: str = ""
    variables: Mapping[str, str] = field(factory=dict, hash=False)
    who: str = ""


def is_box(spec: TaskSpec) -> bool:
    """Whether a task is a dev box."""
    return MARK in spec.env


def box_name(folder: str, *, image: str = "", taken: Collection[str] = ()) -> str:
    """Return what the box of a folder, by the folder's own name, is called; the first that isn't taken.

    Where each image is a box, the image's own name is part of it.
    """
    tail = image.rpartition("/")[2]
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{folder}-{tail}" if tail else folder)
    name = f"dev-{words.strip('-._') or 'box'}"[: LONGEST_NAME - 4].rstrip("-._")
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def run_line(
    entry: Entry,
    line: str | None,
    *,
    terminal: bool = False,
    brought: str | None = None,
    expects: str | None = None,
) -> str:
    """Return the line for the node's shell that runs `line`, or a shell, in what `entry` says.

    `brought` is the digest of the code that was just brought, for the box to note. A box that `expects` another than
    it has noted runs nothing and ends with `NOT_READY`; one that has it says `BEGUN`.
    """
    told: dict[str, object] = {
        name: value
        for name, value in (
            ("folder", entry.folder),
            ("env", entry.env),
            ("environment", entry.environment),
            ("image", entry.image),
            ("variables", dict(entry.variables)),
            ("who", entry.who),
            ("terminal", terminal),
        )
        if value
    }
    words = [json.dumps(told, separators=(",", ":")), *([] if line is None else [line])]
    line = kit_line("run", *words)
    if brought is not None:
        noted = f'mkdir -p "${{FLOW_HOME:-/opt/flow}}/dev" && printf %s {shlex.quote(brought)} >"{_CODE}"'
        line = f"{noted}; {line}"
    if expects is not None:
        line = f"{same_line(expects)} || exit {NOT_READY}; printf '\\036flow-begun\\n' >&2; {line}"
    return line


def same_line(digest: str) -> str:
    """Return the line for the node's shell that ends with 0 where the box has noted this digest of code."""
    return f'[ "$(cat "{_CODE}" 2>/dev/null)" = {shlex.quote(digest)} ]'


def kit_line(verb: str, *words: str) -> str:
    """Return the line for the node's shell that has the kit do one of its verbs for boxes."""
    told = shlex.join(["dev", verb, *words])
    return f'[ -e "{_KIT}" ] || exit {NOT_READY}; exec "${{FLOW_PYTHON:-python3}}" "{_KIT}" {told}'
