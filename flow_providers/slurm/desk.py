"""What is done where Slurm's commands are: told in JSON, answered in JSON. Python 3.8, standard library only.

Where that is this machine, the provider imports this file; elsewhere its text is run there, as `python3 -c TEXT VERB`
with the request as its input.

`root` is a folder that the login node and every node of the cluster share. `bids/ID` there is a bid: `bid.json` (what
was asked), `batch.sh`, `job` (Slurm's number), `node-RANK` (each node's FLOW_HOME), `work-RANK` (its workspace),
`slurm.out`, and `end.json` once it has ended. When Slurm is through with it, it moves to `ended`, with logs and nothing
else.

A name is placed once because making a folder is atomic, on network file systems too. The number is written after Slurm
has told it; whoever finds a folder without one looks for Slurm's own record, whose comment is `flow:ID`.
"""

import base64
import contextlib
import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Callable, Dict, List, Optional

from flow_providers.slurm.desk_bids import (
    Refused,
    Told,
    complaint,
    content,
    count_of,
    drop,
    eldest,
    end_of,
    entry,
    environment,
    is_plain,
    listed,
    load,
    node_folder,
    prune,
    quoted,
    read_bid,
    root_of,
    text_of,
    told_apart,
    why_it_ended,
    write,
)
from flow_providers.slurm.desk_volumes import attach, make, promise, unmake, volumes

#: squeue's fields, the comment last because anything may be in it.
FIELDS = (
    "job",
    "state",
    "reason",
    "count",
    "nodes",
    "start",
    "end",
    "limit",
    "partition",
    "comment",
)
FORMAT = "%A|%T|%r|%D|%N|%S|%e|%l|%P|%k"
#: How long one of Slurm's commands may take, and for how long whoever claimed a name is left alone with it.
PATIENCE_S = 30.0
CLAIM_S = 60.0
#: How often a hold is tried that comes while nodes are granted.
HOLDS = 5
WAITS = ("PENDING", "REQUEUED", "REQUEUE_HOLD")
#: Bundles whose files are kept unpacked for the next task that brings the same.
MOST_BUNDLES = 20
FINAL = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
)  # fmt: skip
STREAMS = ("out", "err", "note")


def look(told: Told) -> Told:
    """Return every live bid with what its nodes say, and Slurm's own rows if `queue`; of ended ones those asked for."""
    folder = os.path.join(root_of(told), "bids")
    # Folders first: one that has its number has its row, too, from then until Slurm forgets it.
    bids = {name: read_bid(os.path.join(folder, name)) for name in listed(folder)}
    rows = None
    if told["queue"]:
        rows = queue()
        by_id = {row["comment"][5:]: row for row in rows if row["comment"].startswith("flow:")}
        for name, bid in list(bids.items()):
            settle(os.path.join(folder, name), bid, by_id.get(name))
            if bid.get("gone"):
                del bids[name]
    wanted = told["ended"]
    ended = os.path.join(root_of(told), "ended")
    names = listed(ended) if wanted is True else [each for each in wanted or () if is_plain(each)]
    found = {name: read_bid(os.path.join(ended, name)) for name in names}
    return {
        "now": time.time(),
        "rows": rows,
        "bids": {name: bid for name, bid in bids.items() if bid.get("job")},
        "ended": {name: bid for name, bid in found.items() if bid},
    }


def place(told: Told) -> Told:
    """Have Slurm take a batch script, once for a name; return the bid's id, and `busy` while another makes it."""
    root, number = root_of(told), 1
    while True:
        name = told["name"] if number == 1 else "%s.%d" % (told["name"], number)
        folder = os.path.join(root, "bids", name)
        if os.path.exists(os.path.join(root, "ended", name)):
            number += 1
            continue
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
            break
        except FileExistsError:
            if os.path.exists(os.path.join(folder, "end.json")):
                number += 1
                continue
        settle(folder, read_bid(folder), row_of(name))
        if text_of(os.path.join(folder, "job")):
            return {"id": name, "busy": False}
        if not os.path.isdir(folder):
            continue  # it has ended, and was put away at this moment
        if time.time() - os.stat(folder).st_mtime < CLAIM_S:
            return {"id": name, "busy": True}
        drop(root, folder)  # whoever claimed it was killed before Slurm heard of it
    return submitted(told, root, folder, name)


