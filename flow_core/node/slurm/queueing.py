"""sbatch, squeue, scancel and `scontrol requeue` inside a script: the first three ask the watcher, the last the parent.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import sys
from typing import Any, Dict, List, Tuple

from flow_core.node.slurm import layout, outbox
from flow_core.node.slurm.layout import Wrong

#: Options that sbatch has and srun has not, or has with a value; for finding the script among the words.
_SBATCH = {
    "array": "value", "wrap": "value", "export-file": "value", "batch": "value", "bb": "value", "bbf": "value",
    "ntasks-per-switch": "value", "uid": "value", "gid": "value", "wait": "nothing", "parsable": "nothing",
    "requeue": "nothing", "no-requeue": "nothing", "test-only": "nothing", "ignore-pbs": "nothing", "nice": "maybe",
    "get-user-env": "maybe", "wait-all-nodes": "value",
}  # fmt: skip
_SBATCH_LETTERS = {"a": "array", "W": "wait", "F": "nodefile"}
#: What tells the script's parent to start it again.
REQUEUE = signal.SIGRTMIN + 9
_FORMAT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_TITLES = {
    "i": "JOBID", "A": "JOBID", "F": "ARRAY_JOB_ID", "K": "ARRAY_TASK_ID", "P": "PARTITION", "j": "NAME", "u": "USER",
    "t": "ST", "T": "STATE", "M": "TIME", "D": "NODES", "R": "NODELIST(REASON)", "r": "REASON", "N": "NODELIST",
    "Z": "WORK_DIR", "l": "TIME_LIMIT",
}  # fmt: skip


def sbatch(words: List[str]) -> int:
    """Have the watcher submit a script; what its `sbatch` would say is said."""
    options, rest = layout.read_words(
        words, kinds={**layout.KINDS, **_SBATCH}, letters={**layout.LETTERS, **_SBATCH_LETTERS}, may_end=True
    )  # fmt: skip
    before = words[: len(words) - len(rest)]
    if "wait" in options:
        raise Wrong("--wait is not known here; `squeue -j` tells when a task is over")
    if "wrap" in options:
        name, arguments = "wrap", []
        text = "#!/bin/sh\n\n%s\n" % options["wrap"]
        before = _without_wrap(before)
    elif rest:
        name, arguments = os.path.basename(rest[0]), rest[1:]
        try:
            with open(rest[0]) as file:
                text = file.read()
        except OSError as error:
            raise Wrong("%s: %s" % (rest[0], error.strerror)) from error
    else:
        name, arguments, text = "sbatch", [], sys.stdin.read()
    env = dict(os.environ)
    answer = outbox.ask(
        {
            "what": "sbatch",
            "words": [each for each in before if each != "--parsable"],
            "script": text,
            "name": name,
            "arguments": arguments,
            "environ": {key: env[key] for key in env if key.startswith("SBATCH_")},
            "number": 10**6 + secrets.randbelow(10**8),
            "key": secrets.token_hex(16),
        },
        env,
    )
    number = answer.get("number")
    if number:
        sys.stdout.write(
            "%s\n" % number if "parsable" in options else "Submitted batch job %s\n" % number
        )
    return said(answer)


def squeue(words: List[str]) -> int:
    """Show live tasks that are batch scripts, as the watcher knows them."""
    wanted = _squeue_words(words)
    answer = outbox.ask({"what": "squeue"}, dict(os.environ))
    rows = [each for each in answer.get("rows", []) if _is_wanted(each, wanted)]
    table = [] if "noheader" in wanted else [_TITLES]
    for row in [*table, *rows]:
        sys.stdout.write(formatted(wanted["format"], row) + "\n")
    return said(answer)


def formatted(pattern: str, row: Dict[str, Any]) -> str:
    """Return one line of squeue's: `%5j` is five wide at least and at most, `%.5j` ranged right."""

    def shown(found: Any) -> str:
        right, width, letter = found.groups()
        if letter not in _TITLES:
            raise Wrong("%%%s is not known here" % letter)
        text = str(row.get(letter, ""))
        if not width:
            return text
        text = text[: int(width)]
        return text.rjust(int(width)) if right else text.ljust(int(width))

    return re.sub(r"%(\.?)([0-9]*)([a-zA-Z])", shown, pattern)


