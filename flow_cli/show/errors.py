"""What went wrong, in words for people and as a document for programs."""

from __future__ import annotations

from collections.abc import Mapping

from flow_cli.show.text import clean

#: Errors whose message needs no lead-in, by kind, and those that do.
_SEVERAL = "this request can't be served as it stands:"


def error_text(
    kind: str,
    message: str,
    *,
    hint: str | None = None,
    problems: Mapping[str, str] | None = None,
    spelled: Mapping[str, str] | None = None,
) -> str:
    """Return lines for stderr: what was asked and what is so, the kind, and what to do.

    `spelled` says how the user writes a field, e.g. `instance_type` -> `--instance-type`.
    """
    found = {_field(name, spelled or {}): clean(text) for name, text in (problems or {}).items()}
    if len(found) > 1:
        lines = [
            f"error: {_SEVERAL} [{kind}]",
            *(f"  {name}: {text}" for name, text in found.items()),
        ]
    elif found:
        name, text = next(iter(found.items()))
        lines = [f"error: {name}: {text} [{kind}]"]
    else:
        first, *rest = clean(message, lines=True).split("\n")
        lines = [f"error: {first} [{kind}]", *(f"  {line}" for line in rest)]
    if hint:
        lines.append(f"hint: {clean(hint)}")
    return "\n".join(lines)


def error_json(
    kind: str,
    message: str,
    *,
    exit_code: int,
    hint: str | None = None,
    problems: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Return the payload of an `error` document; fields keep the names they have in a task file."""
    return {
        "error": {
            "kind": kind, "message": message, "hint": hint, "problems": dict(problems or {}), "exit_code": exit_code,
        }
    }  # fmt: skip


def _field(name: str, spelled: Mapping[str, str]) -> str:
    for separator in (".", "["):
        head, found, rest = name.partition(separator)
        if found and head in spelled:
            return f"{spelled[head]} {rest.rstrip(']')}" if separator == "." else spelled[head]
    return clean(spelled.get(name, name))
