"""Reconciliation: a vendor's bill of a month against our calls: what matches, what does not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from dash import dcc, html
from dash.development.base_component import Component

from spanledger_collector.books import invoices as books
from spanledger_collector.books.invoices import Compared
from spanledger_collector.finance.reconcile import Cell, Finding, Report
from spanledger_collector.store.finance import invoices
from spanledger_collector.store.finance.invoices import Import
from spanledger_dashboards.colours import AMBER, BLUE, GREEN, GREY, RED
from spanledger_dashboards.figures.frame import money_unit
from spanledger_dashboards.figures.series import stacked
from spanledger_dashboards.here import read
from spanledger_dashboards.months import choices, month_of
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import acting, filters
from spanledger_dashboards.parts.aria import aria
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    chart,
    empty,
    grid,
    link,
    notice,
    page_title,
    panel,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.text import count, line, percent, usd, usd_exact
from spanledger_dashboards.view import View

UPLOAD, UPLOADED = "upload", "uploaded"
LARGEST = 32 * 1024 * 1024
_VERDICTS = (("matched", "matched", GREEN), ("explained", "explained", BLUE), ("ours_only", "only ours", GREY),
             ("theirs_only", "only the bill", AMBER), ("unexplained", "unexplained", RED))  # fmt: skip
_TONES = {
    "matched": "green",
    "explained": "blue",
    "ours_only": "grey",
    "theirs_only": "amber",
    "unexplained": "red",
}
_SHOWN = 200


async def render(view: View) -> Component:
    """One source and month: totals, findings with their causes, days, cells, and the files that were imported."""
    month = month_of(view, before=1)
    known = await read(view, books.sources)
    name = view.get("source") or await _likely(view, [entry.name for entry in known])
    source = next((entry for entry in known if entry.name == name), None)
    controls = [
        filters.select(view, "source", "Bill of", [entry.name for entry in known], name),
        filters.select(view, "month", "Month", choices(view), f"{month:%Y-%m}"),
    ]
    kept = {"source": name, "month": f"{month:%Y-%m}"}
    title = page_title(
        "Reconciliation",
        "A vendor's bill beside our own calls, by day, account, model and token type. A cause is named only where it explains a difference to the last token.",
        html.A("Download CSV", href=view.href("/export/reconciliation.csv", **kept), className="button", download="reconciliation.csv"),
    )  # fmt: skip
    if source is None:
        return html.Div([title, notice(f"There is no invoice source “{line(name, 60)}”. Choose another one.", "amber"), filters.bar(view, *controls)], className="page")  # fmt: skip
    compared = await read(view, books.compare, source, month)
    imported = await read(view, invoices.imports, name)
    body = _nothing(name, month) if compared is None else _compared(view, compared)
    return html.Div(
        [title, filters.bar(view, *controls), *body, grid(_imports(view, imported), _upload(view, name))],
        className="page",
    )


PAGE = Page("/reconciliation", "Reconciliation", render, "Money")


async def _likely(view: View, names: Sequence[str]) -> str:
    """The source of the newest import, so that the page opens where there is something to see."""
    latest = await read(view, invoices.imports)
    return latest[0].source if latest else names[0]


def _nothing(name: str, month: date) -> list[Component]:
    return [
        empty(
            f"No bill of {line(name, 60)} for {month:%B %Y} yet",
            "Import the vendor's export below or by command. OpenAI's and Anthropic's files are known; a cloud's FOCUS file and any other CSV are described by an invoice_source document.",
            f"spanledger invoice import {line(name, 60)} costs.json\nspanledger invoice reconcile {line(name, 60)} {month:%Y-%m}",
        )
    ]  # fmt: skip


def _compared(view: View, compared: Compared) -> list[Child]:
    report, totals = compared.report, compared.report.totals
    days = f"{report.since:%d %b} to {report.until:%d %b %Y}, days of {report.time_zone}"
    return [
        stats(
            stat("Bill", usd(totals.theirs), title=usd_exact(totals.theirs), about="valued at our prices" if report.estimated else days),
            stat("Our ledger", usd(totals.ours), title=usd_exact(totals.ours), about=f"bill less ours {usd(totals.theirs - totals.ours)}"),
            stat("Matched", percent(totals.share(totals.matched)), about=usd(totals.matched)),
            stat("Only on the bill", usd(totals.theirs_only), about=percent(totals.share(totals.theirs_only))),
            stat("Only ours", usd(totals.ours_only), about=percent(totals.share(totals.ours_only))),
            stat("Unexplained", percent(totals.share(totals.without_cause)), about=usd(totals.without_cause),
                 tone="green" if not totals.without_cause else "red" if totals.share(totals.without_cause) > 0.01 else "amber"),
        ),
        panel("Why they differ", _findings(view, compared), about="dearest first; bill less ours", wide=True),
        grid(
            panel("By day", _by_day(view, report), about="USD"),
            panel("By model", _by_model(report), about="what agrees, and the size of what does not"),
        ),
        panel("Where they differ", _cells(view, report), about="dearest first", wide=True),
    ]  # fmt: skip


def _findings(view: View, compared: Compared) -> Component:
    rest = books.unexplained(compared.report)
    found = [*compared.report.findings, *([rest] if rest else [])]
    if not found:
        return empty("The bill and the ledger agree", "Every line matches our calls.")
    rows = [_finding(view, compared, entry) for entry in found[:_SHOWN]]
    columns = [C("Cause"), C("What"), C("Days"), C("Difference", number=True), C("What to do"), C("")]
    return table(columns, rows, label="Causes of differences")


def _finding(view: View, compared: Compared, entry: Finding) -> list[Child]:
    name = books.finding_id(compared.source, entry)
    days = (
        f"{entry.first:%d %b}" if entry.first == entry.last else f"{entry.first:%d %b} to {entry.last:%d %b}"
    )
    of = {"finding": name, "source": compared.source.name, "month": f"{compared.report.since:%Y-%m}"}
    done: Child = badge("accepted", "green") if name in compared.accepted else acting.button(
        view, "accept_finding", "Accept as adjustment", of,
        acting.text_field("accept_finding", "why", "Why", of, width=150),
    )  # fmt: skip
    return [
        html.Span(entry.title, className="strong"),
        line(entry.subject, 120),
        link(days, _calls(view, entry.first, entry.last, entry.models)),
        html.Span(usd(entry.amount), title=usd_exact(entry.amount)),
        entry.advice,
        done,
    ]


def _calls(view: View, first: date, last: date, models: Sequence[str]) -> str:
    """The calls of some days; a bill's days may be another zone's, so a day more at both ends."""
    start = f"{first - timedelta(days=1)}T00:00:00Z"
    end = f"{last + timedelta(days=2)}T00:00:00Z"
    model = models[0] if len(models) == 1 else None
    return view.href("/calls", range=None, from_=start, to=end, model=model)


def _by_day(view: View, report: Report) -> Component:
    days = report.by("day")
    buckets = [int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) for day, _ in days]
    series = {
        label: [float(sums.get(name, Decimal(0))) for _, sums in days]  # type: ignore[call-overload]
        for name, label, _ in _VERDICTS
    }
    shown = {label: values for label, values in series.items() if any(values)}
    colours = {label: colour for _, label, colour in _VERDICTS}
    tops = [sum(values) for values in zip(*shown.values(), strict=True)] if shown else [0.0]
    links = {
        label: [_calls(view, date.fromisoformat(day), date.fromisoformat(day), ()) for day, _ in days]
        for label in shown
    }
    return chart(
        "reconciliation",
        stacked(buckets, shown, colours, money_unit(tops), links=links),
        "Matched and differing cost by day",
    )


def _by_model(report: Report) -> Component:
    rows = [
        [line(model, 60) or "(none)", *(usd(sums.get(name, Decimal(0))) for name, _, _ in _VERDICTS)]  # type: ignore[call-overload]
        for model, sums in report.by("model")
    ]
    columns = [C("Model"), *(C(label.capitalize(), number=True) for _, label, _ in _VERDICTS)]
    return table(columns, rows, label="Matched and differing cost by model")


def _cells(view: View, report: Report) -> Component:
    cells = sorted(
        (cell for cell in report.cells if cell.verdict != "matched"), key=lambda cell: -abs(cell.difference)
    )
    if not cells:
        return empty("Nothing differs", "Every cell of the bill matches our calls.")
    columns = [C("Day"), C("Model"), C("Tokens of"), C("Account"), C("Bill", number=True), C("Ours", number=True), C("Difference", number=True), C("Tokens, bill", number=True), C("Tokens, ours", number=True), C("Verdict")]  # fmt: skip
    return table(columns, [_cell(view, cell) for cell in cells[:_SHOWN]], label="Cells that differ")


def _cell(view: View, cell: Cell) -> list[Child]:
    return [
        link(cell.day.isoformat(), _calls(view, cell.day, cell.day, [cell.model] if cell.model else ())),
        line(cell.model, 60), cell.token_type.replace("_", " "), line(cell.account, 40),
        usd(cell.theirs) if cell.theirs is not None else "", usd(cell.ours), html.Span(usd(cell.difference), title=usd_exact(cell.difference)),
        count(cell.their_tokens) if cell.their_tokens is not None else "", count(cell.our_tokens),
        badge(cell.cause.replace("_", " ") or cell.verdict.replace("_", " "), _TONES[cell.verdict]),
    ]  # fmt: skip


def _imports(view: View, imported: Sequence[Import]) -> Component:
    if not imported:
        return panel(
            "Imported files",
            empty(
                "Nothing was imported yet",
                "Send the vendor's export beside, or by spanledger invoice import.",
            ),
        )
    rows: list[list[Child]] = [
        [
            entry.time.astimezone(UTC).strftime("%d %b %Y %H:%M"), line(entry.file or entry.import_id, 60), entry.format,
            f"{entry.first_day:%d %b} to {entry.last_day:%d %b %Y}", count(entry.lines),
            ", ".join(f"{amount:,.2f} {code}" for code, amount in entry.amounts.items()) or "tokens only",
            "; ".join(f"{count(rows)} {line(reason, 60)}" for reason, rows in entry.left_out.items()),
            line("; ".join(entry.warnings), 400), line(entry.author, 40),
            badge("withdrawn", "grey") if entry.withdrawn else acting.button(view, "withdraw_import", "Withdraw", {"import_id": entry.import_id}),
        ]
        for entry in imported[:20]
    ]  # fmt: skip
    columns = [
        C("When"),
        C("File"),
        C("Format"),
        C("Days"),
        C("Lines", number=True),
        C("Amount", number=True),
        C("Rows left out"),
        C("Warnings"),
        C("By"),
        C(""),
    ]
    return panel("Imported files", table(columns, rows, label="Imported files"), about="newest first")


def _upload(view: View, name: str) -> Component:
    if not view.admin:
        return panel(
            "Import a file",
            html.P(
                "Editors and admins import files here, or by spanledger invoice import.", className="about"
            ),
        )
    button = html.Button("Choose a file, or drop it here", className="button", type="button")
    return panel(
        "Import a file",
        [
            html.P(f"As a bill of {line(name, 60)}. JSON, CSV or Parquet as the vendor gave it, up to {LARGEST // 1024 // 1024} MiB.", className="about"),
            dcc.Upload(button, id={"type": UPLOAD, "source": name}, max_size=LARGEST, multiple=False, className="upload"),
            html.Div(id={"type": UPLOADED, "source": name}, role="status", **aria("What became of the file")),
        ],
    )  # fmt: skip
