"""What can go wrong, as kinds a caller can act on.

A kind answers one question: what should the caller do now? Mend the request, wait, raise the limit, log in, or
report a fault. Messages say what was asked and what is so; `hint` says what to do. Adapters translate whatever
their library raised into one of these, always `from` the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class FlowError(Exception):
    """Something Flow was asked for is not so; the message says what, the hint what to do."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidRequest(FlowError):
    """The request itself is wrong; nothing was sent. `problems` maps each field to one sentence."""

    kind = "invalid-request"

    def __init__(self, problems: Mapping[str, str], *, hint: str | None = None) -> None:
        self.problems: dict[str, str] = dict(problems)
        super().__init__(
            "\n".join(f"{field}: {text}" for field, text in self.problems.items()), hint=hint
        )


class Misconfigured(FlowError):
    """A setting, a file of settings or the installation is wrong; the message names where it was set."""

    kind = "misconfigured"


class NotFound(FlowError):
    """Nothing has that name or id, here or at the provider."""

    kind = "not-found"


class NameTaken(FlowError):
    """Something live has that name already; names are kept as given, so choose another or end the other."""

    kind = "name-taken"


class InUse(FlowError):
    """The thing cannot go while something uses it; the message names the user."""

    kind = "in-use"


class NoCapacity(FlowError):
    """No region can ever serve this request as it stands (a price too low is not this: it waits)."""

    kind = "no-capacity"


class PriceTooLow(FlowError):
    """The limit lies under what the market accepts at all; raise it to the floor that the message names."""

    kind = "price-too-low"


class QuotaExceeded(FlowError):
    """The account may not hold this much; ask the provider for more or end something."""

    kind = "quota-exceeded"


class NotAuthorized(FlowError):
    """The provider does not accept these credentials for this; log in again or ask for the permission."""

    kind = "not-authorized"


class BillingRefused(FlowError):
    """The provider refuses until the account's billing is in order."""

    kind = "billing-refused"


class Unsupported(FlowError):
    """This provider lacks the role the request needs; another may have it."""

    kind = "unsupported"


class Conflict(FlowError):
    """The thing's present state does not allow this; the message names the state."""

    kind = "conflict"


class Transient(FlowError):
    """The provider did not answer; the request may or may not have taken effect. Look before repeating."""

    kind = "transient"

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class NodeUnreachable(FlowError):
    """A node gave no answer; others may have."""

    kind = "node-unreachable"


class NoRoom(FlowError):
    """This machine's disk, memory or process table is full; what was begun has been taken back."""

    kind = "no-room"


class WaitTimedOut(FlowError, TimeoutError):
    """The stated time passed before the awaited thing; the message says what was still being waited for."""

    kind = "timed-out"


class TaskFailed(FlowError):
    """The task ended without success; `exit_code` is the first failing node's."""

    kind = "task-failed"

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class TaskCancelled(FlowError):
    """The task was cancelled before it ended by itself."""

    kind = "task-cancelled"


def kinds() -> dict[str, type[FlowError]]:
    """Return every kind by its name, for `flow schema` and the exit-code table."""
    found: dict[str, type[FlowError]] = {}
    pending: list[type[FlowError]] = [FlowError]
    while pending:
        kind = pending.pop()
        found[kind.kind] = kind
        pending += [each for each in kind.__subclasses__() if each.__module__ == __name__]
    return dict(sorted(found.items()))
