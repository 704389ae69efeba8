"""What the user asks for: a task, as one value with its rules.

A `TaskSpec` that exists is well formed: construction reports every problem at once. Whether a provider can serve it
is another question, answered by `placement`. The raw form (a mapping of plain values, as YAML, the command line and
`flow.run` give it) is read by `task_form`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import timedelta

from attrs import field, frozen

from flow_core.domain.money import Price, Spend
from flow_core.domain.names import problem_with_name
from flow_core.domain.shape import InstanceShape
from flow_core.errors import InvalidRequest

MAX_INSTANCES = 10_000
#: The kernel's limit on one argument or variable (MAX_ARG_STRLEN). Source: execve(2), Linux.
MAX_STRING_BYTES = 131_072
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION_NAME = re.compile(r"(?:[a-z][a-z0-9_-]*\.)?[a-z][a-z0-9_]*")


class RunOn(str, enum.Enum):
    """Where the command runs: on every node, or on the one with rank 0 (mpirun, Slurm scripts, deepspeed)."""

    EVERY_NODE = "every-node"
    FIRST_NODE = "first-node"


class Source(str, enum.Enum):
    """What kind of thing a mount brings."""

    VOLUME = "volume"
    S3 = "s3"
    HOST = "host"


@frozen
class Mount:
    """A path on the nodes and what appears there: `volume://NAME`, `s3://BUCKET/PREFIX` or a path of this machine."""

    path: str
    source: str
    read_only: bool = False

    @property
    def kind(self) -> Source:
        """Which kind of source this is."""
        if self.source.startswith("volume://"):
            return Source.VOLUME
        return Source.S3 if self.source.startswith("s3://") else Source.HOST

    @property
    def target(self) -> str:
        """The source without its scheme: a volume's name or id, `bucket/prefix`, or a path."""
        return self.source.partition("://")[2] if self.kind is not Source.HOST else self.source


class Condition(str, enum.Enum):
    """When a task that waits for another may start: after its success, its failure, or its end."""

    OK = "ok"
    NOT_OK = "notok"
    ANY = "any"


@frozen
class Dependency:
    """Another task, by name or token, that must end first."""

    task: str
    condition: Condition = Condition.OK

    def __str__(self) -> str:
        return f"after{self.condition.value}:{self.task}"


def _doc(text: str, example: object = None) -> dict[str, object]:
    return {"doc": text, "example": example}


