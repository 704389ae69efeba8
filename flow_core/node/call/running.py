"""One call: bytes in, an outcome out. Used on the node, and in memory in the caller's own process."""

from __future__ import annotations

import json
import traceback
import types
from typing import Any

from flow_core.node.call import pickling
from flow_core.node.call.frames import RAISED, VALUE, WORDS


class TimedOut(Exception):
    """The call ran longer than its timeout."""


def outcome(function: Any, request: bytes) -> tuple[bytes, Any]:
    """Run the call that `request` holds; return VALUE and what it returned, or RAISED and the exception."""
    try:
        args, kwargs = pickling.loads(request)
        value = function(*args, **kwargs)
        return VALUE, _awaited(value) if isinstance(value, types.CoroutineType) else value
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return RAISED, error


def _awaited(coroutine: Any) -> Any:
    """Return what an `async def` comes to, in an event loop of its own; in a thread where one runs here already."""
    import asyncio
    import concurrent.futures

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with concurrent.futures.ThreadPoolExecutor(1) as one:
        return one.submit(asyncio.run, coroutine).result()


def write(kind: bytes, value: Any, file: Any, form: str, ours: Any) -> bytes:
    """Write an outcome to `file` in `form`, pickle or json; return how it is to be read.

    Raises:
        Unpicklable: what was returned can't travel; some of it may be written.
    """
    if kind == VALUE and form == "json":
        file.write(_json(value))
    elif kind == VALUE:
        pickling.dump(value, file, "the result", ours)
    else:
        text = "".join(traceback.format_exception(type(value), value, value.__traceback__))
        plain = {
            "type": type(value).__name__,
            "module": type(value).__module__,
            "message": str(value),
            "traceback": text,
        }
        error = None
        if form != "json":
            try:
                error = pickling.dumps(_bare(value), "the exception", ours)
            except Exception:
                error = None
        words = json.dumps(plain).encode("utf-8", "replace")
        file.write(len(words).to_bytes(4, "big") + words + (error or b""))
        return RAISED if error else WORDS
    return kind


def _bare(error: BaseException) -> BaseException:
    """Return the exception without what can't travel: frames, and what it came of."""
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    return error


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except (TypeError, ValueError) as error:
        path, found = _not_json(value, "the result")
        raise pickling.Unpicklable(
            path, "JSON has no %s, and result_format is json" % type(found).__name__
        ) from error


def _not_json(value: Any, path: str) -> tuple[str, Any]:
    parts: Any = ()
    if isinstance(value, dict):
        parts = [("%s[%r]" % (path, key), part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [("%s[%d]" % (path, at), part) for at, part in enumerate(value)]
    for name, part in parts:
        try:
            json.dumps(part)
        except (TypeError, ValueError):
            return _not_json(part, name)
    return path, value