def submitted(told: Told, root: str, folder: str, name: str) -> Told:
    """Submit what a folder was just made for; a refusal leaves nothing."""
    script = told["script"].replace("@FOLDER@", quoted(folder))
    write(os.path.join(folder, "batch.sh"), script)
    record = dict(told["record"], created_at=time.time())
    write(os.path.join(folder, "bid.json"), json.dumps(record))
    output = os.path.join(folder, "slurm.out").replace("%", "%%")
    words = ["sbatch", "--parsable", "--requeue", "--open-mode=append", "--export=ALL"]
    words += ["--comment=flow:" + name, "--output=" + output, "--chdir=" + folder, *told["words"]]
    try:
        promise(root, folder, told["mounts"], told)
        said = run(words, given=script)
    except Refused as refused:
        if refused.kind != "silent":
            drop(root, folder)
        raise
    with contextlib.suppress(FileNotFoundError):  # so quick that somebody has put it away
        write(os.path.join(folder, "job"), said.split(";")[0].strip())
    return {"id": name, "busy": False}


def withdraw(told: Told) -> Told:
    """End bids: mark them as ended, then tell Slurm. What isn't there is left alone."""
    jobs = []
    for name in told["ids"]:
        folder = os.path.join(root_of(told), "bids", name)
        if not is_plain(name) or not os.path.isdir(folder):
            continue
        job = text_of(os.path.join(folder, "job"))
        if not job:
            row = row_of(name)
            job = row["job"] if row else ""
        if not os.path.exists(os.path.join(folder, "end.json")):
            end = {"state": "CANCELLED", "at": time.time(), "why": ""}
            try:
                write(os.path.join(folder, "end.json"), json.dumps(end))
            except FileNotFoundError:
                continue  # it has ended, and was put away at this moment
        jobs += [job] if job else []
    if jobs:
        run(["scancel", "--quiet", *jobs], fine="Invalid job id")
    return {}


def known(told: Told) -> Told:
    """Return which of a bid's folders don't hold a bundle yet, and the folder that it is to be unpacked to first."""
    root = root_of(told)
    held = load(os.path.join(root, "bids", told["id"], "held.json"))
    lacking = [
        each
        for each in told["targets"]
        if held.get(each) != told["digest"] or not os.path.isdir(each)
    ]
    return {"lacking": lacking, "place": os.path.join(root, "code", told["digest"])}


def spread(told: Told) -> Told:
    """Copy an unpacked bundle into folders of a bid; return why it could not be, by folder."""
    root, lost = root_of(told), {}
    code = os.path.join(root, "code")
    place, note = (
        os.path.join(root, "code", told["digest"]),
        os.path.join(root, "bids", told["id"], "held.json"),
    )
    held = load(note)
    for each in told["targets"]:
        write(note, json.dumps({path: digest for path, digest in held.items() if path != each}))
        os.makedirs(each, exist_ok=True)
        try:
            run(["cp", "-a", "--remove-destination", "--reflink=auto", place + "/.", each + "/"])
            held[each] = told["digest"]
        except Refused as refused:
            lost[each] = refused.says
    write(note, json.dumps(held))
    os.utime(place)
    for path in eldest(code, keep=MOST_BUNDLES):
        drop(root, path)
    return {"lost": lost}


def hold(told: Told) -> Told:
    """Give a bid's nodes back and keep it from having others, or let it have them again."""
    job = text_of(os.path.join(root_of(told), "bids", told["id"], "job"))
    if not told["held"]:
        run(["scontrol", "release", job])
        return {}
    for _ in range(HOLDS):
        row = row_of(told["id"]) or {}
        run(["scontrol", "uhold" if row.get("state") in WAITS else "requeuehold", job])
        # One that waited may have been granted at that moment, and keeps its nodes then.
        if (row_of(told["id"]) or {}).get("state") in WAITS:
            break
    return {}


def cluster(told: Told) -> Told:
    """Return what the cluster has, in scontrol's words, and where the shared folder is."""
    return {
        "nodes": run(["scontrol", "--oneliner", "--details", "show", "nodes"]),
        "partitions": run(["scontrol", "--oneliner", "show", "partitions"]),
        "folder": root_of(told),
    }


def about(told: Told) -> Told:
    """Return which Slurm this is, who we are to it, and what can run images here."""
    plugins = run(["srun", "--help"], fine="")
    found = [name for name in ("apptainer", "singularity") if shutil.which(name)]
    if "--container-image" in plugins:
        found.insert(0, "pyxis")
    version = run(["sinfo", "--version"]).strip()
    return {"version": version, "user": getpass.getuser(), "images": found}


def log(told: Told) -> Told:
    """Return what describes a stretch of a node's log, and its bytes."""
    home = node_folder(told)
    if home is None:
        raise Refused("missing", "there is no log of node %d of %s" % (told["rank"], told["id"]))
    index, offset, limit = content(os.path.join(home, "log.index")), told["offset"], told["limit"]
    count = count_of(index)
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        begin, length = entry(index, middle)[:2]
        if begin + length > offset:
            high = middle
        else:
            low = middle + 1
    pieces, end = [], offset
    while low < count and end < offset + limit:
        begin, length, stream, at = entry(index, low)
        piece = min(begin + length, offset + limit) - end
        pieces.append([STREAMS[stream], piece, at])
        end += piece
        low += 1
    data = b""
    if end > offset:
        with open(os.path.join(home, "log"), "rb") as file:
            data = os.pread(file.fileno(), end - offset, offset)
    has_ended = os.path.basename(os.path.dirname(os.path.dirname(home))) == "ended"
    over = has_ended or load(os.path.join(home, "state.json")).get("phase") == "exited"
    head = {"offset": offset, "next_offset": end, "pieces": pieces}
    head["is_last"] = over and end >= end_of(index)
    return {"head": head, "data": base64.b64encode(data).decode()}


