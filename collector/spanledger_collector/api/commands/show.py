"""Changes and versions in; lines for a terminal out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SIGNS = {"create": "+", "change": "~", "none": "="}


def changes(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One line a document, and one for each value that differs."""
    for entry in entries:
        versions = (
            f"version {entry['version']}"
            if entry["action"] != "change"
            else f"version {entry['base_version']} -> {entry['version']}"
        )
        yield f"{_SIGNS[entry['action']]} {entry['kind']} {plain(entry['name'])} ({versions})"
        if entry["action"] == "change":
            yield from differences(entry["differences"], "    ")


def differences(entries: Iterable[Mapping[str, Any]], indent: str = "") -> Iterator[str]:
    """``path: before -> after``, a dash for what is absent."""
    for entry in entries:
        yield f"{indent}{plain(entry['path'])}: {_value(entry['before'])} -> {_value(entry['after'])}"


def summary(entries: Iterable[Mapping[str, Any]]) -> str:
    """How many documents were created, changed and left alone."""
    actions = [entry["action"] for entry in entries]
    parts = [("created", "create"), ("changed", "change"), ("unchanged", "none")]
    return ", ".join(f"{actions.count(action)} {word}" for word, action in parts)


def versions(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One line a version: number, time, author, note."""
    for entry in entries:
        gone = " deleted" if entry["deleted"] else ""
        yield f"{entry['version']:>4}  {entry['time'][:19]}Z  {plain(entry['author'])}{gone}  {plain(entry['note'])}"


def plain(text: str) -> str:
    """Text of others without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _value(value: Any) -> str:
    return "-" if value is None else json.dumps(value)
