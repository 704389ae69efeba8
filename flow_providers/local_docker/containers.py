"""What a node's container is made with."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from flow_providers.local_docker import s3fs_kit
from flow_providers.local_docker.asked import Asked
from flow_providers.local_docker.facts import WORKSPACE
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.labels import (
    BID,
    CLAIM,
    GPUS,
    HOME_LABEL,
    MADE,
    PRETENDED,
    RANK,
    TELLS,
    Record,
    network_name,
)
from flow_providers.local_docker.limits import ULIMITS
from flow_providers.local_docker.node_files import node_file
from flow_providers.local_docker.python_kit import NodePython

#: Where the helper of a container that doesn't run as root keeps its files: below a folder that anyone may write.
OPEN_FOLDER = "/opt/flow-user"
OPEN_HOME = f"{OPEN_FOLDER}/home"
#: Seconds that a command has for its end when its container is stopped, before it is killed.
STOP_S = 15
#: Where containers whose command has an environment of its own find those that were made before.
CACHE_FOLDER = "/opt/flow-cache"
_FUSE = "/dev/fuse"
#: Source: linux/capability.h.
_SYS_ADMIN = 21


def container(
    record: Record,
    rank: int,
    *,
    asked: Asked,
    gpus: Gpus,
    indices: tuple[int, ...],
    python: NodePython,
    image_user: str,
    memory: int,
    cache: str = "",
    s3fs: str | None = None,
    raises_limits: bool = True,
) -> dict[str, Any]:
    """Return the body of the request that makes a node's container; `memory` is the machine's, in bytes.

    `cache` is the volume that keeps environments, `s3fs` what must be bound to have s3fs.
    """
    wanted = asked.user or image_user
    # Only root mounts; the kit on the node then becomes who was wanted.
    user = "" if record.has_buckets else wanted
    host: dict[str, Any] = {
        "Init": True,
        # A node comes back with its engine, as a machine does with its power; a withdrawn one is removed.
        "RestartPolicy": {"Name": "unless-stopped"},
        "Binds": [
            *filter(None, (python.bind, s3fs, f"{cache}:{CACHE_FOLDER}" if cache else "")),
            *asked.binds,
            *_volumes(record),
        ],
        # Loaders of training data share batches there; like any machine's, it holds half of the memory and uses none
        # until it is filled. Docker's own 64 MB end them with a bus error.
        "ShmSize": asked.shm or (asked.memory or memory) // 2,
        "Ulimits": ULIMITS if raises_limits else [],
    }
    if asked.cpus is not None:
        host["NanoCpus"] = int(asked.cpus * 1e9)
    if asked.memory is not None:
        host["Memory"] = host["MemorySwap"] = asked.memory
    if indices and not gpus.pretended:
        held = [str(index) for index in indices]
        request = {"Driver": "nvidia", "DeviceIDs": held, "Capabilities": [["gpu"]]}
        host["DeviceRequests"] = [request]
    if record.has_buckets:
        fuse = {"PathOnHost": _FUSE, "PathInContainer": _FUSE, "CgroupPermissions": "rwm"}
        # Mounting is what AppArmor's profile for containers forbids; SYS_ADMIN is taken from the command again.
        host.update(CapAdd=["SYS_ADMIN"], Devices=[fuse], SecurityOpt=["apparmor=unconfined"])
    if asked.on_host_network:
        host["NetworkMode"] = "host"
    if rank == 0 and asked.publish:
        host["PortBindings"] = {
            f"{there}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(here)}]
            for here, there in asked.publish
        }
    body: dict[str, Any] = {
        "Image": record.image,
        "Hostname": f"{record.name}-{rank}"[:63],
        "User": user,
        "WorkingDir": WORKSPACE,
        "Entrypoint": ["/bin/sh", "-c", node_file("init.sh")],
        "Cmd": [],
        "Env": [
            f"FLOW_SCRIPT={record.script}",
            f"FLOW_PYTHON={python.path}",
            *_home(user),
            *([f"FLOW_CACHE={CACHE_FOLDER}"] if cache else []),
            *(["FLOW_LIVE=yes"] if asked.is_live else []),
            *(_mounting(wanted, s3fs) if record.has_buckets else []),
        ],
        "Labels": {
            BID: record.id,
            RANK: str(rank),
            CLAIM: record.claim,
            PRETENDED if gpus.pretended else GPUS: ",".join(map(str, indices)),
            MADE: "local-docker",
            **({TELLS: "yes"} if python.bind else {}),
            **({} if is_root(user) else {HOME_LABEL: OPEN_HOME}),
        },
        # Whoever makes it speaks to its first process once; see the node's first.py.
        "OpenStdin": bool(python.bind),
        "StdinOnce": bool(python.bind),
        "StopTimeout": STOP_S,
        "ExposedPorts": {f"{there}/tcp": {} for _, there in asked.publish},
        "HostConfig": host,
    }
    if record.quantity > 1:
        name = network_name(record)
        host["NetworkMode"] = name
        body["NetworkingConfig"] = {"EndpointsConfig": {name: {"Aliases": [f"node-{rank}"]}}}
    return body


def is_root(user: str) -> bool:
    """Whether a container with this user runs as root."""
    return user.partition(":")[0] in ("", "0", "root")


def open_folders(*more: str) -> bytes:
    """Return an archive of the folders that a command which doesn't run as root needs, for anyone to write."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in (OPEN_FOLDER, WORKSPACE, *more):
            member = tarfile.TarInfo(name.lstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(member)
    return archive.getvalue()


def _home(user: str) -> list[str]:
    return [] if is_root(user) else [f"FLOW_HOME={OPEN_HOME}"]


def _mounting(wanted: str, s3fs: str | None) -> list[str]:
    """Return what tells the kit on the node how to mount, and what to give up before it becomes the command."""
    return [
        f"FLOW_WITHOUT_CAPABILITIES={_SYS_ADMIN}",
        *([] if is_root(wanted) else [f"FLOW_RUN_AS={wanted}"]),
        *([f"FLOW_S3FS={s3fs_kit.PROGRAM}", f"FLOW_CA={s3fs_kit.AUTHORITIES}"] if s3fs else []),
    ]


def _volumes(record: Record) -> list[str]:
    return [
        f"{each.volume_id}:{each.path}" + (":ro" if each.read_only else "")
        for each in record.mounted()
    ]
