"""`spanledger export [KIND...]`: print the registry as TOML that `spanledger apply` takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from .remote import Collector, connect, parser, reported

NONE_WORDS = {"block_at"}
"""Fields whose null has a meaning; TOML has no null and spells it "none"."""


def command(argv: list[str]) -> int:
    """Print the project's own documents, keys only when asked for."""
    options_parser = parser("export", __doc__)
    options_parser.add_argument("kinds", nargs="*", metavar="KIND", help="default: all but key")
    options = options_parser.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _export(collector, options.kinds, options.project))


def _export(collector: Collector, kinds: list[str], project: str | None) -> int:
    rows: list[dict[str, Any]] = collector.call("GET", "registry")
    # Without --project: the key's own project, which is the one that is not "*".
    mine = [row for row in rows if (row["project"] == project if project else row["project"] != "*")]
    wanted = [row for row in mine if (row["kind"] in kinds if kinds else row["kind"] != "key")]
    print(as_toml(wanted, project), end="")
    return 0


def as_toml(rows: Iterable[Mapping[str, Any]], project: str | None = None) -> str:
    """Documents as one TOML text."""
    import tomli_w

    content: dict[str, Any] = {"project": project} if project else {}
    for row in rows:
        content.setdefault(row["kind"], {})[row["name"]] = _without_null(row["document"])
    return tomli_w.dumps(content)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {
            name: "none" if inner is None else _without_null(inner)
            for name, inner in items
            if inner is not None or name in NONE_WORDS
        }
    if isinstance(value, list):
        return [_without_null(inner) for inner in cast(list[Any], value) if inner is not None]
    return value
