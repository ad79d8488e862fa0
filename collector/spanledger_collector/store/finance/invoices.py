"""Vendors' lines as imported: rows of ``invoice_lines`` and ``invoice_imports`` in and out.

A line keeps its identity through imports: the same line in a later file replaces the earlier one. Lines of one file that
are alike in everything stay apart, since a bill that says a thing twice is a finding.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from spanledger_collector.finance.bills import Bill, BillLine
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.asking import ask, statement

_LARGEST = {"max_result_rows": 1_000_000, "max_result_bytes": 1 << 30}
_PLACES = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One file that was read; ``amounts`` by currency, ``left_out`` rows by reason, ``time`` when it was imported."""

    project: str
    import_id: str
    source: str
    time: datetime
    author: str
    file: str
    format: str
    sha256: str
    decimals: int
    lines: int
    first_day: date
    last_day: date
    amounts: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    warnings: tuple[str, ...] = ()
    withdrawn: bool = False


def import_of(
    bill: Bill, data: bytes, *, project: str, source: str, file: str, author: str, now: datetime
) -> Import:
    """What is noted of a file. The same bytes for the same source are the same import."""
    digest = hashlib.sha256(data).hexdigest()
    amounts: dict[str, Decimal] = {}
    for line in bill.lines:
        if line.amount is not None:
            amounts[line.currency] = amounts.get(line.currency, Decimal(0)) + line.amount
    return Import(
        project=project,
        import_id=hashlib.blake2b(f"{project}\x00{source}\x00{digest}".encode(), digest_size=12).hexdigest(),
        source=source,
        time=now,
        author=author,
        file=file[:300],
        format=bill.format,
        sha256=digest,
        decimals=min(bill.decimals, 255),
        lines=len(bill.lines),
        first_day=min(line.day for line in bill.lines),
        last_day=max(line.day for line in bill.lines),
        amounts=amounts,
        left_out=dict(bill.left_out),
        warnings=bill.warnings,
    )


def write_import(client: Client, noted: Import, provider: str, lines: Sequence[BillLine]) -> Import:
    """Write the lines, then the note of the import, which is returned; doing it again replaces both.

    What an earlier file of the same format told of these days and this one does not, still counts: a warning says so.
    """
    rows = [_line_row(noted, provider, line, identity) for line, identity in _identified(noted.format, lines)]
    if rows:
        names = list(rows[0])
        client.insert("invoice_lines", [list(row.values()) for row in rows], column_names=names)
    noted = replace(noted, warnings=(*noted.warnings, *_gone(client, noted)))
    write_note(client, noted)
    return noted


def write_note(client: Client, noted: Import) -> None:
    """Write the note alone; a newer one of the same import replaces it."""
    row = {name: getattr(noted, name) for name in Import.__dataclass_fields__}
    row["amounts"] = json.dumps({code: format(amount, "f") for code, amount in noted.amounts.items()})
    row["left_out"] = json.dumps(noted.left_out)
    row["warnings"] = list(noted.warnings)
    client.insert("invoice_imports", [list(row.values())], column_names=list(row))


def _gone(client: Client, noted: Import) -> list[str]:
    """Warnings of lines that this import, already written, did not replace."""
    sql = statement(
        "SELECT import_id, any(file) AS file, count() AS lines, sum(ifNull(amount, 0)) AS amount, currency"
        " FROM invoice_lines FINAL WHERE project = {project:String} AND source = {source:String}"
        " AND day >= {first:Date} AND day <= {last:Date} AND import_id IN (SELECT import_id FROM invoice_imports FINAL"
        " WHERE project = {project:String} AND source = {source:String} AND format = {format:String} AND NOT withdrawn"
        " AND import_id != {import:String})"
        " GROUP BY import_id, currency ORDER BY import_id, currency LIMIT 20"
    )
    asked = {
        "project": noted.project,
        "source": noted.source,
        "format": noted.format,
        "import": noted.import_id,
        "first": noted.first_day,
        "last": noted.last_day,
    }
    return [
        f"{row['lines']} lines ({row['amount']:,.2f} {row['currency']}) of the same days stand in {row['file'] or row['import_id']!r}"
        " and not here; they still count: withdraw that import if this file replaces it"
        for row in ask(client, sql, asked)
    ]


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows of a source's files were taken, or left out for a reason."""

    project: str
    source: str
    outcome: str
    rows: int


