"""What people do about money on pages: findings accepted, files imported and withdrawn, months closed and corrected."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime

from dash.development.base_component import Component

from spanledger_collector.books import closing
from spanledger_collector.books import invoices as books
from spanledger_collector.finance.bills import BillError
from spanledger_collector.store.clickhouse import EngineError
from spanledger_collector.store.registry.errors import NotFoundError
from spanledger_collector.store.registry.registry import Registry

from .here import here
from .parts.basic import notice
from .text import line, usd
from .view import View

log = logging.getLogger(__name__)
Given = Mapping[str, str]


def accept_finding(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    """Book a finding of a reconciliation."""
    reason = _reason(given)
    compared = _compared(registry, project, given)
    try:
        found, ids = books.accept(
            registry.client, project, compared, given["finding"], author=author, reason=reason
        )
    except KeyError:
        raise ValueError("The comparison changed meanwhile: load the page again.") from None
    return f"Booked {usd(found.amount)} on {found.last}." if ids else "It was booked before."


def withdraw_import(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    """Let an import no longer count."""
    try:
        books.withdraw(registry.client, project, given["import_id"], author=author, now=_moment(now))
    except KeyError:
        raise ValueError("There is no such import.") from None
    return "Withdrawn: its lines no longer count. Importing the file again brings them back."


def close_month(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    """Sign a month."""
    month = closing.close(
        registry.client, project, _month(given), author=author, note=given.get("note", ""), now=_moment(now)
    )
    return f"Closed: it counts what was known before {month.cutoff}, and adjustments. Load the page again."


def reopen_month(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    """Book what came after a month was closed."""
    reason = _reason(given)
    booked = closing.book_late(
        registry.client, project, _month(given), author=author, reason=reason, now=_moment(now)
    )
    total = sum((entry.cost for entry in booked), closing.ZERO)
    return (
        f"{len(booked)} adjustments, {usd(total)}."
        if booked
        else "Nothing came later that is not booked yet."
    )


async def take_file(view: View, source: str, contents: str, name: str) -> Component:
    """Import a file that a browser sent, if this person may; what became of it in words."""
    editor, who = here().store.editor, here().viewer.key_of(view.project)
    if editor is None or who is None or not here().viewer.may_edit(view.project):
        return notice("Your key may not import files here.", "red")
    try:
        data = base64.b64decode(contents.partition(",")[2], validate=True)
        told = await asyncio.to_thread(_import, editor, view.project, f"key {who.id}", source, data, name)
    except (BillError, NotFoundError) as wrong:
        return notice(line(str(wrong), 400), "red")
    except binascii.Error:
        return notice("The browser sent no file.", "red")
    except EngineError:
        log.exception("an import failed")
        return notice("The store did not take it. Check that the engine is up, then try again.", "red")
    return notice(told, "green")


def _import(registry: Registry, project: str, author: str, source: str, data: bytes, name: str) -> str:
    of = books.source(registry.client, project, source)
    noted = books.import_file(
        registry.client, project, of, data, file=name, author=author, now=datetime.now(UTC)
    )
    left = sum(noted.left_out.values())
    more = "".join(f" {warning}." for warning in noted.warnings) + (
        f" {left} rows were left out." if left else ""
    )
    return f"{noted.format}: {noted.lines} lines of {noted.first_day} to {noted.last_day}.{more} Load the page again to see them compared."


def _compared(registry: Registry, project: str, given: Given) -> books.Compared:
    try:
        of = books.source(registry.client, project, given["source"])
    except NotFoundError as gone:
        raise ValueError(str(gone)) from None
    compared = books.compare(registry.client, project, of, _month(given))
    if compared is None:
        raise ValueError("There is nothing to compare any more: load the page again.")
    return compared


def _reason(given: Given) -> str:
    if len(given.get("why", "")) < 3:
        raise ValueError("Say why: it stands beside the booking for good.")
    return given["why"]


def _month(given: Given) -> date:
    if not re.fullmatch(r"(19[7-9]\d|20\d\d|21[0-3]\d)-(0[1-9]|1[0-2])", given.get("month", "")):
        raise ValueError("That is no month.")
    return date.fromisoformat(f"{given['month']}-01")


def _moment(now: int) -> datetime:
    return datetime.fromtimestamp(now / 1e9, UTC)
