"""Guards: code of the operator's own that sees each request and each whole answer, within a time budget.

A hook is an object with a ``name`` and one or both of ``async request(view)`` and ``async response(view, body)``.
``request`` returns None to let the call pass, a JSON object to send in place of the body, or raises ``Blocked``;
``response`` returns None or a body in place of the answer's, or raises ``Blocked``. ``SPANLEDGER_GATEWAY_HOOKS`` names
hooks as ``module:object``, in order, each with ``?timeout_ms=50&fail=open`` after it where the defaults (50 ms,
``closed``) do not fit. A hook that takes too long, breaks or returns something else lets the call pass (``open``) or refuses
it (``closed``). It shares the gateway's event loop: one that blocks it holds up every call, and no time limit helps.
Streams are shown to ``request`` only: their answer is on its way before it is whole.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

from spanledger.serving.protocols.values import Json
from spanledger.serving.refusals import RefusedError

from . import metrics

logger = logging.getLogger("spanledger.gateway")

_PARTS = {"timeout_ms", "fail"}


class Blocked(Exception):
    """A hook refuses the call; the message is told to the caller."""


class HookError(ValueError):
    """A hook cannot be loaded; the message says which and why."""


@dataclass(slots=True, frozen=True, kw_only=True)
class View:
    """What a hook may know of a call. ``body`` is the caller's JSON object; do not change it in place."""

    endpoint: str
    route: str
    project: str
    team: str
    key_id: str
    user_id: str
    trace_id: str
    body: Json


@dataclass(slots=True, frozen=True)
class Hook:
    """One loaded hook and how it may fail."""

    name: str
    request: Callable[[View], Awaitable[Json | None]] | None
    response: Callable[[View, bytes], Awaitable[bytes | None]] | None
    timeout_s: float = 0.05
    fail: Literal["open", "closed"] = "closed"


def load(setting: str) -> list[Hook]:
    """Load the hooks a setting names.

    Raises:
        HookError: one does not exist, has neither method, or an option is not allowed.
    """
    return [_load(part.strip()) for part in setting.split(",") if part.strip()]


def _load(text: str) -> Hook:
    path, _, query = text.partition("?")
    module, _, attribute = path.partition(":")
    try:
        target: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as wrong:
        raise HookError(
            f"SPANLEDGER_GATEWAY_HOOKS: {path!r} cannot be loaded ({wrong}); use module:object"
        ) from None
    target = target() if isinstance(target, type) else target
    request: Any = getattr(target, "request", None)
    response: Any = getattr(target, "response", None)
    if request is None and response is None:
        raise HookError(f"SPANLEDGER_GATEWAY_HOOKS: {path!r} has neither 'request' nor 'response'")
    timeout_s, fail = _options(path, query)
    return Hook(str(getattr(target, "name", path)), request, response, timeout_s, fail)


def _options(path: str, query: str) -> tuple[float, Literal["open", "closed"]]:
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    fail, timeout = options.get("fail", "closed"), options.get("timeout_ms", "50")
    if set(options) - _PARTS or fail not in ("open", "closed") or not timeout.isdigit() or not int(timeout):
        raise HookError(
            f"SPANLEDGER_GATEWAY_HOOKS: {path}?{query}: use timeout_ms=N (1 or more) and fail=open|closed"
        )
    return int(timeout) / 1000, fail


async def on_request(hooks: list[Hook], view: View) -> Json | None:
    """Show the request to each hook in turn; the body to go on with, or None when it stays.

    Raises:
        RefusedError: a hook blocked it, or failed and is to fail closed.
    """
    changed: Json | None = None
    for hook in hooks:
        if hook.request is not None:
            replaced = await _run(hook, hook.request(view), dict)
            if replaced is not None:
                changed = replaced
                view = View(**{name: getattr(view, name) for name in View.__slots__} | {"body": replaced})
    return changed


async def on_response(hooks: list[Hook], view: View, body: bytes) -> bytes:
    """Show a whole answer to each hook in turn; the body to send.

    Raises:
        RefusedError: as ``on_request``.
    """
    for hook in hooks:
        if hook.response is not None:
            body = await _run(hook, hook.response(view, body), bytes) or body
    return body


async def _run(hook: Hook, work: Awaitable[Any], wanted: type) -> Any:
    """The hook's answer, or None where it gave none and may fail."""
    try:
        answer = await _within(hook.timeout_s, work)
        if answer is not None and not isinstance(answer, wanted):
            raise TypeError(f"it returned a {type(answer).__name__}, not a {wanted.__name__}")
        return answer
    except Blocked as blocked:
        metrics.count(metrics.HOOKS, hook.name, "blocked")
        raise RefusedError(
            403, "blocked_by_guard", str(blocked) or f"blocked by {hook.name}", retry=False
        ) from None
    except Exception as wrong:
        outcome = "timeout" if isinstance(wrong, TimeoutError) else "error"
        metrics.count(metrics.HOOKS, hook.name, outcome)
        logger.warning("the hook %s failed (%s); it fails %s", hook.name, wrong or outcome, hook.fail)
        if hook.fail == "open":
            return None
        raise _no_verdict(hook.name) from wrong


async def _within(limit_s: float, work: Awaitable[Any]) -> Any:
    """Wait no longer than the limit, also for a hook that does not let itself be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
    finally:
        if not task.done():
            task.cancel()
            _stubborn.add(task)
            task.add_done_callback(_let_go)
    if not task.done():
        raise TimeoutError
    return task.result()


_stubborn: set[asyncio.Future[Any]] = set()


def _let_go(task: asyncio.Future[Any]) -> None:
    """It ended after all: what became of it was told when its time was over."""
    _stubborn.discard(task)
    if not task.cancelled():
        task.exception()


def _no_verdict(name: str) -> RefusedError:
    return RefusedError(503, "guard_unavailable", f"the guard {name} gave no verdict", retry_after_s=1)
