"""What `flow cp` is asked: `TASK:PATH` is on a task's nodes, everything else is here."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from flow_core.errors import InvalidRequest


@frozen(kw_only=True)
class Copy:
    """Files on their way from here to a task's nodes, or from there to here; an empty path there is the workspace."""

    task: str
    is_upload: bool
    sources: tuple[str, ...]
    target: str

    @property
    def lands_in(self) -> bool:
        """Whether the target is a folder, there already or not: it ends so, or several things go there."""
        return len(self.sources) > 1 or self.target.endswith("/")


def parse_copy(words: Sequence[str], *, has_drives: bool = False) -> Copy:
    """Return what the words ask for, the target last; `has_drives` takes `C:` for a place here.

    Raises:
        InvalidRequest: both ends are here, or both there, or more than one task is named.
    """
    if len(words) < 2:
        raise InvalidRequest({"target": "name what is copied, and where to"})
    ends = [_end(word, has_drives) for word in words]
    tasks = {task for task, _ in ends if task is not None}
    if not tasks:
        raise InvalidRequest(
            {"target": "neither end is on a node; a path there reads TASK:PATH"},
            hint="`cp` copies files on this machine",
        )
    *sources, (target_task, target) = ends
    if target_task is not None and any(task is not None for task, _ in sources):
        raise InvalidRequest(
            {"target": "both ends are on nodes; copy to this machine first, then from here"}
        )
    if target_task is None and any(task is None for task, _ in sources):
        raise InvalidRequest({"source": "some of what is to be copied to here is here already"})
    if len(tasks) > 1:
        raise InvalidRequest({"source": f"name one task at a time, not {', '.join(sorted(tasks))}"})
    return Copy(
        task=tasks.pop(),
        is_upload=target_task is not None,
        sources=tuple(path for _, path in sources),
        target=target,
    )


def _end(word: str, has_drives: bool) -> tuple[str | None, str]:
    """Return the task and the path there, or no task; a colon behind a slash is part of a name."""
    head, colon, path = word.partition(":")
    is_here = not colon or not head or "/" in head or (has_drives and len(head) == 1)
    return (None, word) if is_here else (head, path)
