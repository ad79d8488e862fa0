"""TOML files in; documents that remember the line of every value out.

A file holds one table a document, ``[upstream.openai]``, and may name its project at the top,
``project = "*"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as day_time
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

Place = tuple[str | int, ...]


class TomlFileError(Exception):
    """A file cannot be read as documents; the message begins with ``file:line:``."""


@dataclass(frozen=True, slots=True)
class FileDocument:
    """One document of a file."""

    file: str
    project: str | None
    kind: str
    name: str
    document: dict[str, Any]
    text: str

    def where(self, path: Place) -> str:
        """``file:line`` of a value, or of the nearest table around it when the value is absent."""
        return _where(self.file, self.text, (self.kind, self.name, *path))


def read(path: str) -> list[FileDocument]:
    """The documents of one file.

    Raises:
        TomlFileError: the file is missing, is no TOML, or holds something that is no table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise TomlFileError(f"{path}: {wrong}") from wrong
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise TomlFileError(_syntax(path, text, str(wrong))) from wrong
    return list(_documents(path, text, content))


@lru_cache(maxsize=16)
def lines_of(text: str) -> dict[Place, int]:
    """The first line of each key and table of a valid TOML text, by its path; list items by position.

    The text is cut into the smallest pieces that parse alone, so tomllib does all of the parsing.
    """
    found: dict[Place, int] = {}
    table: Place = ()
    counts: dict[Place, int] = {}
    for line, piece in _pieces(text):
        parsed = tomllib.loads(piece)
        if piece.lstrip().startswith("["):
            table = _resolve(_only_path(parsed), counts, piece.lstrip().startswith("[["))
            found.setdefault(table, line)
        else:
            for path in _paths(parsed, table):
                found.setdefault(path, line)
        for length in range(1, len(table)):
            found.setdefault(table[:length], line)
    return found


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    start, piece = 1, ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not piece and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start if piece else number
        piece += line
        if _parses(piece):
            yield start, piece
            piece = ""


def _parses(piece: str) -> bool:
    try:
        tomllib.loads(piece)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _only_path(parsed: dict[str, Any]) -> Place:
    path: list[str] = []
    inner: Any = parsed
    while inner:
        if isinstance(inner, list):
            inner = cast(list[Any], inner)[0]
            continue
        name, inner = next(iter(cast(dict[str, Any], inner).items()))
        path.append(name)
    return tuple(path)


def _resolve(path: Place, counts: dict[Place, int], item: bool) -> Place:
    """Put the current position into a path that goes through lists of tables."""
    resolved: Place = ()
    for position, name in enumerate(path):
        resolved = (*resolved, name)
        last = position == len(path) - 1
        if last and item:
            counts[resolved] = counts.get(resolved, -1) + 1
        if resolved in counts:
            resolved = (*resolved, counts[resolved])
    return resolved


def _paths(value: Any, path: Place) -> Iterator[Place]:
    if isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            yield (*path, name)
            yield from _paths(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(cast(list[Any], value)):
            yield (*path, position)
            yield from _paths(inner, (*path, position))


def _where(file: str, text: str, path: Place) -> str:
    lines = lines_of(text)
    known = (path[:length] for length in range(len(path), 0, -1) if path[:length] in lines)
    nearest = next(known, None)
    return file if nearest is None else f"{file}:{lines[nearest]}"


def _documents(file: str, text: str, content: dict[str, Any]) -> Iterator[FileDocument]:
    project = content.pop("project", None)
    if project is not None and not isinstance(project, str):
        raise TomlFileError(f'{_where(file, text, ("project",))}: write project = "NAME"')
    for kind, named in content.items():
        if not isinstance(named, dict):
            raise TomlFileError(f"{_where(file, text, (kind,))}: write one table a document: [KIND.NAME]")
        for name, document in cast(dict[str, Any], named).items():
            if not isinstance(document, dict):
                place = _where(file, text, (kind, name))
                raise TomlFileError(f"{place}: a document has a kind and a name: [{kind}.NAME]")
            yield FileDocument(file, project, kind, name, cast(dict[str, Any], _json(document)), text)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(inner) for name, inner in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_json(inner) for inner in cast(list[Any], value)]
    return value.isoformat() if isinstance(value, (datetime, date, day_time)) else value


def _syntax(path: str, text: str, message: str) -> str:
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if not match:
        return f"{path}: {message}"
    line = match[1] or str(text.count("\n") + 1)
    return f"{path}:{line}: {message[: match.start()]}"