def _copied(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return a copy, so that what the caller does to theirs later doesn't change a task."""
    return dict(given)


@frozen(kw_only=True)
class TaskSpec:
    """What to run, on what, for at most how much. All fields but `command` have defaults.

    Raises:
        InvalidRequest: with one sentence for every field that breaks a rule.
    """

    command: str | tuple[str, ...] = field(
        metadata=_doc(
            "What runs: a line for the shell, or a list of arguments that no shell reads.",
            "python train.py",
        )
    )
    name: str | None = field(
        default=None,
        metadata=_doc(
            "The task's name, unique among live tasks; a readable one is made up.", "resnet"
        ),
    )
    instance_type: InstanceShape | None = field(
        default=None,
        metadata=_doc("GPUs of one instance; without it the cheapest GPU on offer.", "8xh100"),
    )
    num_instances: int = field(
        default=1, metadata=_doc("How many instances, all granted together.", 4)
    )
    max_price: Price | None = field(
        default=None, metadata=_doc("The most to pay, in dollars per instance-hour.", 12.29)
    )
    region: str | None = field(
        default=None, metadata=_doc("Bid only in this region.", "us-central5-a")
    )
    image: str | None = field(
        default=None,
        metadata=_doc(
            "Container image the command runs in.", "nvidia/cuda:12.1.0-runtime-ubuntu22.04"
        ),
    )
    env: Mapping[str, str] = field(
        factory=dict,
        converter=_copied,
        metadata=_doc("Environment variables of the command.", {"NCCL_DEBUG": "INFO"}),
        hash=False,
    )
    mounts: tuple[Mount, ...] = field(
        default=(),
        metadata=_doc(
            "What appears where: absolute path on the node -> source.",
            {"/models": "volume://pretrained-models"},
        ),
    )
    working_dir: str | None = field(
        default=None,
        metadata=_doc(
            "Where the command runs on the nodes; relative to the workspace or absolute.", "src"
        ),
    )
    code: str | None = field(
        default=None,
        metadata=_doc(
            "Folder of this machine whose files are copied to the workspace of every node.", "."
        ),
    )
    run_on: RunOn = field(
        default=RunOn.EVERY_NODE,
        metadata=_doc("Whether every node runs the command or only the first.", "every-node"),
    )
    keep: bool = field(
        default=False,
        metadata=_doc("Keep the nodes, and go on paying, when the command has ended.", False),
    )
    max_run_time: timedelta | None = field(
        default=None, metadata=_doc("End the task when it has held nodes this long.", "8h")
    )
    max_spend: Spend | None = field(
        default=None, metadata=_doc("End the task before it can have cost more, in dollars.", 200)
    )
    reservation: str | None = field(
        default=None,
        metadata=_doc("Run on this reservation, by name or id, instead of bidding.", "nightly"),
    )
    after: tuple[Dependency, ...] = field(
        default=(), metadata=_doc("Tasks that must end before this one bids.", ["afterok:prepare"])
    )

    options: Mapping[str, str] = field(
        factory=dict,
        converter=_copied,
        metadata=_doc(
            "What only some providers understand; as `provider.option`, the others pass over it.",
            {"mock.mount_links": "yes"},
        ),
        hash=False,
    )

    def __attrs_post_init__(self) -> None:
        problems = problems_with(self)
        if problems:
            raise InvalidRequest(problems)

    @property
    def command_line(self) -> str:
        """The command as one line to show; arguments are quoted for reading, not for running."""
        if isinstance(self.command, str):
            return self.command
        return " ".join(_shown(argument) for argument in self.command)


def problems_with(spec: TaskSpec) -> dict[str, str]:
    """Return one sentence for each field of `spec` that breaks a rule; empty when it is well formed."""
    found = {
        "command": _command_problem(spec.command),
        "name": None if spec.name is None else problem_with_name(spec.name),
        "num_instances": _count_problem(spec.num_instances),
        "env": _env_problem(spec.env),
        "mounts": _mounts_problem(spec.mounts),
        "max_price_per_hour": "the limit is $0.00; a bid of nothing wins nothing"
        if spec.max_price == Price.ZERO
        else None,
        "image": _text_problem(spec.image, spaces=False),
        "region": _text_problem(spec.region, spaces=False),
        "working_dir": _text_problem(spec.working_dir),
        "code": _text_problem(spec.code),
        "max_run_time": None
        if spec.max_run_time is None or spec.max_run_time > timedelta(0)
        else "must be more than nothing",
        "max_spend": None
        if spec.max_spend is None or spec.max_spend > Spend.ZERO
        else "must be more than nothing",
        "reservation": _reservation_problem(spec),
        "after": _after_problem(spec),
        "options": _options_problem(spec.options),
    }
    return {name: text for name, text in found.items() if text}


def _command_problem(command: object) -> str | None:
    words = (command,) if isinstance(command, str) else command
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        return f"{command!r} is neither a line of text nor a list of texts"
    if not words or not words[0].strip():
        return "there is nothing to run"
    if any("\0" in word for word in words):
        return "holds a NUL character, which no command can"
    if any(len(word.encode("utf-8", "surrogateescape")) >= MAX_STRING_BYTES for word in words):
        return f"one argument is over {MAX_STRING_BYTES:,} bytes, the most Linux takes; put it into a script"
    return None


def _count_problem(count: object) -> str | None:
    if isinstance(count, bool) or not isinstance(count, int):
        return f"{count!r} is not a whole number"
    if not 1 <= count <= MAX_INSTANCES:
        return f"{count} instances can't be asked for; ask for 1 to {MAX_INSTANCES:,}"
    return None


def _env_problem(env: Mapping[str, str]) -> str | None:
    problems = []
    for name, value in env.items():
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            problems.append(
                f"{name!r} can't name a variable; use letters, digits and _, not starting with a digit"
            )
        elif not isinstance(value, str):
            problems.append(f"{name} is {value!r}; a variable's value is text")
        elif "\0" in value:
            problems.append(f"{name} holds a NUL character, which no variable can")
        elif len(value.encode("utf-8", "surrogateescape")) + len(name) + 2 > MAX_STRING_BYTES:
            problems.append(f"{name} is over {MAX_STRING_BYTES:,} bytes, the most Linux takes")
    return "; ".join(problems) or None


def _mounts_problem(mounts: tuple[Mount, ...]) -> str | None:
    problems = []
    seen: set[str] = set()
    for mount in mounts:
        if not mount.path.startswith("/"):
            problems.append(
                f"{mount.path!r} is relative; a mount needs an absolute path, such as '/{mount.path}'"
            )
        elif any(part in (".", "..") for part in mount.path.split("/")) or "\0" in mount.path:
            problems.append(f"{mount.path!r} must not hold '.', '..' or NUL")
        elif mount.path.rstrip("/") in ("", "/proc", "/sys", "/dev"):
            problems.append(f"{mount.path!r} belongs to the node's system; mount elsewhere")
        if mount.path.rstrip("/") in seen:
            problems.append(f"{mount.path!r} is mounted twice")
        seen.add(mount.path.rstrip("/"))
        if not mount.target:
            problems.append(f"{mount.source!r} names no source for {mount.path!r}")
        elif mount.kind is Source.HOST and not mount.source.startswith(("/", "./", "../", "~")):
            problems.append(
                f"{mount.source!r} at {mount.path!r} is no source; "
                "write 'volume://NAME', 's3://BUCKET/PREFIX' or a path"
            )
    return "; ".join(problems) or None


def _text_problem(text: object, *, spaces: bool = True) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip():
        return f"{text!r} is empty; leave it out instead"
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        return f"{text!r} holds a control character"
    return (
        f"{text!r} holds a space" if not spaces and any(char.isspace() for char in text) else None
    )


def _options_problem(options: Mapping[str, str]) -> str | None:
    problems = [
        f"{name!r} names no option; write 'option' or 'provider.option'"
        for name in options
        if not _OPTION_NAME.fullmatch(name)
    ]
    return "; ".join(problems) or None


def _reservation_problem(spec: TaskSpec) -> str | None:
    if spec.reservation is None:
        return None
    if spec.max_price is not None:
        return "is paid already, so that a limit on the price has no meaning"
    if any(mount.kind is Source.VOLUME for mount in spec.mounts):
        return "has the volumes that it was made with; a task can't mount others"
    return _text_problem(spec.reservation, spaces=False)


def _after_problem(spec: TaskSpec) -> str | None:
    names = [dependency.task for dependency in spec.after]
    if spec.name is not None and spec.name in names:
        return f"{spec.name!r} waits for itself"
    return None


def _shown(word: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_./:=@%+,~-]+", word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"
