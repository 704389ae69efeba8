"""A function of an App: here, there, many times; with its own parameters and return type."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from attrs import field, frozen

from flow_adapters.python._function_call import FunctionCall
from flow_core.domain.call import ResultFormat, WorkerNeeds
from flow_core.node.call.local import LocalFunction

if TYPE_CHECKING:
    from flow_adapters.python._app import App
    from flow_adapters.python._function_map import Results
    from flow_adapters.python._pool_code import PackedFunction

P = ParamSpec("P")
R = TypeVar("R")


@frozen(kw_only=True)
class FunctionOptions:
    """How a function's calls are served."""

    task: dict[str, object] = field(hash=False)
    retries: int
    timeout_s: float | None
    concurrency: int
    form: ResultFormat


class Function(Generic[P, R]):
    """A function that runs on a node when it is called with `remote`; calling it as it is runs it here.

    Making one, and importing the module that does, reads and sends nothing.
    """

    def __init__(self, app: App, raw: Callable[P, R], options: FunctionOptions) -> None:
        self._app = app
        self._raw = raw
        self._options = options
        self._packed: PackedFunction | None = None
        functools.update_wrapper(self, raw)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here."""
        return self._raw(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here, in this process."""
        return self._raw(*args, **kwargs)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on a node and return what it returns; raise what it raises. Ctrl-C cancels the call.

        Raises:
            InvalidRequest: an argument or the result can't be pickled; the message names which part.
            FlowError: no node was to be had; see `FunctionCall.result`.
        """
        call = self.spawn(*args, **kwargs)
        try:
            return call.result()
        except KeyboardInterrupt:
            call.cancel()
            raise

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        """Begin a call on a node and return its handle; nothing is waited for.

        On a pretend cloud in memory, the call has run when this returns.
        """
        from flow_adapters.python._pool_code import packed_arguments

        request = packed_arguments(args, kwargs)
        return self._app.begin(self, lambda: request)

    def map(
        self,
        *inputs: Iterable[Any],
        concurrency: int | None = None,
        in_order: bool = True,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> Results[R]:
        """Call it for each item, or for items of several iterables side by side, on up to `concurrency` nodes.

        Nodes serve calls in turn. Results come in the inputs' order, or as they are there with `in_order=False`. The
        first exception is raised and stops the rest, unless `return_exceptions`. `progress` shows a line on stderr;
        by default where that is a terminal. Leaving the loop early cancels what is left when the result is closed.
        """
        return self.starmap(
            zip(*inputs, strict=False),
            concurrency=concurrency,
            in_order=in_order,
            return_exceptions=return_exceptions,
            progress=progress,
        )

    def starmap(
        self,
        inputs: Iterable[Iterable[Any]],
        *,
        concurrency: int | None = None,
        in_order: bool = True,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> Results[R]:
        """Call it with each item's members as arguments; see `map`."""
        from flow_adapters.python._function_map import start

        return start(
            self,
            inputs,
            concurrency=concurrency or self._options.concurrency,
            in_order=in_order,
            return_exceptions=return_exceptions,
            progress=progress,
        )

    @property
    def aio(self) -> Async[P, R]:
        """The same for a running event loop, as coroutines."""
        return Async(self)

    @property
    def app(self) -> App:
        """The App that it belongs to."""
        return self._app

    @property
    def name(self) -> str:
        """The function's own name."""
        return getattr(self._raw, "__name__", "function")

    @property
    def options(self) -> FunctionOptions:
        """How its calls are served."""
        return self._options

    def needs(self) -> WorkerNeeds:
        """Return what its workers are."""
        return self._app.needs(self._options)

    def packed(self) -> PackedFunction:
        """Return it as bytes, made once.

        Raises:
            InvalidRequest: something that it refers to can't be pickled.
        """
        from flow_adapters.python._pool_code import packed_function

        if self._packed is None:
            self._packed = packed_function(self._raw, self.name)
        return self._packed

    def __get__(self, owner: object, kind: type | None = None) -> Function[P, R]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalFunction, (self._raw,)

    def __repr__(self) -> str:
        return f"<flow.Function {self._app.name}.{self.name}>"


class AsyncFunction(Function[P, R]):
    """A function made of `async def`: on a node it runs to its end in a loop of its own; here it is a coroutine."""

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, R]: ...

        def local(  # type: ignore[override]
            self, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, R]: ...


class Decorator(Protocol):
    """What `App.function` with options gives."""

    @overload
    def __call__(self, raw: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...

    @overload
    def __call__(self, raw: Callable[P, R], /) -> Function[P, R]: ...


class Async(Generic[P, R]):
    """A function's calls as coroutines."""

    def __init__(self, function: Function[P, R]) -> None:
        self._function = function

    async def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await what it returns on a node; being cancelled cancels the call."""
        return await self._function.spawn(*args, **kwargs)

    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        """Begin a call; its handle can be awaited."""
        return self._function.spawn(*args, **kwargs)

    def map(self, *inputs: Iterable[Any], **options: Any) -> AsyncIterator[R]:
        """Iterate asynchronously over what `Function.map` gives; same options."""
        return self.starmap(zip(*inputs, strict=False), **options)

    async def starmap(self, inputs: Iterable[Iterable[Any]], **options: Any) -> AsyncIterator[R]:
        """Iterate asynchronously over what `Function.starmap` gives; same options."""
        import asyncio

        results = self._function.starmap(inputs, **options)
        nothing = object()
        try:
            while True:
                found: Any = await asyncio.to_thread(next, results, nothing)
                if found is nothing:
                    return
                yield found
        finally:
            results.close()
