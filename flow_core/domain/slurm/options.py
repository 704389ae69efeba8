"""The options that sbatch knows, and how words become options: getopt's rules, abbreviations included.

A long option may be cut short as long as only one fits; a value is joined by `=`, or is the next word, or is glued to
the short letter. An optional value is only ever joined. What else stands in the way is refused, as sbatch does.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from attrs import frozen

from flow_core.domain.slurm.tokens import Flaw, Script
from flow_core.domain.spelling import nearest


class Takes(enum.Enum):
    """Whether an option has a value."""

    NOTHING = 0
    VALUE = 1
    MAYBE = 2


class Origin(str, enum.Enum):
    """Where an option was given; later ones win."""

    SCRIPT = "script"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command-line"


@frozen
class Given:
    """One option as somebody gave it. `line` counts from 1 in the script; `written` is how it stood there.

    `option` is its full name under which it is known here (`tasks-per-node` is `ntasks-per-node`).
    """

    option: str
    value: str | None
    origin: Origin = Origin.SCRIPT
    line: int | None = None
    written: str = ""

    @property
    def where(self) -> str:
        """The place, as a key of a problem: `line 3`, `$SBATCH_TIMELIMIT` or `command line`."""
        if self.origin is Origin.SCRIPT:
            return f"line {self.line}"
        return (
            self.written.partition("=")[0] if self.origin is Origin.ENVIRONMENT else "command line"
        )


#: Long options with a value, by name, with their letter. Source: sbatch 22.05.8, asked about every prefix.
_WITH_VALUE = """
account:A acctg-freq array:a batch bb bbf begin:b chdir:D cluster-constraint clusters:M comment constraint:C container
context core-spec:S cores-per-socket cpu-freq cpus-per-gpu cpus-per-task:c deadline delay-boot dependency:d
distribution:m error:e exclude:x export export-file extra-node-info:B gid gpu-bind gpu-freq gpus:G gpus-per-node
gpus-per-socket gpus-per-task gres gres-flags hint input:i job-name:J kill-on-invalid-dep licenses:L mail-type
mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile:F nodelist:w nodes:N ntasks:n
ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres open-mode output:o partition:p power
prefer priority profile qos:q reservation signal sockets-per-node switches thread-spec threads-per-core time:t time-min
tmp uid wait-all-nodes wckey wrap
"""
_WITH_NOTHING = """
contiguous help:h hold:H ignore-pbs no-requeue overcommit:O oversubscribe:s parsable quiet:Q reboot requeue spread-job
test-only usage use-min-nodes verbose:v version:V wait:W
"""
_MAYBE_VALUE = "exclusive get-user-env nice no-kill:k propagate"
#: Two names of one option.
_ALIASES = {
    "cluster": "clusters",
    "tasks-per-node": "ntasks-per-node",
    "ntasks-per-tres": "ntasks-per-gpu",
}
#: Options that a site's sbatch has when it runs NVIDIA's pyxis. Source: pyxis's README, "Usage".
PYXIS: Mapping[str, Takes] = {
    **dict.fromkeys(
        ("container-image", "container-mounts", "container-workdir", "container-name", "container-save",
         "container-env"), Takes.VALUE,
    ),
    **dict.fromkeys(
        ("container-mount-home", "no-container-mount-home", "container-remap-root", "no-container-remap-root",
         "container-entrypoint", "no-container-entrypoint", "container-entrypoint-log", "container-writable",
         "container-readonly"), Takes.NOTHING,
    ),
}  # fmt: skip

#: Variables that sbatch reads as options, in its order: of two that exclude each other, the later wins.
_VARIABLES = """
ACCOUNT ACCTG_FREQ ARRAY_INX=array BATCH CLUSTERS CONSTRAINT CONTAINER CORE_SPEC CPUS_PER_GPU DELAY_BOOT DISTRIBUTION
ERROR EXCLUSIVE EXPORT GET_USER_ENV GPU_BIND GPU_FREQ GPUS GPUS_PER_NODE GPUS_PER_TASK GRES GRES_FLAGS HINT IGNORE_PBS
INPUT JOB_NAME MEM_BIND MEM_PER_CPU MEM_PER_GPU MEM_PER_NODE=mem NETWORK NO_KILL NO_REQUEUE OPEN_MODE OUTPUT
OVERCOMMIT PARTITION POWER PROFILE QOS REQ_SWITCH=switches REQUEUE RESERVATION SIGNAL SPREAD_JOB THREAD_SPEC
THREADS_PER_CORE TIMELIMIT=time USE_MIN_NODES WAIT WAIT_ALL_NODES WCKEY
"""
#: Options that are another program's, or came and went: what to say instead of the nearest spelling.
_STRANGERS = {
    **dict.fromkeys(
        ("mpi", "label", "unbuffered", "kill-on-bad-exit", "pty", "overlap", "exact", "multi-prog", "cpu-bind"),
        "is an option of srun, not of sbatch",
    ),
    "workdir": "is gone from Slurm; write --chdir",
    "share": "is gone from Slurm; write --oversubscribe",
    "immediate": "is gone from sbatch",
    "tres-per-task": "came with Slurm 23.02; write --gpus-per-task",
    "time-limit": "is no option; write --time",
    "walltime": "is no option of Slurm; write --time",
}  # fmt: skip
_STRANGE_LETTERS = {"l": "srun --label", "u": "srun --unbuffered", "K": "srun --kill-on-bad-exit"}


def _named(listing: str) -> Iterator[tuple[str, str]]:
    for entry in listing.split():
        name, _, letter = entry.partition(":")
        yield name, letter


LONG: dict[str, Takes] = {
    **{name: Takes.VALUE for name, _ in _named(_WITH_VALUE)},
    **{name: Takes.NOTHING for name, _ in _named(_WITH_NOTHING)},
    **{name: Takes.MAYBE for name, _ in _named(_MAYBE_VALUE)},
    **dict.fromkeys(_ALIASES, Takes.VALUE),
}
SHORT: dict[str, str] = {
    letter: name
    for listing in (_WITH_VALUE, _WITH_NOTHING, _MAYBE_VALUE)
    for name, letter in _named(listing)
    if letter
}
VARIABLES: dict[str, str] = {
    f"SBATCH_{name}": option or name.lower().replace("_", "-")
    for name, _, option in (entry.partition("=") for entry in _VARIABLES.split())
}


def script_options(
    script: Script, *, plugins: Iterable[str] = ()
) -> tuple[list[Given], list[Flaw]]:
    """Return what the directives of a script say, in order; words run on from line to line, as sbatch has it."""
    words: list[tuple[str, int | None]] = [
        (word, line.number) for line in script.lines for word in line.words
    ]
    found, flaws = _read(words, Origin.SCRIPT, frozenset(plugins))
    return found, flaws


def command_line_options(
    words: Sequence[str], *, plugins: Iterable[str] = ()
) -> tuple[list[Given], list[Flaw]]:
    """Return what the words between `sbatch` and the script say."""
    return _read([(word, None) for word in words], Origin.COMMAND_LINE, frozenset(plugins))


def environment_options(environ: Mapping[str, str]) -> list[Given]:
    """Return what the `SBATCH_*` variables of an environment say."""
    found = []
    for variable, option in VARIABLES.items():
        value = environ.get(variable)
        if value is None and variable == "SBATCH_HINT":
            variable, value = "SLURM_HINT", environ.get("SLURM_HINT")
        if value is None and variable == "SBATCH_CLUSTERS":
            variable, value = "SLURM_CLUSTERS", environ.get("SLURM_CLUSTERS")
        if value is None:
            continue
        takes = LONG[option]
        if takes is Takes.NOTHING and not _is_yes(value):
            continue
        told = None if takes is Takes.NOTHING or (takes is Takes.MAYBE and not value) else value
        found.append(Given(option, told, Origin.ENVIRONMENT, None, f"${variable}={value}"))
    return found


def _is_yes(value: str) -> bool:
    """Whether a variable turns an option without a value on; anything but a zero or a no, seen from experience."""
    return value == "" or value.lower().startswith("y") or (value.isdecimal() and int(value) != 0)


def _read(
    words: list[tuple[str, int | None]], origin: Origin, plugins: frozenset[str]
) -> tuple[list[Given], list[Flaw]]:
    found: list[Given] = []
    flaws: list[Flaw] = []
    place = 0
    while place < len(words):
        word, line = words[place]
        place += 1
        if word == "--":
            if place < len(words):
                flaws.append(_stray(*words[place]))
            break
        if word[:1] != "-" or word == "-":
            flaws.append(_stray(word, line))
            continue
        if word[1] != "-":
            place = _read_letters(words, place, origin, found, flaws)
            continue
        name, joined, value = word[2:].partition("=")
        option = _long_name(name, plugins)
        if option is None:
            flaws.append(Flaw(line, word, _unknown(name, plugins)))
            continue
        takes = LONG.get(option) or PYXIS[option]
        told: str | None = value if joined else None
        if takes is Takes.NOTHING and joined:
            flaws.append(Flaw(line, word, f"--{option} takes no value"))
            continue
        if takes is Takes.VALUE and not joined:
            if place == len(words):
                flaws.append(Flaw(line, word, f"--{option} needs a value"))
                continue
            told, _ = words[place]
            place += 1
            word = f"{word} {told}"
        found.append(Given(_ALIASES.get(option, option), told, origin, line, word))
    return found, flaws


def _read_letters(
    words: list[tuple[str, int | None]],
    place: int,
    origin: Origin,
    found: list[Given],
    flaws: list[Flaw],
) -> int:
    """Read a word of short options, the word before `place`; return where to go on."""
    word, line = words[place - 1]
    for index in range(1, len(word)):
        letter = word[index]
        option = SHORT.get(letter)
        if option is None:
            known = _STRANGE_LETTERS.get(letter)
            flaws.append(
                Flaw(
                    line,
                    word,
                    f"-{letter} is {known}, not sbatch's" if known else f"-{letter} is no option",
                )
            )
            return place
        takes = LONG[option]
        if takes is Takes.NOTHING:
            found.append(Given(option, None, origin, line, f"-{letter}"))
            continue
        rest: str | None = word[index + 1 :] or None
        written = word
        if rest is None and takes is Takes.VALUE:
            if place == len(words):
                flaws.append(Flaw(line, word, f"-{letter} needs a value"))
                return place
            rest, _ = words[place]
            place += 1
            written = f"{word} {rest}"
        found.append(Given(option, rest, origin, line, written))
        return place
    return place


@lru_cache(maxsize=512)
def _long_name(name: str, plugins: frozenset[str]) -> str | None:
    """Return the option that `name` is or abbreviates, or None when there is none or several."""
    if name in LONG or name in plugins:
        return name
    fitting = {each for each in (*LONG, *plugins) if each.startswith(name)} if name else set()
    meant = {_ALIASES.get(each, each) for each in fitting}
    return min(fitting) if len(meant) == 1 else None


def _unknown(name: str, plugins: frozenset[str]) -> str:
    fitting = sorted(each for each in (*LONG, *plugins) if name and each.startswith(name))
    if fitting:
        return f"--{name} may be {', '.join('--' + each for each in fitting)}; write more of it"
    if name in _STRANGERS:
        return f"--{name} {_STRANGERS[name]}"
    if name in PYXIS:
        return f"--{name} is pyxis's, which this sbatch doesn't load"
    near = nearest(name.replace("_", "-"), LONG)
    return f"--{name} is no option of sbatch" + (f"; nearest is --{near}" if near else "")


def _stray(word: str, line: int | None) -> Flaw:
    why = f"{word!r} stands alone, and sbatch takes only options here"
    if word[:1] in "\u2013\u2014" and word:
        why += "; its dash is a typographer's, write '-' or '--'"
    return Flaw(line, word, why)
