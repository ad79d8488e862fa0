"""What belongs to the request being answered: who asks, and the store to read from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from spanledger_collector.store.kept_answers import KeptAnswers
from spanledger_collector.store.reads import names as known
from spanledger_collector.store.reads.asking import Client
from spanledger_collector.store.registry.registry import Registry

from .colours import Colours
from .playing import Gateway
from .session import Viewer
from .view import View

P = ParamSpec("P")
T = TypeVar("T")

_NAMES_TTL_S = 60.0
_PROJECTS_TTL_S = 5.0


@dataclass(slots=True)
class Store:
    """The read-only client, and the names each project's colours go by, read again once a minute."""

    client: Client
    editor: Registry | None = None
    """Writes documents for admins; None where nobody may."""
    gateway: Gateway | None = None
    """Where the playground asks; None where there is none."""
    kept: KeptAnswers | None = None
    """The gateways' kept answers, to delete wrong ones; None without Redis."""
    _names: dict[tuple[str, str], tuple[float, list[str]]] = field(
        default_factory=dict[tuple[str, str], tuple[float, list[str]]]
    )

    def projects(self) -> list[str]:
        """Every project there is, for keys that may see them all."""
        read_at, found = self._names.get(("", ""), (float("-inf"), []))
        if time.monotonic() - read_at > _PROJECTS_TTL_S:
            found = known.projects(self.client)
            self._names["", ""] = (time.monotonic(), found)
        return found

    def names(self, project: str, column: str) -> list[str]:
        """Every value of ``team``, ``model`` or ``provider`` the project has used, oldest first."""
        read_at, found = self._names.get((project, column), (float("-inf"), []))
        if time.monotonic() - read_at > _NAMES_TTL_S:
            found = known.names(self.client, project, column)
            self._names[project, column] = (time.monotonic(), found)
        return found


@dataclass(frozen=True, slots=True)
class Here:
    """One request's viewer and store."""

    viewer: Viewer
    store: Store


_here: ContextVar[Here] = ContextVar("spanledger_dashboards_here")


def set_here(here: Here) -> None:
    """Called by the gate alone, once a request, after it has checked the session."""
    _here.set(here)


def here() -> Here:
    """This request's viewer and store. Raises LookupError outside a signed-in request."""
    return _here.get()


async def read(
    view: View, question: Callable[Concatenate[Client, str, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Ask one of the store's reads about the view's project, on a thread so that pages do not wait for each other.

    The project is the view's, which the session allows: a page has no way to name another.
    """
    if view.project not in here().viewer.projects:
        raise PermissionError(view.project)
    return await asyncio.to_thread(question, here().store.client, view.project, *args, **kwargs)


async def colours(view: View, column: str) -> Colours:
    """The colour of each team, model or provider: the same on every page and for every window."""
    return Colours(await asyncio.to_thread(here().store.names, view.project, column))
