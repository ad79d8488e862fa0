"""Prompt releases: a name and a label in, the template the registry holds for them out, also when it is away.

A registry document of kind ``prompt`` holds a ``template`` (a text, or messages), a ``config`` and ``labels``, which
say which version each label stands for; each edit makes a new version. Variables are written ``{{name}}``.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, cast

import orjson

from spanledger import collector_client, runtime, semconv
from spanledger.settings import Settings

logger = logging.getLogger("spanledger")
FRESH_S: Final = 60.0
_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class PromptUnavailableError(LookupError):
    """There is no such prompt, and neither a copy on disk nor a fallback."""


class PromptText(str):
    """A rendered text that remembers its release, so that the call made with it carries it."""

    __slots__ = ("prompt",)

    prompt: Prompt

    @classmethod
    def of(cls, text: str, prompt: Prompt) -> Self:
        """The text, with its release."""
        made = cls(text)
        made.prompt = prompt
        return made


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One version of a prompt. ``template`` is a text or a list of messages."""

    name: str
    version: int | None
    label: str
    template: str | list[dict[str, Any]]
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    stale: bool = False
    """Whether it is a copy that could not be checked against the registry."""

    @property
    def variables(self) -> list[str]:
        """The names a call of `format` must give, in order."""
        text = self.template if isinstance(self.template, str) else orjson.dumps(self.template).decode()
        return list(dict.fromkeys(_VARIABLE.findall(text)))

    def format(self, **values: object) -> PromptText:
        """The template, which must be a text, with its variables filled in.

        Raises:
            KeyError: a variable has no value.
            TypeError: the template is a list of messages; use `messages`.
        """
        if not isinstance(self.template, str):
            raise TypeError(f"prompt {self.name!r} is a list of messages; use messages()")
        return self._fill(self.template, values)

    def messages(self, **values: object) -> list[dict[str, Any]]:
        """The template as messages (a text becomes one user message) with its variables filled in.

        Raises:
            KeyError: a variable has no value.
        """
        if isinstance(self.template, str):
            return [{"role": "user", "content": self._fill(self.template, values)}]
        return [
            {key: self._fill(value, values) if isinstance(value, str) else value for key, value in m.items()}
            for m in self.template
        ]

    def _fill(self, text: str, values: Mapping[str, object]) -> PromptText:
        def one(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise KeyError(f"prompt {self.name!r} needs a value for {match[1]!r}")
            return str(values[match[1]])

        return PromptText.of(_VARIABLE.sub(one, text), self)


def release_of(texts: Iterable[object]) -> dict[str, str | int]:
    """Span attributes of the release that one of these texts was rendered from; empty for none."""
    for text in texts:
        if isinstance(text, PromptText):
            used = text.prompt
            facts: dict[str, str | int] = {semconv.PROMPT_NAME: used.name}
            if used.version is not None:
                facts[semconv.PROMPT_VERSION] = used.version
            if used.label:
                facts[semconv.PROMPT_LABEL] = used.label
            return facts
    return {}


_Key = tuple[str, str, str, int]  # endpoint, name, label, version (0: by label)
_cache: dict[_Key, tuple[float, Prompt]] = {}
_refreshing: set[_Key] = set()
_lock = threading.Lock()


def prompt(
    name: str,
    label: str = "production",
    *,
    version: int | None = None,
    fallback: str | list[dict[str, Any]] | None = None,
) -> Prompt:
    """The release of a prompt that carries a label; without such a label, its newest version.

    ``version`` names a version itself, whatever the labels say.

    Fetched once, then answered from memory; older than a minute, it is refreshed in the background. When the
    collector is away: the copy on disk, else ``fallback``.

    Raises:
        PromptUnavailableError: there is nothing to answer with.
    """
    settings = runtime.current().settings
    key = (settings.endpoint, name, "" if version else label, version or 0)
    held = _cache.get(key)
    if held is None:
        return _first(settings, key, fallback)
    if time.monotonic() - held[0] > FRESH_S:
        _refresh(settings, key)
    return held[1]


def forget() -> None:
    """Ask the registry again at the next use; copies on disk stay."""
    _cache.clear()


def _first(settings: Settings, key: _Key, fallback: Any) -> Prompt:
    name, label = key[1:3]
    try:
        found = _fetch(settings, key)
    except (collector_client.CollectorAwayError, PermissionError) as error:
        logger.warning("Prompt %r: %s; using the last copy or the fallback.", name, error)
        found = _from_disk(settings, key)
    except collector_client.NotThereError:
        found = None
    if found is None and fallback is not None:
        return Prompt(name=name, version=None, label=label, template=fallback, stale=True)
    if found is None:
        which = f"version {key[3]} of prompt {name!r}" if key[3] else f"prompt {name!r}"
        raise PromptUnavailableError(f"there is no {which} at {settings.endpoint}, and no copy of it")
    _cache[key] = (time.monotonic(), found)
    return found


def _refresh(settings: Settings, key: _Key) -> None:
    with _lock:
        if key in _refreshing:
            return
        _refreshing.add(key)

    def run() -> None:
        held = _cache[key][1]
        try:
            held = _fetch(settings, key)
        except (OSError, LookupError) as error:
            logger.info("Prompt %r was not refreshed: %s", key[1], error)
        _cache[key] = (time.monotonic(), held)
        _refreshing.discard(key)

    threading.Thread(target=run, name="spanledger-prompt", daemon=True).start()


def _fetch(settings: Settings, key: _Key) -> Prompt:
    _, name, label, version = key
    path = f"/api/registry/prompt/{collector_client.segment(name)}"
    entry = cast(dict[str, Any], collector_client.get(settings, path))
    labels = cast(dict[str, int], entry["document"].get("labels") or {})
    labelled = labels.get(label)
    wanted: int = version or labelled or entry["version"]
    if wanted != entry["version"]:
        entry = cast(dict[str, Any], collector_client.get(settings, f"{path}?version={wanted}"))
    found = _of(name, label if labelled and not version else "", entry)
    _to_disk(settings, key, found)
    return found


def _of(name: str, label: str, entry: dict[str, Any]) -> Prompt:
    document = entry["document"]
    return Prompt(
        name=name,
        version=entry.get("version"),
        label=label,
        template=document["template"],
        config=document.get("config") or {},
    )


def _file(settings: Settings, key: _Key) -> Path:
    told = "\0".join((settings.key, *map(str, key)))
    return (
        Path(settings.home).expanduser()
        / "prompts"
        / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"
    )


def _to_disk(settings: Settings, key: _Key, found: Prompt) -> None:
    path = _file(settings, key)
    document = {"template": found.template, "config": found.config}
    body = {"version": found.version, "label": found.label, "document": document}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{threading.get_ident()}")
        part.write_bytes(orjson.dumps(body))
        part.chmod(0o600)
        part.replace(path)
    except OSError as error:
        logger.info("Prompt %r was not copied to disk: %s", found.name, error)


def _from_disk(settings: Settings, key: _Key) -> Prompt | None:
    try:
        entry = orjson.loads(_file(settings, key).read_bytes())
        found = _of(key[1], entry["label"], entry)
    except (OSError, ValueError, KeyError):
        return None
    return replace(found, stale=True)
