"""Datasets: JSON lines, CSV or Parquet in; cases with a version that depends on their content out."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from .contract import Case, Document, ToolCall, Turn

# What the field calls the same thing, best first.
_NAMES = {
    "id": ("id", "case_id", "sample_id"),
    "question": ("question", "input", "user_input", "query", "prompt"),
    "answer": ("answer", "output", "response", "actual_output", "completion"),
    "contexts": ("contexts", "retrieved_contexts", "retrieval_context", "context", "passages"),
    "reference": ("reference", "expected", "expected_output", "ground_truth", "target"),
    "cluster": ("cluster", "source_id", "conversation_id"),
    "split": ("split",),
    "slice": ("slice", "category", "tag"),
}
_TOOLS = ("tools", "tools_called"), ("expected_tools",)
SLICE, SPLIT = "slice", "split"


class DatasetError(ValueError):
    """A file that holds no dataset; the message names file and line and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Named cases. ``version`` is a hash of their content, so equal versions are equal cases."""

    name: str
    cases: tuple[Case, ...]

    @property
    def version(self) -> str:
        """Twelve hex digits over every case in order."""
        text = json.dumps(
            [asdict(case) for case in self.cases], sort_keys=True, default=str, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def only(self, *, split: str = "", limit: int | None = None) -> Dataset:
        """The cases of one split, at most ``limit`` of them; the name says so."""
        chosen = [case for case in self.cases if not split or case.metadata.get(SPLIT) == split]
        name = f"{self.name}/{split}" if split else self.name
        return Dataset(name=name, cases=tuple(chosen[:limit]))


def load_dataset(path: Path) -> Dataset:
    """Read a dataset; the kind of file by its ending.

    Fields go by the names of ``_NAMES``, those of ragas and deepeval among them; others become metadata.
    A case without an id gets one from its content.

    Raises:
        DatasetError: another ending, a broken line, a wrong type, or the same id twice.
        OSError: the file cannot be read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: a dataset ends in {', '.join(_READERS)}")
    cases: list[Case] = []
    for line, row in reader(path):
        try:
            cases.append(case_of(row))
        except (TypeError, ValueError) as wrong:
            raise DatasetError(f"{path}:{line}: {wrong}") from wrong
    ids = [case.id for case in cases]
    twice = (
        next((case_id for case_id in ids if ids.count(case_id) > 1), None)
        if len(set(ids)) < len(ids)
        else None
    )
    if twice is not None:
        raise DatasetError(f"{path}: case {twice!r} is there twice")
    if not cases:
        raise DatasetError(f"{path}: no cases")
    return Dataset(name=path.stem, cases=tuple(cases))


def save_dataset(dataset: Dataset, path: Path) -> None:
    """Write a dataset as JSON lines that ``load_dataset`` reads back."""
    with path.open("w", encoding="utf-8") as file:
        for case in dataset.cases:
            file.write(json.dumps(row_of(case), ensure_ascii=False) + "\n")


def row_of(case: Case) -> dict[str, Any]:
    """A case as one row of JSON values, which ``case_of`` reads back; empty fields are left out."""
    values = {name: value for name, value in asdict(case).items() if value}
    metadata = values.pop("metadata", {})
    return cast("dict[str, Any]", json.loads(json.dumps({**metadata, **values}, default=str)))


def case_of(row: Mapping[str, Any]) -> Case:
    """A case from one row of named values. Raises ValueError where a value has the wrong type."""
    rest = {key: value for key, value in row.items() if value is not None and value != ""}
    taken = {field: _take(rest, names) for field, names in _NAMES.items()}
    metadata = rest.pop("metadata", None)
    tools, expected = (_take(rest, names) for names in _TOOLS)
    turns, documents = rest.pop("turns", None), rest.pop("documents", None)
    extra = dict(_object(metadata)) if metadata else {}
    extra |= {name: taken[name] for name in (SLICE, SPLIT) if taken[name] is not None}
    case = Case(
        id=_text(taken["id"]),
        question=_text(taken["question"]),
        answer=_text(taken["answer"]),
        contexts=tuple(_texts(taken["contexts"])),
        documents=tuple(Document(**entry) for entry in _objects(documents)),
        reference=_text(taken["reference"]),
        tools=tuple(ToolCall(**entry) for entry in _objects(tools)),
        expected_tools=tuple(ToolCall(**entry) for entry in _objects(expected)),
        turns=tuple(_turn(entry) for entry in _objects(turns)),
        cluster=_text(taken["cluster"]),
        metadata={**rest, **extra},
    )
    return case if case.id else replace(case, id=_content_id(case))


def _content_id(case: Case) -> str:
    text = json.dumps(asdict(case), sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _take(rest: dict[str, Any], names: Iterable[str]) -> Any:
    """The first of the names that is there, taken out; the others stay and become metadata."""
    return next((rest.pop(name) for name in names if name in rest), None)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(value: object) -> list[str]:
    """Contexts: a list, a JSON list in text (as CSV has it), or one text."""
    value = _unpacked(value)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        parts = cast("list[object]", value)
        return [_content(part) for part in parts]
    raise ValueError("contexts are a list of texts")


def _content(part: object) -> str:
    return _text(cast("dict[str, object]", part).get("content")) if isinstance(part, dict) else _text(part)


def _objects(value: object) -> list[dict[str, Any]]:
    value = _unpacked(value)
    if value is None:
        return []
    if isinstance(value, list | tuple):
        parts = cast("list[object]", value)
        return [_object(part) for part in parts]
    raise ValueError("expected a list of objects")


def _object(value: object) -> dict[str, Any]:
    value = _unpacked(value)
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise ValueError("expected an object")


def _turn(entry: dict[str, Any]) -> Turn:
    contexts = tuple(_texts(entry.get("contexts")))
    return Turn(role=_text(entry.get("role")), content=_text(entry.get("content")), contexts=contexts)


def _unpacked(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row: Any = json.loads(text)
            except ValueError as wrong:
                raise DatasetError(f"{path}:{line}: no JSON: {wrong}") from wrong
            if not isinstance(row, dict):
                raise DatasetError(f"{path}:{line}: each line is one JSON object")
            yield line, cast("dict[str, Any]", row)


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            if None in row:
                raise DatasetError(f"{path}:{rows.line_num}: more values than columns")
            yield rows.line_num, row


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    parquet: Any = import_module("pyarrow.parquet")  # late: heavy, and only for this kind of file
    yield from enumerate(parquet.read_table(path).to_pylist(), 1)


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, Mapping[str, Any]]]]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