def rows_by_outcome(client: Client) -> list[Rows]:
    """Rows of every project's files that count: ``taken``, or the reason why not."""
    sql = statement(
        "SELECT project, source, told.1 AS outcome, sum(told.2) AS rows FROM invoice_imports FINAL ARRAY JOIN"
        " arrayConcat([('taken', toUInt64(lines))], JSONExtractKeysAndValues(left_out, 'UInt64')) AS told"
        " WHERE NOT withdrawn GROUP BY project, source, outcome ORDER BY project, source, outcome LIMIT 10000"
    )
    return [Rows(**row) for row in ask(client, sql, {})]


def imports(client: Client, project: str, source: str = "") -> list[Import]:
    """Imports, newest first, at most 500; withdrawn ones too."""
    sql = statement(
        "SELECT * FROM invoice_imports FINAL WHERE project = {project:String}",
        "AND source = {source:String}" if source else "",
        "ORDER BY invoice_imports.time DESC, import_id LIMIT 500",
    )
    return [_import(row) for row in ask(client, sql, {"project": project, "source": source})]


def invoice_lines(client: Client, project: str, source: str, first: date, until: date) -> list[BillLine]:
    """Lines of the vendor's days ``first`` to ``until`` (inclusive), without those of withdrawn imports."""
    sql = statement(
        "SELECT day, account, vendor_key, model, token_type, service_tier, description, quantity, amount, currency,"
        " attributes FROM invoice_lines FINAL WHERE project = {project:String} AND source = {source:String}"
        " AND day >= {first:Date} AND day <= {until:Date} AND import_id NOT IN (SELECT import_id FROM invoice_imports"
        " FINAL WHERE project = {project:String} AND withdrawn) ORDER BY day, line_id"
    )
    rows = ask(client, sql, {"project": project, "source": source, "first": first, "until": until}, _LARGEST)
    return [_bill_line(row) for row in rows]


def _identified(report: str, lines: Iterable[BillLine]) -> Iterable[tuple[BillLine, str]]:
    """Each line with what it is about: everything but its figures, and which of several alike it is."""
    seen: Counter[tuple[object, ...]] = Counter()
    for line in lines:
        about = (
            report, line.day, line.account, line.key, line.model, line.tier, line.token_type, line.currency, line.kind,
            line.description, line.span, "amount" if line.amount is not None else "tokens",
        )  # fmt: skip
        seen[about] += 1
        yield line, hashlib.blake2b(repr((*about, seen[about])).encode(), digest_size=16).hexdigest()


def _line_row(noted: Import, provider: str, line: BillLine, identity: str) -> dict[str, Any]:
    start = datetime(line.day.year, line.day.month, line.day.day, tzinfo=UTC)
    return {
        "project": noted.project,
        "source": noted.source,
        "line_id": identity,
        "day": line.day,
        "time": start,
        "end_time": start + timedelta(days=1),
        "provider": provider,
        "account": line.account,
        "vendor_key": line.key,
        "model": line.model,
        "token_type": line.token_type,
        "service_tier": line.tier,
        "description": line.description[:1000],
        "quantity": None if line.tokens is None else line.tokens.quantize(_PLACES),
        "unit": "Tokens" if line.tokens is not None else "",
        "amount": None if line.amount is None else line.amount.quantize(_PLACES),
        "currency": line.currency,
        "cost": line.amount.quantize(_PLACES) if line.amount is not None and line.currency == "USD" else None,
        "attributes": {"kind": line.kind, "line": str(line.line), "span": line.span},
        "import_id": noted.import_id,
        "file": noted.file,
        "author": noted.author,
        "imported_at": noted.time,
    }


def _bill_line(row: dict[str, Any]) -> BillLine:
    attributes: dict[str, str] = row["attributes"]
    number = attributes.get("line", "")
    return BillLine(
        line=int(number) if number.isdigit() else 0,
        day=row["day"],
        account=str(row["account"]),
        key=str(row["vendor_key"]),
        model=str(row["model"]),
        tier=str(row["service_tier"]),
        token_type=row["token_type"],
        tokens=row["quantity"],
        amount=row["amount"],
        currency=str(row["currency"]),
        kind=attributes.get("kind", "usage"),  # pyright: ignore[reportArgumentType]
        description=str(row["description"]),
        span=attributes.get("span", ""),
    )


def _import(row: dict[str, Any]) -> Import:
    given = {name: row[name] for name in Import.__dataclass_fields__}
    given["amounts"] = {code: Decimal(amount) for code, amount in json.loads(row["amounts"] or "{}").items()}
    given["left_out"] = json.loads(row["left_out"] or "{}")
    given["warnings"] = tuple(row["warnings"])
    return Import(**given)
