"""``observe``: a function in, the same function whose every call is a span out."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, NamedTuple, TypeVar, Unpack, cast, overload

from opentelemetry.context import Context

from spanledger.calls import How, StreamCall, done, failed, start
from spanledger.telling import About, describe
from spanledger.tracing.current import KEY, enter, leave, variable

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "__spanledger_observed__"


@overload
def observe(function: F, /) -> F: ...
@overload
def observe(
    *,
    name: str = "",
    operation: str = "",
    record_arguments: bool = True,
    record_result: bool = True,
    **told: Unpack[About],
) -> Callable[[F], F]: ...
def observe(
    function: Any = None,
    /,
    *,
    name: str = "",
    operation: str = "",
    record_arguments: bool = True,
    record_result: bool = True,
    **told: Unpack[About],
) -> Any:
    """Make every call of a function a span: arguments, result or exception, and time.

    Works on functions, coroutines, generators, async generators, methods, class and static methods; keeps
    signature and type. An exception passes through unchanged. A cancelled coroutine and a generator that is
    closed early are recorded as cancelled, with what was produced until then.

    Args:
        function: What to decorate, when used without arguments.
        name: The span's name; the function's qualified name by default.
        operation: ``gen_ai.operation.name``, for example ``chat``, ``retrieval`` or ``execute_tool``.
        record_arguments: Whether the arguments are recorded.
        record_result: Whether the result is recorded.
        told: What `spanledger.update` takes, set on every call.

    >>> @observe(operation="execute_tool", record_result=False)
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add.__name__
    'add'
    """
    if function is not None:
        return _decorate(function, Asked())
    facts: dict[str, Any] = {}
    handed: dict[str, Any] = {}
    describe({"operation": operation or None, **told}, facts, handed)
    asked = Asked(name, facts, handed, record_arguments, record_result)

    def decorate(target: Any) -> Any:
        return _decorate(target, asked)

    return decorate


class Asked(NamedTuple):
    """What `observe` was asked for."""

    name: str = ""
    facts: dict[str, Any] = {}  # noqa: RUF012  never changed
    handed: dict[str, Any] = {}  # noqa: RUF012
    arguments: bool = True
    result: bool = True


def _decorate(function: Any, asked: Asked) -> Any:
    if isinstance(function, staticmethod | classmethod):
        kind: Any = staticmethod if isinstance(function, staticmethod) else classmethod
        return kind(_decorate(cast(Any, function).__func__, asked))
    if not callable(function) or isinstance(function, type):
        what = f"the class {function.__name__}" if isinstance(function, type) else type(function).__name__
        raise TypeError(f"observe() decorates functions and methods, not {what}")
    if getattr(function, _MARK, None) is function:
        return function
    label = asked.name or getattr(function, "__qualname__", type(function).__name__).replace("<locals>.", "")
    reader = _argument_reader(function) if asked.arguments else None
    wrapper = _wrapper(function, How(label, asked.facts, asked.handed, reader, asked.result))
    setattr(wrapper, _MARK, wrapper)  # itself: a decorator of somebody else's copies marks along
    return wrapper


def _argument_reader(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], object]:
    """Arguments by their names, without the cost of binding a signature; ``self`` and ``cls`` are left out."""
    target = inspect.unwrap(function)
    code = getattr(target, "__code__", None)
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount] if code else ()
    defaults: tuple[Any, ...] = getattr(target, "__defaults__", None) or ()
    usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    usual |= getattr(target, "__kwdefaults__", None) or {}
    rest = "*args"
    if code and code.co_flags & inspect.CO_VARARGS:
        rest = "*" + code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
    skip = 1 if names[:1] in (("self",), ("cls",)) else 0
    names = names[skip:]

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        given = args[skip:] if skip else args
        facts = dict(zip(names, given))  # noqa: B905  strict= takes longer than the rest
        if len(given) > len(names):
            facts[rest] = given[len(names) :]
        if kwargs:
            facts |= kwargs
        return usual | facts if usual else facts

    if len(names) != 1 or skip or usual or rest != "*args":
        return read
    (name,) = names

    def read_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return {name: args[0]} if len(args) == 1 and not kwargs else read(args, kwargs)

    return read_one


def _code_of(function: Any) -> Any:
    """What tells of which kind a function is: of an object that can be called, its ``__call__``."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return cast(Any, function)
    return type(function).__call__


def _wrapper(function: Callable[..., Any], how: How) -> Callable[..., Any]:
    code = _code_of(function)
    if inspect.isasyncgenfunction(code):
        return _async_generator(function, how)
    if inspect.isgeneratorfunction(code):
        return _generator(function, how)
    if inspect.iscoroutinefunction(code):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            span = start(how, args, kwargs)
            if span is None:
                return await function(*args, **kwargs)
            token = enter(span)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                leave(token)
                failed(span, error)
                raise
            leave(token)
            done(span, how, result)
            return result

        return coroutine

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        span = start(how, args, kwargs)
        if span is None:
            return function(*args, **kwargs)
        token = variable.set(Context({**variable.get(), KEY: span}))  # `enter`, without a call
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            leave(token)
            failed(span, error)
            raise
        leave(token)
        done(span, how, result)
        return result

    return plain


def _generator(function: Callable[..., Any], how: How) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        return (yield from _drive(function(*args, **kwargs), StreamCall(how, args, kwargs)))

    return generator


def _drive(source: Any, call: StreamCall) -> Generator[Any, Any, Any]:
    """Run a generator with its span current inside it and not where its values are used."""
    sent: Any = None
    thrown: BaseException | None = None
    try:
        while True:
            token = call.enter()
            try:
                item = source.send(sent) if thrown is None else source.throw(thrown)
            except StopIteration as stop:
                call.leave(token)
                call.ended(stop.value)
                return stop.value
            except BaseException:
                call.leave(token)
                raise
            call.leave(token)
            call.item(item)
            sent = thrown = None
            try:
                sent = yield item
            except GeneratorExit:
                source.close()
                raise
            except BaseException as error:  # noqa: BLE001  it is thrown on into the generator
                thrown = error
    except BaseException as error:
        call.failed(error)
        raise


def _async_generator(function: Callable[..., Any], how: How) -> Callable[..., Any]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        source = function(*args, **kwargs)
        call = StreamCall(how, args, kwargs)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                token = call.enter()
                try:
                    item = await (source.asend(sent) if thrown is None else source.athrow(thrown))
                except StopAsyncIteration:
                    call.ended(None)
                    return
                finally:
                    call.leave(token)
                call.item(item)
                sent = thrown = None
                try:
                    sent = yield item
                except GeneratorExit:
                    await source.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  it is thrown on into the generator
                    thrown = error
        except BaseException as error:
            call.failed(error)
            raise

    return generator
