"""Which task of a step runs where, and what srun's options say about it: pure, so that it can be tested anywhere.

Python 3.8, standard library only.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

#: Options with a value, by their letter; those of `HEARD` change what is done here.
_WITH_VALUE = (
    "account:A acctg-freq bcast begin:b chdir:D cluster-constraint clusters:M comment constraint:C container-env"
    " container-image container-mounts container-name container-workdir core-spec:S cores-per-socket cpu-bind cpu-freq"
    " cpus-per-gpu cpus-per-task:c deadline delay-boot dependency:d distribution:m epilog error:e exclude:x export"
    " gpu-bind gpu-freq gpus:G gpus-per-node gpus-per-socket gpus-per-task gres gres-flags het-group hint immediate"
    " input:i job-name:J jobid kill-on-invalid-dep licenses:L mail-type mail-user max-threads:T mem mem-bind"
    " mem-per-cpu mem-per-gpu mincpus mpi msg-timeout network nice nodelist:w nodes:N ntasks:n ntasks-per-core"
    " ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output:o partition:p power priority profile prolog"
    " qos:q relative:r reservation signal slurmd-debug sockets-per-node switches task-epilog task-prolog thread-spec"
    " threads-per-core time:t time-min tmp tres-per-task wckey wait:W"
)
_WITH_NOTHING = (
    "allocate contiguous container-mount-home container-readonly container-remap-root container-writable exact hold:H"
    " label:l multi-prog no-allocate:Z no-container-mount-home no-container-remap-root oversubscribe:s overcommit:O"
    " overlap preserve-env:E pty quiet:Q quit-on-interrupt reboot spread-job unbuffered:u use-min-nodes verbose:v"
)
_MAYBE_VALUE = "exclusive kill-on-bad-exit:K no-kill:k propagate"
_ALIASES = {
    "tasks-per-node": "ntasks-per-node",
    "gpus-per-tasks": "gpus-per-task",
    "nodefile": "nodelist",
}


class Wrong(Exception):
    """What was asked of srun can't be done; the text is a sentence."""


def _table() -> Tuple[Dict[str, str], Dict[str, str]]:
    kinds: Dict[str, str] = {}
    letters: Dict[str, str] = {}
    for kind, names in (
        ("value", _WITH_VALUE),
        ("nothing", _WITH_NOTHING),
        ("maybe", _MAYBE_VALUE),
    ):
        for each in names.split():
            name, _, letter = each.partition(":")
            kinds[name] = kind
            if letter:
                letters[letter] = name
    return kinds, letters


KINDS, LETTERS = _table()


def read_words(
    words: List[str],
    *,
    kinds: Dict[str, str] = KINDS,
    letters: Dict[str, str] = LETTERS,
    may_end: bool = False,
) -> Tuple[Dict[str, str], List[str]]:
    """Return options by long name ('' without a value), and the command after them, which must be there as a rule.

    The options are srun's unless said.
    """
    found: Dict[str, str] = {}
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "-":
        word = words[place]
        place += 1
        if word == "--":
            break
        if word.startswith("--"):
            name, joined, value = word[2:].partition("=")
            option = _named(name, kinds)
            if kinds[option] == "value" and not joined:
                value, place = _next(words, place, word)
            found[option] = value
            continue
        letter, rest = word[1], word[2:]
        if letter not in letters:
            raise Wrong("-%s is no option that is known here" % letter)
        option = letters[letter]
        if kinds[option] == "value":
            if not rest:
                rest, place = _next(words, place, word)
            found[option] = rest
        else:
            found[option] = rest if kinds[option] == "maybe" else ""
            if rest and kinds[option] == "nothing":
                words = [*words[:place], "-" + rest, *words[place:]]
    if not words[place:] and not may_end:
        raise Wrong("there is nothing to run")
    return found, words[place:]


def _named(name: str, kinds: Dict[str, str]) -> str:
    name = _ALIASES.get(name, name)
    if name in kinds:
        return name
    fitting = [each for each in kinds if each.startswith(name)]
    if len(fitting) != 1:
        raise Wrong("--%s is no option that is known here" % name)
    return fitting[0]


def _next(words: List[str], place: int, word: str) -> Tuple[str, int]:
    if place >= len(words):
        raise Wrong("%s needs a value" % word)
    return words[place], place + 1


class Share(NamedTuple):
    """What one node runs of a step: the node's rank in the task, its host, and the numbers of its tasks."""

    rank: int
    host: str
    tasks: Tuple[int, ...]


