"""Volumes at the desk: folders of the shared folder. Joined with `desk.py` where that is run elsewhere.

`volumes/ID` holds `volume.json` and `data`, which is the volume. It is made elsewhere and moved there as a whole, so a
name is taken once. What a bid mounts stands in its own folder, in `mounts`, before the volumes are looked for; who
deletes one moves it away before looking for bids. So of the two at least one sees the other.

Python 3.8, standard library only.
"""

import json
import os
import time
from typing import List

from flow_providers.slurm.desk_bids import (
    Refused,
    Told,
    content,
    drop,
    is_plain,
    listed,
    load,
    root_of,
    sweep,
    write,
)

#: What images' runners would take for the end of a path, and what no path of anyone's has.
AWKWARD = (":", ",", "\n")


def volumes(told: Told) -> Told:
    """Return every volume as it was made."""
    folder = os.path.join(root_of(told), "volumes")
    found = [
        dict(load(os.path.join(folder, each, "volume.json")), id=each) for each in listed(folder)
    ]
    return {"volumes": [each for each in found if is_plain(each["id"]) and "name" in each]}


def make(told: Told) -> Told:
    """Make a volume, empty."""
    folder = os.path.join(root_of(told), "volumes")
    new = os.path.join(folder, ".%d.%d" % (os.getpid(), time.monotonic_ns()))
    os.makedirs(os.path.join(new, "data"), mode=0o700)
    record = dict(told["record"], created_at=time.time())
    write(os.path.join(new, "volume.json"), json.dumps(record))
    try:
        os.rename(new, os.path.join(folder, told["id"]))
    except OSError:
        drop(root_of(told), new)
        if not os.path.isdir(os.path.join(folder, told["id"])):
            raise
        raise Refused("taken", "there is a volume %r already" % record["name"]) from None
    return dict(record, id=told["id"])


def unmake(told: Told) -> Told:
    """Delete a volume that no live bid mounts, with what it holds; one that is gone is left alone."""
    root = root_of(told)
    place = os.path.join(root, "volumes", told["id"])
    aside = os.path.join(root, "volumes", ".%d.%d" % (os.getpid(), time.monotonic_ns()))
    if not is_plain(told["id"]) or not os.path.isdir(place):
        return {}
    refuse_used(root, told["id"])
    os.rename(place, aside)
    try:
        refuse_used(root, told["id"])
    except Refused:
        os.rename(aside, place)
        raise
    drop(root, aside)
    sweep(root)
    return {}


def attach(told: Told) -> Told:
    """Have a bid that is held mount another volume, once its nodes start again."""
    root = root_of(told)
    folder = os.path.join(root, "bids", told["id"])
    before = mounts_of(folder)
    promise(root, folder, [*before, told["mount"]] if told["mount"] not in before else before, told)
    return {}


def promise(root: str, folder: str, mounts: List[Told], told: Told) -> None:
    """Write down what a bid mounts; its nodes bring it about.

    Raises:
        Refused: a volume isn't there, or can't be where it is wanted, as far as can be seen from here.
    """
    if not mounts:
        return
    before = content(os.path.join(folder, "mounts"))
    write(os.path.join(folder, "mounts.py"), told["program"])
    write(os.path.join(folder, "mounts"), json.dumps(mounts))
    found = [problem_with(root, each, in_image=told["in_image"]) for each in mounts]
    problems = [each for each in found if each]
    if problems:
        write(os.path.join(folder, "mounts"), before.decode())
        raise Refused("mounts", "; ".join(problems))


def problem_with(root: str, mount: Told, in_image: bool) -> str:
    """Return why a volume can't be where it is wanted; empty where nothing is known against it."""
    path = mount["path"]
    if not is_plain(mount["id"]) or not os.path.isdir(os.path.join(root, "volumes", mount["id"])):
        return "there is no volume %s on this cluster" % mount["id"]
    if in_image:
        awkward = [each for each in AWKWARD if each in path or each in root]
        return "%s can't be a path in an image: it has %r" % (path, awkward[0]) if awkward else ""
    if mount["read_only"]:
        return "%s can't be read-only without an image" % path
    if os.path.islink(path) or (os.path.isdir(path) and not os.listdir(path)):
        return ""
    if os.path.lexists(path):
        return "%s is taken: there are files already" % path
    above = os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above) or not os.access(above, os.W_OK | os.X_OK):
        return "%s can't be made: you may not write to %s" % (path, above)
    return ""


def mounts_of(folder: str) -> List[Told]:
    """Return what the bid of a folder mounts."""
    found: List[Told] = json.loads(content(os.path.join(folder, "mounts")) or b"[]")
    return found


def refuse_used(root: str, volume: str) -> None:
    """Refuse where a live bid mounts the volume."""
    bids = os.path.join(root, "bids")
    users = [
        name
        for name in listed(bids)
        if any(each["id"] == volume for each in mounts_of(os.path.join(bids, name)))
        and not os.path.exists(os.path.join(bids, name, "end.json"))
    ]
    if users:
        raise Refused("used", "%s is attached to %s" % (volume, ", ".join(users)))
