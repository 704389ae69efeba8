"""Which file systems lie across a network, where shared memory and locks are not what they are on a disk."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
#: Types as Linux names them. Source: mount(8), and the FUSE subtypes of the usual clients.
ACROSS_A_NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "gpfs", "lustre", "ncpfs", "nfs"),
        *("nfs4", "ocfs2", "panfs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "wekafs"),
        *("fuse.cephfs", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys"),
        *("fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_type(path: Path, *, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the network file system that `path` lies on; None on a disk, or where nobody can tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    place = path.resolve()
    best: tuple[int, str] = (-1, "")
    for line in lines:
        before, _, after = line.partition(" - ")
        columns, kind = before.split(" "), after.split(" ")[0]
        if len(columns) < 5:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), columns[4]))
        depth = len(point.parts)
        if depth >= best[0] and (place == point or point in place.parents):
            best = (depth, kind)
    return best[1] if best[1] in ACROSS_A_NETWORK else None
