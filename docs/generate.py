"""Write again what the docs take from the code: `python -m docs.generate`; `--check` only says what is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.states import states_page
from flow_core.errors import FlowError, kinds

REFERENCE = Path(__file__).parent / "reference"
_MADE = "<!-- Made by `make docs` from the code; change that instead. -->"


def pages() -> dict[str, str]:
    """Return every made page by its file name in docs/reference."""
    from flow_cli import reference

    return {
        "states.md": states_page(_MADE),
        "errors.md": errors_page(),
        **reference.pages(),
        **_schema(),
        **_simulator(),
    }


def errors_page() -> str:
    """Return the kinds of errors as Python sees them."""
    import flow
    from flow_cli.exit_codes import exit_code

    lines = [
        "# Errors",
        "",
        _MADE,
        "",
        "Every error of Flow's own is a `flow.FlowError` with a `kind`, a `message` that says what is so, and often a",
        "`hint` that says what to do. The command line ends with the kind's [exit code](exit-codes.md).",
        "",
        "| Kind | In Python | Exit code | What is so |",
        "|---|---|---:|---|",
    ]
    for kind, found in kinds().items():
        # A face may refine a kind (`flow.Cancelled` is also a CancelledError); the page shows the kind's own class.
        error = next(base for base in found.__mro__ if "kind" in vars(base))
        name = error.__name__
        shown = f"`flow.{name}`" if name in flow.__all__ else f"`{name}`"
        also = ", ".join(f"`{base.__name__}`" for base in error.__bases__ if not _is_ours(base))
        lines.append(
            f"| `{kind}` | {shown}{f', a {also}' if also else ''} | {exit_code(kind)} | {_first_line(error)} |"
        )
    return "\n".join(lines) + "\n"


def stale(folder: Path = REFERENCE) -> list[str]:
    """Return the names of the pages in `folder` that differ from what the code says."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).exists() or (folder / name).read_text("utf-8") != text
    ]


def main() -> int:
    """Write the stale pages, or with `--check` only name them; return the exit code."""
    found = stale()
    if "--check" in sys.argv[1:]:
        sys.stderr.writelines(f"docs/reference/{name} is stale: make docs\n" for name in found)
        return int(bool(found))
    made = pages()
    for name in found:
        (REFERENCE / name).write_text(made[name], "utf-8")
        sys.stderr.write(f"wrote docs/reference/{name}\n")
    return 0


def _schema() -> dict[str, str]:
    from flow_core.domain.task_schema import task_schema

    return {"task.schema.json": json.dumps(task_schema(), indent=2, ensure_ascii=False) + "\n"}


def _simulator() -> dict[str, str]:
    from flow_providers.mock.http.document import document

    return {"simulator-api.json": json.dumps(document(), indent=1) + "\n"}


def _is_ours(base: type) -> bool:
    return issubclass(base, FlowError) or base is Exception


def _first_line(error: type[FlowError]) -> str:
    return (error.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
