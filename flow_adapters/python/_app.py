"""`flow.App`: functions of one program, and the workers that serve them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from flow_adapters.python._function import AsyncFunction, Decorator, Function, FunctionOptions
from flow_adapters.python._function_call import CallPool, FunctionCall
from flow_core.domain.call import NODES_OWN, ResultFormat, WorkerNeeds
from flow_core.domain.duration import parse_duration
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_adapters.python._function_map import Results
    from flow_core.domain.policy import BidPolicy
    from flow_core.domain.task_parts import Secret
    from flow_core.services.session import Session

P = ParamSpec("P")
R = TypeVar("R")
Money = str | int | float | Decimal
Duration = str | int | float | timedelta
_WORKER_OPTIONS = frozenset(
    [
        "gpu", "instance_type", "max_price_per_hour", "max_price_per_gpu_hour", "bid_policy",
        "region", "mounts", "secrets", "env", "max_spend", "max_run_time", "reservation", "options",
    ]
)  # fmt: skip


class App:
    """Functions that share an image or environment, variables and secrets, and the workers that serve their calls.

    Without `image`, workers make an environment with uv: this Python's minor version, and `requirements` as pip
    writes them. `environment="none"` takes the node's own Python instead. A worker stays for `keep_warm` (seconds, or
    "5m") after its last call, and is paid for meanwhile. Entered as a context, or at this program's end, the App ends
    its workers.
    """

    def __init__(
        self,
        name: str,
        *,
        image: str | None = None,
        requirements: Sequence[str] = (),
        environment: str | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str | Secret] = (),
        keep_warm: Duration = 60,
        provider: str | None = None,
        session: Session | None = None,
    ) -> None:
        self.name = name
        self.functions: dict[str, Function[Any, Any]] = {}
        self._image = image
        self._requirements = tuple(requirements)
        self._environment = environment
        self._env, self._secrets = dict(env or {}), list(secrets)
        self._keep_warm = _seconds(keep_warm, "keep_warm")
        self._provider, self._session = provider, session
        self._lock = threading.Lock()
        self._pools: dict[object, CallPool] = {}
        self._end: threading.Thread | None = None
        self._check()

    @overload
    def function(self, raw: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...

    @overload
    def function(self, raw: Callable[P, R], /) -> Function[P, R]: ...

    @overload
    def function(
        self,
        *,
        gpu: str | None = None,
        instance_type: str | None = None,
        max_price_per_hour: Money | None = None,
        max_price_per_gpu_hour: Money | None = None,
        bid_policy: str | BidPolicy | None = None,
        region: str | None = None,
        mounts: Mapping[str, str] | None = None,
        secrets: Sequence[str | Secret] = (),
        env: Mapping[str, str] | None = None,
        max_spend: Money | None = None,
        max_run_time: Duration | None = None,
        reservation: str | None = None,
        options: Mapping[str, str] | None = None,
        retries: int = 0,
        timeout: Duration | None = None,
        concurrency: int = 1,
        result_format: str = "pickle",
    ) -> Decorator: ...

    def function(self, *raw: Any, **given: Any) -> Any:
        """Make a function of this App; use it as `@app.function` or with options.

        `gpu` and the options after it are those of `flow.run`, for each worker. A call that raises, or whose process
        dies, begins again `retries` times; `timeout` ends one that runs longer (seconds, or "1h"). `concurrency` is
        how many workers, at the most, serve its calls at once. `result_format="json"` has results, and no pickles,
        come back.

        Raises:
            InvalidRequest: an option can't be.
        """
        retries, concurrency = given.pop("retries", 0), given.pop("concurrency", 1)
        result_format, timeout = given.pop("result_format", "pickle"), given.pop("timeout", None)
        problems = {
            name: "is no option of a function" for name in given if name not in _WORKER_OPTIONS
        }
        if retries < 0:
            problems["retries"] = f"{retries} is under 0"
        if concurrency < 1:
            problems["concurrency"] = f"{concurrency} nodes serve no call; 1 is the least"
        if result_format not in [each.value for each in ResultFormat]:
            problems["result_format"] = f"{result_format!r} is neither pickle nor json"
        if problems:
            raise InvalidRequest(problems)
        made = FunctionOptions(
            task={key: value for key, value in given.items() if value not in (None, ())},
            retries=retries,
            timeout_s=None if timeout is None else _seconds(timeout, "timeout"),
            concurrency=concurrency,
            form=ResultFormat(result_format),
        )

        def make(given: Callable[P, R]) -> Function[P, R]:
            function = Function(self, given, made)
            self.functions[function.name] = function
            return function

        return make(*raw) if raw else make

    def resume(self, run_id: str) -> Results[Any]:
        """Go on with a run of `map` that an exception, Ctrl-C or a kill ended; no result that is there is made again.

        Raises:
            NotFound: no run of that id is kept here; it may have ended.
            Conflict: another process is working on it.
        """
        from flow_adapters.python._function_map import resume

        return resume(self, run_id)

    def runs(self) -> list[str]:
        """Return the ids of runs of this App's functions that can be resumed, or go on now; the newest first."""
        import os

        from flow_adapters.python._pool_runs import kept_runs

        return kept_runs(os.environ, self.name)

    def needs(self, options: FunctionOptions) -> WorkerNeeds:
        """Return what the workers of a function with these options are."""
        own_python = self._image is not None or self._environment == NODES_OWN
        python = self._environment or f"python:{_minor_version()}"
        own: dict[str, Any] = options.task
        env = {**self._env, **own.get("env", {})}
        secrets = [*self._secrets, *own.get("secrets", ())]
        task = {**own, "image": self._image, "env": env or None, "secrets": secrets or None}
        return WorkerNeeds(
            task={key: value for key, value in task.items() if value is not None},
            python="" if own_python else python.removeprefix("python:"),
            requirements=self._requirements,
            keep_warm=self._keep_warm,
        )

    def begin(
        self, function: Function[Any, Any], request: Callable[[], bytes], *,
        limit: int | None = None, keep: Any = None,
    ) -> FunctionCall[Any]:  # fmt: skip
        """Begin a call whose arguments `request` returns as bytes."""
        from flow_adapters.python._pool_call import Pending

        options = function.options
        call = Pending(
            function=function.packed(),
            name=function.name,
            request=request,
            form=options.form,
            timeout_s=options.timeout_s,
            retries=options.retries,
            keep=keep,
        )
        pool = self._pool(function)
        pool.put(call, limit=limit or options.concurrency)
        return FunctionCall(pool, call)

    def in_memory(self) -> bool:
        """Whether calls run in this process, on a pretend cloud."""
        from flow_adapters.memory import UnpackedCode
        from flow_adapters.python._sessions import current

        return isinstance(current(self._session, self._provider).ports.code, UnpackedCode)

    def close(self) -> None:
        """End the workers and their cost; calls that haven't ended are cancelled. A later call hires anew."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def __enter__(self) -> App:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<flow.App {self.name!r}: {', '.join(self.functions) or 'no functions'}>"

    def _pool(self, function: Function[Any, Any]) -> CallPool:
        from flow_adapters.python._sessions import current

        session = current(self._session, self._provider)
        needs = function.needs()
        key = (id(session), repr(sorted(needs.task.items(), key=str)))
        with self._lock:
            if key not in self._pools:
                self._close_with_program()
                kind: Any
                if self.in_memory():
                    from flow_adapters.python._pool_memory import MemoryPool as kind  # noqa: N813
                else:
                    from flow_adapters.python._pool import Pool as kind  # noqa: N813
                self._pools[key] = kind(session, needs, app=self.name, function=function.name)
            return self._pools[key]

    def _close_with_program(self) -> None:
        """Have a thread wait for the program's last line, and end the workers then.

        The interpreter waits for such a thread before it calls what was registered with atexit, so all that workers
        are ended with (connections, the journal) is open still.
        """

        def wait() -> None:
            threading.main_thread().join()
            self.close()

        if self._end is None or not self._end.is_alive():
            self._end = threading.Thread(target=wait, name=f"flow-{self.name}-end", daemon=False)
            self._end.start()

    def _check(self) -> None:
        problems = {}
        if self._environment not in (None, NODES_OWN) and not str(self._environment).startswith(
            "python:"
        ):
            problems["environment"] = (
                f"{self._environment!r} is neither none nor such as python:3.12"
            )
        here, wanted = _minor_version(), str(self._environment).removeprefix("python:")
        if (
            "environment" not in problems
            and wanted not in ("None", NODES_OWN)
            and not f"{wanted}.".startswith(f"{here}.")
        ):
            problems["environment"] = (
                f"is Python {wanted}, and this is {here}; functions travel between equal minor versions only"
            )
        if self._requirements and (self._image or self._environment == NODES_OWN):
            problems["requirements"] = (
                "are installed in an environment that Flow makes; an image or node brings its own"
            )
        if problems:
            raise InvalidRequest(problems)


def _seconds(given: Duration, name: str) -> float:
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, str):
        return parse_duration(given, field=name).total_seconds()
    return float(given)


def _minor_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
