"""Writes what launchers want to know of all nodes: a hostfile, and accelerate's configuration.

`$FLOW_HOSTFILE` has a line a node, `HOST slots=N`, as mpirun (Open MPI) and deepspeed read it; N is the GPUs of a node,
at least 1. `$ACCELERATE_CONFIG_FILE` describes the same group to `accelerate launch --config_file`. Sources: Open MPI's
manual of mpirun, DeepSpeed's page on resource configuration, accelerate's `default_config.yaml`.

NCCL is told which interface has the address that the fellows know, and which InfiniBand adapters have an active port;
what the user set stays. Source: NCCL's manual, "Environment Variables": a leading = asks for these very names.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from flow_core.node.node_store import is_there, load, path, write

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any


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
    if not os.geteuid():
        for name in AS_ROOT:
            env.setdefault(name, "1")
    own = [str(node["host"]) for node in nodes if str(node["rank"]) == env["NODE_RANK"]]
    for name, text in fabric(own[0] if own else "").items():
        env.setdefault(name, text)
    env["FLOW_HOSTFILE"] = path("hostfile")
    env["ACCELERATE_CONFIG_FILE"] = path("accelerate.yaml")


#: A command on a node of one's own may be root; mpirun refuses unless told so twice. Source: Open MPI's mpirun(1).
AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
#: Asks the kernel for an interface's IPv4 address. Source: netdevice(7), linux/sockios.h.
_SIOCGIFADDR = 0x8915
_ADAPTERS = "/sys/class/infiniband"


def fabric(host: str, adapters: str = _ADAPTERS) -> dict[str, str]:
    """Return what NCCL should know of this node's network: nothing of hardware that isn't there."""
    found = {}
    interface = interface_of(host)
    if interface and interface != "lo":
        found["NCCL_SOCKET_IFNAME"] = "=" + interface
    names = [each for each in folder(adapters) if is_active(os.path.join(adapters, each))]
    if names:
        found["NCCL_IB_HCA"] = "=" + ",".join(names)
    return found


def interface_of(host: str) -> str:
    """Return the name of the interface with this IPv4 address; empty where none has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            asked = struct.pack("256s", name.encode()[:15])
            try:
                told = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, asked)
            except OSError:
                continue
            if socket.inet_ntoa(told[20:24]) == host:
                return name
    return ""


def is_active(adapter: str) -> bool:
    """Whether a port of an adapter is up and speaks InfiniBand."""
    ports = os.path.join(adapter, "ports")
    return any(
        "ACTIVE" in text(os.path.join(ports, each, "state"))
        and text(os.path.join(ports, each, "link_layer")) == "InfiniBand"
        for each in folder(ports)
    )


def folder(place: str) -> list[str]:
    """Return the names in a folder, sorted; none where there is none."""
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []


def text(place: str) -> str:
    """Return what a file says; empty where there is none."""
    try:
        with open(place) as file:
            return file.read().strip()
    except OSError:
        return ""