def scancel(words: List[str]) -> int:
    """Have the watcher end tasks, by number, by array and index, or by name."""
    numbers = [word for word in words if not word.startswith("-")]
    names: List[str] = []
    for place, word in enumerate(words):
        if word in ("-n", "--name") and place + 1 < len(words):
            names.append(words[place + 1])
            numbers.remove(words[place + 1])
        elif word.startswith("--name="):
            names.append(word[len("--name=") :])
        elif word.startswith("-") and word not in ("-Q", "--quiet", "-v", "--verbose"):
            raise Wrong("%s is not known here; name tasks by their numbers, or with -n" % word)
    if not numbers and not names:
        raise Wrong("no task is named")
    return said(
        outbox.ask({"what": "scancel", "numbers": numbers, "names": names}, dict(os.environ))
    )


def requeue(words: List[str], env: Dict[str, str]) -> int:
    """Have the script's parent end it and start it again from its top, on the same nodes."""
    own = {env.get("SLURM_JOB_ID", "")}
    if "SLURM_ARRAY_JOB_ID" in env:
        own.add("%s_%s" % (env["SLURM_ARRAY_JOB_ID"], env.get("SLURM_ARRAY_TASK_ID", "")))
    if len(words) != 1 or words[0] not in own:
        raise Wrong("only a script's own number can be requeued: scontrol requeue $SLURM_JOB_ID")
    if env.get("FLOW_SLURM_REQUEUE") == "no":
        raise Wrong("the script says --no-requeue")
    if not env.get("FLOW_SLURM_PARENT"):
        raise Wrong("it must be called on the script's own node")
    os.kill(int(env["FLOW_SLURM_PARENT"]), REQUEUE)
    return 0


def said(answer: Dict[str, Any]) -> int:
    """Put out an answer's words and return its code."""
    sys.stderr.write(answer.get("err", ""))
    return int(answer.get("code", 0))


def _without_wrap(words: List[str]) -> List[str]:
    found: List[str] = []
    skips = False
    for word in words:
        if skips:
            skips = False
        elif word == "--wrap":
            skips = True
        elif not word.startswith("--wrap="):
            found.append(word)
    return found


def _squeue_words(words: List[str]) -> Dict[str, str]:
    found = {"format": _FORMAT}
    left = list(words)
    while left:
        word = left.pop(0)
        name, joined, value = word.partition("=")
        if word in ("-h", "--noheader"):
            found["noheader"] = ""
        elif word in ("--me", "-a", "--all", "-r", "--array"):
            continue
        else:
            option, value = _valued(word, name, joined, value, left)
            found[option] = value
    return found


def _valued(word: str, name: str, joined: str, value: str, left: List[str]) -> Tuple[str, str]:
    known = {
        "-u": "user",
        "-j": "jobs",
        "-n": "name",
        "-t": "states",
        "-o": "format",
        "-p": "partition",
    }
    known.update({"--" + each: each for each in list(known.values())})
    known.update({"--jobid": "jobs", "--job": "jobs"})
    if joined and name in known:
        return known[name], value
    if word[:2] in known and len(word) > 2 and not word.startswith("--"):
        return known[word[:2]], word[2:]
    if word in known and left:
        return known[word], left.pop(0)
    raise Wrong("%s is not known here" % word)


def _is_wanted(row: Dict[str, Any], wanted: Dict[str, str]) -> bool:
    jobs = wanted.get("jobs", "")
    if jobs and not {row["i"], row["A"], row["F"]}.intersection(jobs.split(",")):
        return False
    if wanted.get("name") and row["j"] not in wanted["name"].split(","):
        return False
    states = wanted.get("states", "").upper()
    return (
        not states or states == "ALL" or bool({row["t"], row["T"]}.intersection(states.split(",")))
    )
