"""Runs a command, or a shell, on a dev box: in the box itself, in an environment that has a name, or in a container.

`python kit.zip dev run ABOUT [LINE]` becomes the command; ABOUT is JSON (see `flow_core.domain.box.Entry`). A named
environment is made at its first use, in `$FLOW_HOME/dev/envs/NAME`, and so is the container of an image, which then
stays: what is installed in one is there the next time, and touches no other. Other verbs: `reset ABOUT` forgets them,
`look` tells what there is, `share`, `unshare` let people in and out.

Python 3.8, standard library only. What a plain command doesn't need is read only where it is needed, for somebody
waits: `typing`, `shutil`, and `node_store` with its `subprocess` would take longer to load than all else.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

HOME = os.environ.get("FLOW_HOME", "/opt/flow")
DEV = os.path.join(HOME, "dev")
ENVS = os.path.join(DEV, "envs")
SESSIONS = os.path.join(DEV, "sessions")
#: The exit code of a command that was never run.
FAILED = 125


def main() -> None:
    """Do what the arguments say."""
    verb, *rest = sys.argv[2:]
    if verb == "run":
        run(json.loads(rest[0]), rest[1] if len(rest) > 1 else None)
    from flow_core.node.kit import dev_box

    dev_box.main(verb, rest)


def run(told: dict[str, Any], line: str | None) -> NoReturn:
    """Set up what the command runs in, and become it."""
    given = dict(variables(), **told.get("variables") or {})
    env = dict(os.environ, **given)
    env["FLOW_HOME"] = HOME
    workspace = os.getcwd()
    folder = os.path.normpath(os.path.join(workspace, told.get("folder", "")))
    if not os.path.isdir(folder):
        fail("%s is no folder on the box" % folder)
    sign_in(told.get("who", ""), line)
    command = shell(env, line)
    if told.get("environment"):
        from flow_core.node.kit import environment
        from flow_core.node.kit.steps import StepFailed

        try:
            environment.step({"what": told["environment"]}, env, command)
        except StepFailed as failed:
            fail(str(failed))
    if told.get("env"):
        enter(told["env"], env)
    if told.get("image"):
        from flow_core.node.kit import dev_image
        from flow_core.node.kit.steps import StepFailed

        try:
            place = dev_image.Place(workspace, folder, terminal=bool(told.get("terminal")))
            command = dev_image.inside(told["image"], line, env, sorted(given), place)
        except StepFailed as failed:
            fail(str(failed))
    env["PWD"] = folder
    os.chdir(folder)
    try:
        os.execvpe(command[0], command, env)
    except OSError as error:
        fail("%s: %s" % (command[0], error.strerror))


def variables() -> dict[str, str]:
    """Return the task's own, which were delivered; none where there are none."""
    try:
        with open(os.path.join(HOME, "env.json")) as file:
            found: dict[str, str] = json.load(file)
            return found
    except FileNotFoundError:
        return {}


def shell(env: dict[str, str], line: str | None) -> list[str]:
    """Return what runs a line, or is a shell to type at, by bash where there is one."""
    folders = env.get("PATH", os.defpath).split(os.pathsep)
    bash = any(os.access(os.path.join(each, "bash"), os.X_OK) for each in folders)
    if line is not None:
        return ["bash" if bash else "sh", "-c", line]
    return ["bash" if bash else "sh", "-i"]


def enter(name: str, env: dict[str, str]) -> None:
    """Have the command use the environment `name`, which is made now if there is none."""
    folder = os.path.join(ENVS, name)
    if not os.path.exists(os.path.join(folder, ".whole")):
        from flow_core.node.kit import dev_box
        from flow_core.node.kit.steps import StepFailed

        try:
            dev_box.make_env(name, env)
        except StepFailed as failed:
            fail(str(failed))
    env["VIRTUAL_ENV"] = folder
    env["PATH"] = os.path.join(folder, "bin") + os.pathsep + env.get("PATH", os.defpath)
    env.pop("PYTHONHOME", None)


def sign_in(who: str, line: str | None) -> None:
    """Write down that somebody is here, for as long as this process lives, which is about to become the command."""
    with open("/proc/self/stat") as file:
        start = file.read().rpartition(")")[2].split()[19]
    os.makedirs(SESSIONS, exist_ok=True)
    told = {"who": who, "start": start, "line": (line or "")[:200]}
    with open(os.path.join(SESSIONS, str(os.getpid())), "w") as file:
        json.dump(told, file)


def fail(reason: str) -> NoReturn:
    """Say why the command was never run."""
    sys.stderr.write("flow: %s\n" % reason)
    sys.stderr.flush()
    sys.exit(FAILED)
