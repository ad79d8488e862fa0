"""A vendor's file in, its lines stored; a period's lines and our calls in, a reconciliation out; findings accepted as bookings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from spanledger_collector.finance.bills import Source, read_bill, source_of
from spanledger_collector.finance.reconcile import Finding, Report, reconcile
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.finance import adjustments, invoices
from spanledger_collector.store.finance.adjustments import Adjustment
from spanledger_collector.store.finance.invoices import Import
from spanledger_collector.store.reads import finance_documents
from spanledger_collector.store.reads.usage import OurSide
from spanledger_collector.store.registry.errors import NotFoundError
from spanledger_collector.store.registry.registry import Registry

KNOWN = ("openai", "anthropic")
"""Vendors whose files need no document: their formats and time zones are known."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A source's reconciliation of a month; ``accepted`` are findings that were booked, by their ids."""

    source: Source
    report: Report
    imports: tuple[Import, ...]
    accepted: frozenset[str]


def source(client: Client, project: str, name: str) -> Source:
    """A source by its name.

    Raises:
        NotFoundError: there is no such document, and it is none of the vendors known without.
    """
    try:
        return source_of(name, Registry(client).get(project, "invoice_source", name).document)
    except NotFoundError:
        if name in KNOWN:
            return Source(name=name, provider=name)
        raise


def sources(client: Client, project: str) -> list[Source]:
    """Every source with a document, and those known without."""
    documents = Registry(client).list([project], ["invoice_source"])
    given = [source_of(version.name, version.document) for version in documents]
    named = {entry.name for entry in given}
    return [*given, *(Source(name=name, provider=name) for name in KNOWN if name not in named)]


def import_file(
    client: Client, project: str, of: Source, data: bytes, *, file: str, author: str, now: datetime
) -> Import:
    """Read a vendor's file and store its lines. The same file again changes nothing.

    Raises:
        BillError: the file cannot be read.
    """
    bill = read_bill(data, of)
    noted = invoices.import_of(bill, data, project=project, source=of.name, file=file, author=author, now=now)
    return invoices.write_import(client, noted, of.provider, bill.lines)


def withdraw(client: Client, project: str, import_id: str, *, author: str, now: datetime) -> Import:
    """Let an import no longer count.

    Raises:
        KeyError: there is no such import.
    """
    found = {entry.import_id: entry for entry in invoices.imports(client, project)}[import_id]
    gone = replace(found, withdrawn=True, author=author, time=now)
    invoices.write_note(client, gone)
    return gone


def compare(client: Client, project: str, of: Source, month: date) -> Compared | None:
    """Reconcile a month with a source's bills, as far as they reach; None when none of its lines is of the month."""
    first, last = month.replace(day=1), _last(month)
    imports = [
        entry
        for entry in invoices.imports(client, project, of.name)
        if not entry.withdrawn and entry.first_day <= last and entry.last_day >= first
    ]
    if not imports:
        return None
    since = max(first, min(entry.first_day for entry in imports))
    until = min(last, max(entry.last_day for entry in imports))
    lines = invoices.invoice_lines(client, project, of.name, since, until)
    if not lines:
        return None
    ours = OurSide(client, project, of.providers, since, until, of.account_is)
    decimals = max((entry.decimals for entry in imports if entry.amounts), default=9)
    known = set(finance_documents.currencies(client, project))
    dated = {
        currency: finance_documents.rates(client, project, currency)
        for currency in {line.currency for line in lines} & known
    }
    report = reconcile(lines, ours, of, decimals=decimals, since=since, until=until, dated=dated)
    booked = adjustments.stored(client, project, first, last + timedelta(days=1))
    accepted = frozenset(
        str(json.loads(row["evidence"]).get("finding", "")) for row in booked if row["kind"] == "reconciliation" and row["evidence"]
    )  # fmt: skip
    return Compared(of, report, tuple(imports), accepted)


def finding_id(of: Source, finding: Finding) -> str:
    """A finding's name: the same cause of the same subject and days has the same one."""
    about = f"{of.name}\x00{finding.cause}\x00{finding.subject}\x00{finding.first}\x00{finding.last}"
    return hashlib.blake2b(about.encode(), digest_size=8).hexdigest()


def unexplained(report: Report) -> Finding | None:
    """What nobody named, as a finding that can be booked too; None where there is none."""
    cells = [cell for cell in report.cells if cell.verdict != "matched" and not cell.cause]
    total = sum((cell.difference for cell in cells), Decimal(0))
    if not cells:
        return None
    return Finding(
        cause="unexplained",
        subject="every difference without a cause",
        amount=total,
        first=min(cell.day for cell in cells),
        last=max(cell.day for cell in cells),
        models=tuple(sorted({cell.model for cell in cells if cell.model})),
        cells=len(cells),
    )


def accept(
    client: Client, project: str, compared: Compared, wanted: str, *, author: str, reason: str
) -> tuple[Finding, list[str]]:
    """Book a finding's amount as an adjustment on its last day, so that the ledger says what the bill says.

    Returns the finding and the new booking's id; no id when it was booked before.

    Raises:
        KeyError: there is no such finding.
    """
    rest = unexplained(compared.report)
    found: Sequence[Finding] = [*compared.report.findings, *([rest] if rest else [])]
    finding = {finding_id(compared.source, entry): entry for entry in found}[wanted]
    providers = compared.source.providers
    entry = Adjustment(
        project=project,
        day=finding.last,
        kind="reconciliation",
        cost=finding.amount,
        reason=reason,
        author=author,
        identity=wanted,
        evidence=json.dumps({"finding": wanted, "source": compared.source.name, "cause": finding.cause, "subject": finding.subject}),
        group={
            "provider": providers[0] if len(providers) == 1 else "",
            "model": finding.models[0] if len(finding.models) == 1 else "",
        },
    )  # fmt: skip
    return finding, adjustments.book(client, [entry])


def _last(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
