"""What the user asks for: a task, as one value with its rules.

A `TaskSpec` that exists is well formed: construction reports every problem at once. Whether a provider can serve it
is another question, answered by `placement`. The raw form (a mapping of plain values, as YAML, the command line and
`flow.run` give it) is read by `task_form`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import field, frozen

from flow_core.domain.money import Price, Spend
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task_parts import Dependency, Guard, Mount, Recovery, RunOn, Secret
from flow_core.domain.task_rules import problems_with
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_core.domain.policy import BidPolicy

#: The variable that tells which batch script a command carries.
SCRIPT_VARIABLE = "FLOW_SLURM_SCRIPT"


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
    bid_policy: BidPolicy | None = field(
        default=None,
        metadata=_doc(
            "How the limit is chosen, within max_price_per_hour: dollars, 2x, p90/24h or budget:40@09:00.",
            "p90/24h",
        ),
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
    secrets: tuple[Secret, ...] = field(
        default=(),
        metadata=_doc(
            "Variables of the command whose values this machine keeps secret.", ["WANDB_API_KEY"]
        ),
    )
    environment: str | None = field(
        default=None,
        metadata=_doc(
            "What the command's Python comes from: none, python:3.11, or a file of the code such as "
            "requirements.txt, pyproject.toml or environment.yml.",
            "requirements.txt",
        ),
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
    idle_timeout: timedelta | None = field(
        default=None,
        metadata=_doc("End the task when its nodes have had nothing to do this long.", "30m"),
    )
    guard: Guard = field(
        default=Guard.NONE,
        metadata=_doc(
            "Whether the first node holds a key of the account, to end the cost while this machine sleeps.",
            "none",
        ),
    )
    retries: int = field(default=0, metadata=_doc("How often a command that failed runs again.", 2))
    recovery: Recovery = field(
        default=Recovery(),
        metadata=_doc(
            "How it comes back when the market took its nodes: wait, move:AFTER to another region, "
            "or raise:AFTER within the cap.",
            "move:10m",
        ),
    )
    checkpoint: str | None = field(
        default=None,
        metadata=_doc(
            "Folder on the nodes that must survive a preemption; checked before bidding.",
            "/checkpoints",
        ),
    )
    notice_signal: str | None = field(
        default=None,
        metadata=_doc("The signal that tells the command of a notice of preemption; USR1.", "USR1"),
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
        """The command as one line to show; arguments are quoted for reading, not for running.

        A batch script is shown by its file's name and arguments.
        """
        if SCRIPT_VARIABLE in self.env:
            return self.env[SCRIPT_VARIABLE]
        if isinstance(self.command, str):
            return self.command
        return " ".join(_shown(argument) for argument in self.command)


def _shown(word: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_./:=@%+,~-]+", word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"
