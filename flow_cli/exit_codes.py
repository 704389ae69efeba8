"""The one table of exit codes: what a script can tell from `$?` alone.

A command ends with the number of the kind of what went wrong. A command that passes on the exit code of a user's own
command (`flow submit` while attached, `flow ssh TASK -- CMD`) leaves the small numbers to it: whatever went wrong with
Flow itself is then 125, as container tools do, and the kind is on stderr and in `--json`.
"""

from __future__ import annotations

OK = 0
#: Flow's own failure, where the exit code is otherwise the user's command's.
OWN_FAILURE = 125
INTERRUPTED = 130
BROKEN_PIPE = 141

#: kind of `flow_core.errors` -> exit code.
BY_KIND: dict[str, int] = {
    "error": 1,
    "invalid-request": 2,
    "misconfigured": 3,
    "not-found": 4,
    "name-taken": 5,
    "in-use": 6,
    "no-capacity": 7,
    "price-too-low": 8,
    "quota-exceeded": 9,
    "not-authorized": 10,
    "billing-refused": 11,
    "unsupported": 12,
    "conflict": 13,
    "transient": 14,
    "node-unreachable": 15,
    "no-room": 16,
    "timed-out": 17,
    "task-failed": 18,
    "task-cancelled": 19,
}

#: Kinds that only the command line knows; errors of the core have the rest.
USAGE = "usage"
UNEXPECTED = "unexpected"
OWN_KINDS: dict[str, tuple[int, str]] = {
    USAGE: (
        2,
        "The command line can't be read: an unknown command or option, or a value in the wrong form.",
    ),
    UNEXPECTED: (1, "A fault of Flow's own; the details are in a file that the message names."),
}

#: Codes that are no kind's, in the order the reference shows them.
SPECIAL: dict[int, str] = {
    OK: "The command did what it was asked for.",
    OWN_FAILURE: "Flow's own failure, where the exit code is otherwise that of the user's command.",
    126: "The user's command was found and could not be run (attached `flow submit`, `flow ssh TASK -- CMD`).",
    127: "The user's command was not found (as above).",
    128: "128+n: the user's command was ended by signal n (as above).",
    INTERRUPTED: "Ctrl-C; a task that was followed goes on.",
    BROKEN_PIPE: "Whoever read the output has gone, as in `flow logs TASK | head`.",
}


def exit_code(kind: str, *, passes_on: bool = False) -> int:
    """Return the exit code for a kind; 125 where the command's exit code is meant for the user's own command."""
    if passes_on:
        return OWN_FAILURE
    if kind in OWN_KINDS:
        return OWN_KINDS[kind][0]
    return BY_KIND.get(kind, 1)