def script(told: Told) -> Told:
    """Return a bid's batch script, empty where it isn't kept."""
    path = os.path.join(root_of(told), "bids", told["id"], "batch.sh")
    return {"script": content(path).decode("utf-8", "surrogateescape")}


def queue() -> List[Dict[str, str]]:
    """Return Slurm's rows of this user's, ended ones too for as long as Slurm shows them."""
    words = [
        "squeue",
        "--noheader",
        "--states=all",
        "--format=" + FORMAT,
        "--user=" + getpass.getuser(),
    ]
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 2))
    found = []
    for line in run(words).splitlines():
        parts = line.split("|", len(FIELDS) - 1)
        if len(parts) == len(FIELDS):
            found.append(told_apart(dict(zip(FIELDS, parts)), now))
    return found


def row_of(name: str) -> Optional[Dict[str, str]]:
    """Return Slurm's row of one bid."""
    rows = [row for row in queue() if row["comment"] == "flow:" + name]
    return rows[0] if rows else None


def run(words: List[str], *, given: str = "", fine: Optional[str] = None) -> str:
    """Return what a command of Slurm's writes; `fine` is in complaints that don't matter."""
    try:
        done = subprocess.run(
            words, input=given.encode("utf-8", "surrogateescape"), env=environment(), cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Refused("absent", "there is no %s here" % words[0]) from None
    except subprocess.TimeoutExpired:
        raise Refused("silent", "%s gave no answer within %g s" % (words[0], PATIENCE_S)) from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode and (fine is None or fine not in said):
        raise Refused("refused", said or "%s ended with %d" % (words[0], done.returncode))
    return done.stdout.decode("utf-8", "replace")


def settle(folder: str, bid: Told, row: Optional[Dict[str, str]]) -> None:
    """Learn a bid's number from Slurm's row, and put it away when Slurm is through with it; `gone` says so."""
    try:
        bid["gone"] = put_away(folder, bid, row)
    except FileNotFoundError:
        bid["gone"] = True  # another process was quicker


def put_away(folder: str, bid: Told, row: Optional[Dict[str, str]]) -> bool:
    """Do what `settle` says; return whether the bid is live no more."""
    if row is not None and not bid.get("job"):
        write(os.path.join(folder, "job"), row["job"])
        bid["job"] = row["job"]
    if not bid.get("job"):
        return False
    if row is None:
        row = remembered(bid["job"], why_it_ended(folder))
    if row["state"] not in FINAL:
        return False
    path = os.path.join(folder, "end.json")
    if not os.path.exists(path):
        end = {
            "state": row["state"],
            "at": time.time(),
            "why": why_it_ended(folder) or (complaint(folder) if row["state"] == "FAILED" else ""),
            "limit": row["limit"],
        }
        write(path, json.dumps(end))
    root, name = os.path.split(os.path.dirname(folder))[0], os.path.basename(folder)
    place = os.path.join(root, "ended", name)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.rename(folder, place)
    prune(root, place)
    return True


def remembered(job: str, why: str) -> Dict[str, str]:
    """Return what accounting knows of what squeue no longer shows; without any, what its own last words tell, `why`."""
    try:
        words = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=State,Timelimit"]
        state, limit = run([*words, "-j", job]).splitlines()[0].split("|")[:2]
        return {"state": state.split()[0], "limit": limit}
    except (Refused, IndexError, ValueError):
        # Of those words only this one is never followed by another start.
        return {"state": "TIMEOUT" if why == "TIME LIMIT" else "REVOKED", "limit": ""}


_VERBS = (
    look, known, spread, place, withdraw, hold, cluster, about, log, script, volumes, make, unmake, attach,
)  # fmt: skip
VERBS: Dict[str, Callable[[Told], Told]] = {each.__name__: each for each in _VERBS}


def answer(verb: str, told: Told) -> Told:
    """Return what a verb answers, or `refused` with the kind and the words."""
    try:
        return VERBS[verb](told)
    except Refused as refused:
        return {"refused": refused.kind, "says": refused.says}
    except OSError as error:
        return {"refused": "folder", "says": "%s: %s" % (error.filename, error.strerror)}


if __name__ == "__main__":
    json.dump(answer(sys.argv[1], json.load(sys.stdin)), sys.stdout)
