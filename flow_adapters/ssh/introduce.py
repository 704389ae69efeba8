"""Runs on a node: lets it log in to its fellows, and them to it, with the key pair that comes as JSON on its input.

`$FLOW_HOME/ssh` (default /opt/flow/ssh) gets the private key in `id`, the settings for `ssh` in `config` and the
fellows' host keys in `known_hosts`, for its owner's eyes. `~/.ssh/config` includes those settings, and
`~/.ssh/authorized_keys` takes the public key with what restricts it; what else stands in the two stays.

Python 3.8, standard library only: nodes have what their image has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Put everything in its place; return the exit code."""
    import pwd

    os.umask(0o077)
    told = json.load(sys.stdin)
    folder = Path(os.environ.get("FLOW_HOME", "/opt/flow"), "ssh")
    home = Path("~").expanduser() / ".ssh"
    user = pwd.getpwuid(os.getuid()).pw_name
    mark = f"flow:{folder}"
    for each in (folder, home):
        each.mkdir(parents=True, exist_ok=True)
    write(folder / "id", told["private"])
    write(folder / "id.pub", told["public"] + "\n")
    write(folder / "known_hosts", told["known_hosts"])
    write(
        folder / "config",
        told["config"].replace("@FOLDER@", str(folder)).replace("@USER@", user),
    )
    include = f'Include "{folder}/config"'
    lines = [line for line in lines_of(home / "config") if line.strip() != include]
    write(home / "config", "\n".join([include, *lines]) + "\n")
    allowed = home / "authorized_keys"
    lines = [line for line in lines_of(allowed) if not line.rstrip().endswith(" " + mark)]
    mine = f"{told['restricted']} {told['public']} {mark}"
    write(allowed, "\n".join([*lines, mine]) + "\n")
    restored = shutil.which("restorecon")
    if restored:
        subprocess.call(
            [restored, "-R", str(home)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    return 0


def lines_of(path: Path) -> list[str]:
    """Return a file's lines; none where it isn't there."""
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []


def write(path: Path, text: str) -> None:
    """Replace a file as a whole, for its owner's eyes; where it is a link, what it leads to."""
    real = Path(os.path.realpath(path))
    # Homes may be shared by nodes, which then do this at once.
    opened, fresh = tempfile.mkstemp(prefix=".flow-", dir=str(real.parent))
    with os.fdopen(opened, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(fresh).chmod(0o600)
    Path(fresh).replace(real)


if __name__ == "__main__":
    sys.exit(main())
