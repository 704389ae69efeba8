"""The libraries' log, for people who ask for it: structlog, set up once, on stderr, without secrets.

Never imported on the way to a first answer: whoever logs calls `log`, which costs nothing until `speak` was called.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

#: verbosity -> the least level that is written; without any -v, warnings are.
LEVELS = {0: 30, 1: 20, 2: 10}
HIDDEN = "(hidden)"
#: The shortest text that is hidden wherever it stands; shorter ones occur by chance.
_SHORTEST_SECRET = 6
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|authorization|cookie", re.IGNORECASE)
#: Names that match by chance and hold nothing of the kind: a task's token is part of its bid's name.
_HARMLESS = frozenset({"keys", "key_id", "key_name", "task_token"})

_lock = threading.Lock()
_secrets: set[str] = set()
_is_set_up = False


def speak(verbosity: int) -> None:
    """Have events written to stderr from now on: facts with one -v, everything with two, warnings without."""
    global _is_set_up
    import structlog

    level = LEVELS[max(0, min(verbosity, max(LEVELS)))]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            redacted,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    _is_set_up = True


def log(**context: object) -> Any:
    """Return a logger that adds `context` to each event; warnings are written even before `speak` was called."""
    with _lock:
        if not _is_set_up:
            speak(0)
    import structlog

    return structlog.get_logger(**context)


def hide(secret: str) -> None:
    """Never let this text be written again, wherever it turns up."""
    if len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


def redacted(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Return an event without secrets: none under a name that tells of one, none that `hide` knows, at any depth."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: object) -> object:
    if value is not None and _SECRET_NAME.search(name) and name.lower() not in _HARMLESS:
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", inner) for inner in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = value if isinstance(value, str) else repr(value)
    for secret in _longest_first():
        text = text.replace(secret, HIDDEN)
    return text


def _longest_first() -> Iterator[str]:
    return iter(sorted(_secrets, key=len, reverse=True))


def _to_stderr(*_arguments: object) -> Any:
    """Return a logger on what stderr is now, which tests and notebooks replace."""
    import structlog

    return structlog.PrintLogger(sys.stderr)