def shares(options: Dict[str, str], env: Dict[str, str], hosts: List[str]) -> List[Share]:
    """Return which node runs which tasks: blocks of neighbours, spread evenly, the first nodes having one more.

    As with Slurm, the script's own count of tasks stands unless -n says otherwise, and -w names nodes that must be
    among those used, not all of them.
    """
    nodes = list(enumerate(hosts))
    each = _number(options, "ntasks-per-node")
    count = _number(options, "nodes") or len(nodes)
    if count > len(nodes):
        raise Wrong("%d nodes are asked for, and there are %d" % (count, len(nodes)))
    tasks = _number(options, "ntasks") or int(env.get("SLURM_NTASKS") or 0) or (each or 1) * count
    if options.get("nodelist"):
        wanted = hostnames(options["nodelist"])
        strange = [host for host in wanted if host not in hosts]
        if strange:
            raise Wrong("%s is no node of this task" % strange[0])
        nodes.sort(key=lambda node: node[1] not in wanted)
    nodes = sorted(nodes[: min(tasks, count)])
    size, more = divmod(tasks, len(nodes))
    found = []
    first = 0
    for place, (rank, host) in enumerate(nodes):
        some = size + (1 if place < more else 0)
        found.append(Share(rank, host, tuple(range(first, first + some))))
        first += some
    return found


def _number(options: Dict[str, str], name: str) -> Optional[int]:
    text = options.get(name)
    if text is None:
        return None
    match = re.match(r"\+?([0-9]+)(?:-[0-9]+)?$", text)
    if match is None or not int(match.group(1)):
        raise Wrong("--%s=%s is no positive number" % (name, text))
    return int(match.group(1))


def task_env(
    found: List[Share], place: int, local: int, step: int, gpus_per_task: int
) -> Dict[str, str]:
    """Return what a task's environment has besides its step's caller's."""
    share = found[place]
    total = sum(len(each.tasks) for each in found)
    env = {
        "SLURM_PROCID": str(share.tasks[local]),
        "SLURM_LOCALID": str(local),
        "SLURM_NODEID": str(place),
        "SLURMD_NODENAME": share.host,
        "SLURM_NTASKS": str(total),
        "SLURM_NPROCS": str(total),
        "SLURM_NNODES": str(len(found)),
        "SLURM_STEP_ID": str(step),
        "SLURM_STEPID": str(step),
        "SLURM_STEP_NODELIST": ",".join(each.host for each in found),
        "SLURM_STEP_NUM_NODES": str(len(found)),
        "SLURM_STEP_NUM_TASKS": str(total),
        "SLURM_STEP_TASKS_PER_NODE": counts([len(each.tasks) for each in found]),
        "SLURM_TASKS_PER_NODE": counts([len(each.tasks) for each in found]),
        "SLURM_GTIDS": ",".join(map(str, share.tasks)),
    }
    if gpus_per_task:
        first = local * gpus_per_task
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(first, first + gpus_per_task)))
    return env


def counts(sizes: List[int]) -> str:
    """Write sizes as Slurm does: `2(x2),1`."""
    runs: List[List[int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1][1] += 1
        else:
            runs.append([size, 1])
    return ",".join("%d(x%d)" % (size, many) if many > 1 else str(size) for size, many in runs)


def gpus_of_a_task(options: Dict[str, str], env: Dict[str, str]) -> int:
    """Return how many GPUs each task sees; 0 for all of its node's."""
    text = options.get("gpus-per-task", env.get("SLURM_GPUS_PER_TASK", ""))
    number = text.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def seconds_of(text: str) -> int:
    """Return a time limit in seconds: minutes, minutes:seconds, hours:minutes:seconds, with days-; 0 for none."""
    if not text or text.lower() in ("infinite", "unlimited", "-1"):
        return 0
    days, dash, rest = text.rpartition("-")
    try:
        parts = [int(each) for each in rest.split(":")]
        day = int(days) if dash else 0
    except ValueError as error:
        raise Wrong("--time=%s is no time limit" % text) from error
    if len(parts) > 3:
        raise Wrong("--time=%s is no time limit" % text)
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, [*parts, 0][:2]
    return ((day * 24 + hours) * 60 + minutes) * 60 + seconds


def hostnames(text: str) -> List[str]:
    """Return the hosts of a list such as `n[01-03,7],m1`, in order."""
    found: List[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text):
        names = [""]
        for plain, ranges in re.findall(r"([^\[\]]*)(?:\[([^\]]*)\])?", part):
            names = [name + plain for name in names]
            if ranges:
                names = [name + each for name in names for each in _numbers(ranges)]
        found += names
    return found


def _numbers(ranges: str) -> List[str]:
    found: List[str] = []
    for item in ranges.split(","):
        low, _, high = item.partition("-")
        last = int(high or low)
        found += [str(each).zfill(len(low)) for each in range(int(low), last + 1)]
    return found


def expanded(pattern: str, values: Dict[str, Any]) -> str:
    """Replace `%j`, `%t` and their kin in a file's name."""

    def replaced(match: Any) -> str:
        width, letter = match.group(1), match.group(2)
        if letter == "%":
            return "%"
        value = values.get(letter)
        return match.group(0) if value is None else str(value).zfill(int(width or 0))

    return re.sub(r"%([0-9]?)([a-zA-Z%])", replaced, pattern)
