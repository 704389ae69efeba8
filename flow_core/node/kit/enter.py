"""Sets up on a node what its delivery asks for, step after step, and then becomes the command.

Run by the helper as `python kit.zip enter FOLDER COMMAND…`, in the command's place: what it says is in the log, and
its steps end with the command's own signals. Steps that are done already (a mount that stands, an environment that
was made) are left as they are, so that an attempt after a reboot costs little. Only the steps that there are to do are
loaded, for nothing of a zip is kept compiled.

Python 3.8, standard library only.
"""

from __future__ import annotations

import importlib
import os
import sys

from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import load, save

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: What there is to do, in order: names in the delivery, and of the modules whose `step` does it. What attends the
#: command begins before what may fail, for it tells the fellows of that.
STEPS = ("fellows", "attending", "volumes", "s3", "environment", "image")
#: The exit code of a command that was never run because its set-up failed; no retry mends what the user must.
FAILED = 125


def main() -> None:
    """Do what the arguments say."""
    verb, *rest = sys.argv[1:]
    if verb == "enter":
        enter(rest[0], rest[1:])
    elif verb == "idle":
        from flow_core.node.kit import idle

        idle.main()
    elif verb == "outbox":
        from flow_core.node.slurm import outbox

        outbox.main()
    elif verb == "guard":
        from flow_core.node.kit import guard

        guard.arm()
    elif verb == "guard-watch":
        from flow_core.node.kit import guard

        guard.watch()
    elif verb == "attend":
        from flow_core.node.kit import attending

        attending.watch()
    elif verb == "fallen":
        from flow_core.node.kit import failing

        failing.hear(*rest)
    elif verb == "renew-s3":
        from flow_core.node.kit import s3

        try:
            s3.renew()
        except StepFailed as failed:
            sys.exit("flow: %s" % failed)


def enter(folder: str, command: list[str]) -> NoReturn:
    """Set up, go to `folder`, and become `command`."""
    setup: dict[str, Any] = load("delivery.json").get("setup") or {}
    env = dict(os.environ, PWD=folder)
    try:
        for name in STEPS:
            if setup.get(name):
                module: Any = importlib.import_module("flow_core.node.kit." + name)
                command = module.step(setup[name], env, command) or command
        if not os.path.isdir(folder):
            raise StepFailed("%s: is not a folder on this node" % folder)
        remember(env)
        if "FLOW_WITHOUT_CAPABILITIES" in env or "FLOW_RUN_AS" in env:
            from flow_core.node.kit import leaving

            leaving.leave(env)
    except StepFailed as failed:
        fail(str(failed), FAILED)
    try:
        os.chdir(folder)
        os.execvpe(command[0], command, env)
    except FileNotFoundError:
        fail("%s: command not found" % command[0], 127)
    except OSError as error:
        fail("%s: %s" % (command[0], error.strerror), 126)


def remember(env: dict[str, str]) -> None:
    """Let shells on this node have the variables that the steps added."""
    before = load("env.json")
    added = {name: text for name, text in env.items() if os.environ.get(name) != text}
    if added:
        save("env.json", dict(before, **added))


def fail(reason: str, code: int) -> NoReturn:
    """Say why the command was never run, in the log and to whoever asks the helper."""
    sys.stderr.write("flow: %s\n" % reason)
    sys.stderr.flush()
    save("failure.json", reason)
    sys.exit(code)
