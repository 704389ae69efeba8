"""Writes what launchers want to know of all nodes: a hostfile, and accelerate's configuration.

`$FLOW_HOSTFILE` has a line a node, `HOST slots=N`, as mpirun (Open MPI) and deepspeed read it; N is the GPUs of a node,
at least 1. `$ACCELERATE_CONFIG_FILE` describes the same group to `accelerate launch --config_file`. Sources: Open MPI's
manual of mpirun, DeepSpeed's page on resource configuration, accelerate's `default_config.yaml`.
"""

from __future__ import annotations

import os
from typing import Any

from flow_core.node.node_store import is_there, load, path, write


def step(setup: dict[str, Any], env: dict[str, str], command: list[str]) -> None:
    """Write both files and name them in the environment."""
    slots = max(int(setup["gpus"]), 1)
    nodes = sorted(load("delivery.json")["nodes"], key=lambda node: int(node["rank"]))
    hostfile = "".join("%s slots=%d\n" % (node["host"], slots) for node in nodes)
    write(path("hostfile"), hostfile.encode())
    config = [
        "compute_environment: LOCAL_MACHINE",
        "distributed_type: %s" % ("MULTI_GPU" if setup["gpus"] else "MULTI_CPU"),
        "num_machines: %d" % len(nodes),
        "num_processes: %d" % (slots * len(nodes)),
        "machine_rank: %s" % env["NODE_RANK"],
        "main_process_ip: %s" % env["MASTER_ADDR"],
        "main_process_port: %s" % env["MASTER_PORT"],
        "main_training_function: main",
        "rdzv_backend: static",
        "same_network: true",
        "use_cpu: %s" % ("false" if setup["gpus"] else "true"),
    ]
    write(path("accelerate.yaml"), ("\n".join(config) + "\n").encode())
    for name in ("hostfile", "accelerate.yaml"):
        os.chmod(path(name), 0o644)
    if is_there("ssh/id"):
        env["FLOW_SSH_KEY"], env["FLOW_SSH_CONFIG"] = path("ssh/id"), path("ssh/config")
    env["FLOW_HOSTFILE"] = path("hostfile")
    env["ACCELERATE_CONFIG_FILE"] = path("accelerate.yaml")
