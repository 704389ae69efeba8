"""A call of a function on a node: what it asks for, and what follows when it didn't come to an end."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

from attrs import field, frozen

from flow_core.domain.names import LONGEST_NAME

#: How often a call begins again because its node was taken, before that counts as the call's own doing.
MOST_LOSSES = 10
#: The environment that is the node's own Python.
NODES_OWN = "none"


class ResultFormat(str, enum.Enum):
    """How a result travels back; loading a pickle trusts the node, loading JSON doesn't."""

    PICKLE = "pickle"
    JSON = "json"


class Ending(enum.Enum):
    """Why a call has no result yet: it raised, its process died, or its node went."""

    RAISED = "raised"
    DIED = "died"
    LOST = "lost"


@frozen(kw_only=True)
class Tries:
    """How often a call has begun: failures are its own, losses its nodes'."""

    failures: int = 0
    losses: int = 0

    def after(self, ending: Ending) -> Tries:
        """Return the count once it has ended so."""
        if ending is Ending.LOST:
            return Tries(failures=self.failures, losses=self.losses + 1)
        return Tries(failures=self.failures + 1, losses=self.losses)

    def may_begin_again(self, retries: int) -> bool:
        """Whether there is another try, where the function has `retries`."""
        return self.failures <= retries and self.losses <= MOST_LOSSES


@frozen(kw_only=True)
class WorkerNeeds:
    """What the workers of some functions are: the options of their tasks, and the Python that calls run in.

    `python` is a minor version such as 3.12, empty where the image or the node brings its own. `keep_warm` is how many
    seconds a worker stays without a call.
    """

    task: Mapping[str, object] = field(hash=False)
    python: str = ""
    requirements: tuple[str, ...] = ()
    keep_warm: float = 60.0


def worker_name(app: str, function: str, token: str) -> str:
    """Return the name of a worker's task: the App's and the function's, and something that no other has."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{app}-{function}").strip("-._") or "call"
    return f"{name[: LONGEST_NAME - len(token) - 1]}-{token}"
