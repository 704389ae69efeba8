"""`flow submit FILE.py::FUNCTION`: one call of an App's function from the shell."""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow_cli.invocation import Invocation
from flow_core.domain.spelling import nearest_hint
from flow_core.errors import FlowError, InvalidRequest, NotFound

_FAILED = 1


def call_function(
    invocation: Invocation,
    words: Sequence[str],
    arguments: Sequence[str],
    given: Mapping[str, object],
) -> int:
    """Call the function, print what it returned as JSON where that can be, and return 0; 1 when it raised.

    Raises:
        InvalidRequest: an argument or option is wrong.
        NotFound: there is no such file or function.
        FlowError: no node was to be had.
    """
    from flow_adapters.python._sessions import use

    others = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if others or len(words) > 1:
        what = ", ".join(others) or repr(words[1])
        raise InvalidRequest(
            {what: "is no part of a call; the function's own options are in its decorator"}
        )
    kwargs = _arguments(arguments)
    function = _function(words[0])
    with use(invocation.session()), function.app:
        call = function.spawn(**kwargs)
        for line in call.logs(follow=True):
            invocation.talk.say(line)
        try:
            value = call.result()
        except FlowError:
            raise
        except Exception as error:  # noqa: BLE001  (the function's own, told as Python tells it)
            invocation.talk.say("".join(traceback.format_exception(error)).rstrip())
            return _FAILED
    if invocation.json:
        invocation.out.document("call", {"function": function.name, "result": _plain(value)})
    elif value is not None:
        invocation.out.line(json.dumps(value) if _is_plain(value) else repr(value))
    return 0


def _function(words: str) -> Any:
    from flow_adapters.python._function import Function

    file, _, name = words.partition("::")
    place = Path(file)
    if not place.is_file():
        raise NotFound(f"{file} is not there")
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(place.parent.absolute()))
    sys.modules[place.stem] = module
    spec.loader.exec_module(module)
    functions = [key for key, value in vars(module).items() if isinstance(value, Function)]
    if name not in functions:
        raise NotFound(
            f"{file} has no function {name!r} of an App",
            hint=nearest_hint(name, functions, otherwise="mark it with @app.function"),
        )
    return getattr(module, name)


def _arguments(given: Sequence[str]) -> dict[str, Any]:
    problems, found = {}, {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.isidentifier():
            problems["--arg"] = f"{each!r} is not NAME=VALUE"
            continue
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    if problems:
        raise InvalidRequest(problems)
    return found


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _plain(value: object) -> object:
    return value if _is_plain(value) else repr(value)
