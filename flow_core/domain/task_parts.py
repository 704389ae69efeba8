"""The small values that a task is made of: where it runs, what it mounts, what it waits for, how it recovers."""

from __future__ import annotations

import enum
from datetime import timedelta

from attrs import field, frozen

from flow_core.domain.duration import format_duration


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
        """The source without its scheme and options: a volume's name or id, `bucket/prefix`, or a path."""
        if self.kind is Source.HOST:
            return self.source
        return self.source.partition("://")[2].partition("?")[0]


class Condition(str, enum.Enum):
    """When a task that waits for another may start: after its success, failure or end, or once it has begun."""

    OK = "ok"
    NOT_OK = "notok"
    ANY = "any"
    BEGUN = ""


@frozen
class Dependency:
    """Another task, or group of tasks, by name or token, that must come first."""

    task: str
    condition: Condition = Condition.OK

    def __str__(self) -> str:
        return f"after{self.condition.value}:{self.task}"


class Recover(str, enum.Enum):
    """What to do about nodes that the market took."""

    WAIT = "wait"
    MOVE = "move"
    RAISE = "raise"

    def __str__(self) -> str:
        return self.value


@frozen
class Recovery:
    """How a preempted task comes back: `how`, once it has waited for `after` in vain; waiting waits for ever."""

    how: Recover = Recover.WAIT
    after: timedelta = timedelta(0)

    def __str__(self) -> str:
        return (
            str(self.how)
            if self.how is Recover.WAIT
            else f"{self.how}:{format_duration(self.after)}"
        )


class Keeper(str, enum.Enum):
    """Where a secret's value is looked for; ANY is the environment first, then the keyring."""

    ANY = "any"
    ENV = "env"
    KEYRING = "keyring"


@frozen
class Secret:
    """A value that only the command gets: the name of its variable, and where this machine keeps it.

    The value itself is in no task, no record and no script.
    """

    name: str
    keeper: Keeper = field(default=Keeper.ANY, converter=Keeper)

    def __str__(self) -> str:
        return self.name if self.keeper is Keeper.ANY else f"{self.name}={self.keeper.value}"


class Guard(str, enum.Enum):
    """Who ends a task whose time or money is over while this machine sleeps: nobody, or its own first node."""

    NONE = "none"
    NODE = "node"
