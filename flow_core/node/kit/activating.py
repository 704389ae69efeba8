"""Sets what `conda activate` sets: the variables of an environment's packages and of its file, and those that packages'
scripts set.

Compilers of a channel work by such scripts, as libraries do that look for their data. They are read as conda's shell
function would, in bash where there is one, and what they leave in the environment is the command's.

Source: conda/activate.py of github.com/conda/conda, 4.8 and later, for the files and their order.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
from typing import Any

from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import path

_READ = 'for each; do . "$each"; done >&2; exec env -0'
#: What the shell says of itself.
_OF_THE_SHELL = ("_", "OLDPWD", "PWD", "SHLVL")


def activate(folder: str, env: dict[str, str]) -> None:
    """Change `env` as the environment in `folder` wants it. A script that ends the shell fails the step."""
    conda = os.path.join(folder, "etc", "conda")
    told: dict[str, Any] = {}
    for name in sorted(glob.glob(os.path.join(conda, "env_vars.d", "*"))):
        told.update(_content(name))
    told.update(_content(os.path.join(folder, "conda-meta", "state")).get("env_vars", {}))
    env.update((name, str(value)) for name, value in told.items())
    scripts = sorted(glob.glob(os.path.join(conda, "activate.d", "*.sh")))
    if not scripts:
        return
    shell = shutil.which("bash", path=env.get("PATH")) or "/bin/sh"
    with open(path("environment.log"), "ab") as log:
        done = subprocess.run(
            [shell, "-c", _READ, shell, *scripts], env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, check=False,
        )  # fmt: skip
    if done.returncode:
        raise StepFailed(
            "environment: one of %s ended the shell, with %d"
            % (os.path.join(conda, "activate.d", "*.sh"), done.returncode)
        )
    left = dict(each.split("=", 1) for each in os.fsdecode(done.stdout).split("\0") if "=" in each)
    for name in _OF_THE_SHELL:
        left.pop(name, None)
        if name in env:
            left[name] = env[name]
    env.clear()
    env.update(left)


def _content(name: str) -> dict[str, Any]:
    try:
        with open(name, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return {}
