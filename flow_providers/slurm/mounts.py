"""Brings a bid's volumes to their paths, on one node: run there by the batch script, with the bid's folder as argument.

A path is a link to the volume's folder, which needs no right but to make it. It stays when the task has ended: on a
file system that nodes share, another node or task may be at it. So a link that leads to another volume of ours is
led elsewhere, unless a live bid wants it as it is. Printed is what runs an image needs, where each path leads.

Python 3.8, standard library only.
"""

import json
import os
import sys
from typing import Any, Dict, List


def main(bid: str) -> int:
    """Make the links of a bid; those of one with an image need not be."""
    with open(os.path.join(bid, "bid.json"), "rb") as file:
        in_image = bool(json.load(file).get("in_image"))
    root = os.path.dirname(os.path.dirname(bid))
    told = {}
    for each in sorted(mounts_of(bid), key=lambda mount: str(mount["path"])):
        source = os.path.join(root, "volumes", each["id"], "data")
        told[each["path"]] = [source, each["read_only"]]
        try:
            lead(each["path"], source, bid)
        except OSError as error:
            if not in_image:
                sys.stderr.write(
                    "flow: volume %s can't be at %s: %s\n"
                    % (each["id"], each["path"], error.strerror or error)
                )
                return 1
    print(json.dumps(told))
    return 0


def lead(path: str, source: str, bid: str) -> None:
    """Have `path` lead to `source`."""
    os.stat(source)
    if os.path.islink(path):
        there = os.readlink(path)
        if there == source:
            return
        if os.path.exists(path) and (not is_ours(there, source) or is_wanted(path, there, bid)):
            raise OSError("it leads to %s" % there)
        os.unlink(path)
    elif os.path.isdir(path):
        os.rmdir(path)  # an empty one is no loss; any other stays
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.symlink(source, path)
    except FileExistsError:
        if not os.path.islink(path) or os.readlink(path) != source:
            raise


def is_ours(there: str, source: str) -> bool:
    """Whether a link leads to a volume of the same shared folder."""
    return os.path.dirname(os.path.dirname(there)) == os.path.dirname(os.path.dirname(source))


def is_wanted(path: str, there: str, bid: str) -> bool:
    """Whether a live bid other than ours has the volume `there` at `path`."""
    bids = os.path.dirname(bid)
    volume = os.path.basename(os.path.dirname(there))
    for name in os.listdir(bids):
        other = os.path.join(bids, name)
        if other == bid or os.path.exists(os.path.join(other, "end.json")):
            continue
        if any(each["path"] == path and each["id"] == volume for each in mounts_of(other)):
            return True
    return False


def mounts_of(bid: str) -> List[Dict[str, Any]]:
    """Return what a bid mounts."""
    try:
        with open(os.path.join(bid, "mounts"), "rb") as file:
            found: List[Dict[str, Any]] = json.loads(file.read() or b"[]")
            return found
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
