"""Runs and comparisons in; text for people, Markdown, JSON and JUnit out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as Xml

from .compare import Comparison, MetricComparison
from .runs import Run
from .stats.intervals import Estimate, mean_interval, wilson

_SIGNS = {"regression": "REGRESSION", "pass": "pass", "inconclusive": "not enough data"}


def summarise(run: Run) -> dict[str, Estimate | None]:
    """The mean of each metric with its interval; None where fewer than two cases have a value."""
    found: dict[str, Estimate | None] = {}
    cases = run.cases()
    for metric in run.metrics(also_empty=True):
        values = run.values(metric)
        clusters = [cases[case_id].cluster or case_id for case_id in values]
        found[metric] = _interval(list(values.values()), clusters)
    return found


def run_markdown(run: Run) -> str:
    """A table of the run: mean, interval, and how many scores there are not and why."""
    lines = [
        f"## {_cell(run.name)}",
        "",
        f"{len(run.ids())} cases of {_cell(run.dataset)} (version {run.dataset_version})",
        "",
        "| metric | mean | 95 % interval | scored | without a score |",
        "|---|---|---|---|---|",
    ]
    for metric, estimate in summarise(run).items():
        statuses = run.statuses(metric)
        scored = statuses.pop("ok", 0)
        holes = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "0"
        mean, interval = ("-", "-") if estimate is None else (f"{estimate.value:.3f}", _span(estimate))
        lines.append(f"| {_cell(metric)} | {mean} | {interval} | {scored} | {holes} |")
    failed = [row for row in run.rows if row.error]
    if failed:
        lines += ["", f"{len(failed)} answers failed; first: {_cell(failed[0].error)[:300]}"]
    return "\n".join(lines) + "\n"


def comparison_markdown(found: Comparison) -> str:
    """A table of the comparison, the verdict first, then the cases that changed most."""
    lines = [
        f"## {_SIGNS[found.verdict]}: {_cell(found.candidate)} against {_cell(found.base)}",
        "",
        "| metric | verdict | base | candidate | better by | 95 % interval | margin | cases |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for metric in found.metrics:
        missing = f" ({metric.missing} missing)" if metric.missing else ""
        lines.append(
            f"| {_cell(metric.metric)} | {_SIGNS[metric.verdict]} | {metric.base_mean:.3f}"
            f" | {metric.candidate_mean:.3f} | {metric.difference.value:+.3f} | {_span(metric.difference)}"
            f" | {metric.margin:g} | {metric.cases}{missing} |"
        )
    lines += ["", *(reason(metric) for metric in found.metrics)]
    for metric in found.metrics:
        lines += _examples(metric)
    lines += [f"Warning: {warning}" for warning in found.warnings]
    return "\n".join(lines) + "\n"


def reason(metric: MetricComparison) -> str:
    """One sentence that says why the verdict is what it is."""
    loss = f"a loss of more than {metric.margin:g}"
    if metric.verdict == "pass":
        return f"- {metric.metric}: {loss} is excluded (p = {metric.p_within_margin:.2g})."
    if metric.verdict == "regression":
        return (
            f"- {metric.metric}: worse, beyond chance (p = {metric.p_worse:.2g}, corrected for all metrics)."
        )
    needed = f" About {metric.cases_needed} cases would decide." if metric.cases_needed else ""
    return f"- {metric.metric}: neither a loss is proven nor {loss} excluded.{needed}"


def comparison_json(found: Comparison) -> str:
    """Everything, as JSON; numbers that do not exist are null."""
    data = {"verdict": found.verdict, **asdict(found)}
    return json.dumps(_finite(data), ensure_ascii=False, indent=2)


def run_json(run: Run) -> str:
    """The summary of a run, as JSON."""
    metrics = {
        metric: {"estimate": None if estimate is None else asdict(estimate), "statuses": run.statuses(metric)}
        for metric, estimate in summarise(run).items()
    }
    head = {"name": run.name, "dataset": run.dataset, "dataset_version": run.dataset_version}
    return json.dumps(
        _finite({**head, "cases": len(run.ids()), "metrics": metrics}), ensure_ascii=False, indent=2
    )


def comparison_junit(found: Comparison) -> str:
    """A JUnit report with a test case for each metric: a regression fails, too little data is skipped."""
    suite = Xml.Element("testsuite", name=f"{found.candidate} against {found.base}")
    for metric in found.metrics:
        case = Xml.SubElement(suite, "testcase", classname="spanledger.eval", name=metric.metric)
        text = reason(metric)
        if metric.verdict == "regression":
            Xml.SubElement(case, "failure", message=text)
        elif metric.verdict == "inconclusive":
            Xml.SubElement(case, "skipped", message=text)
    return _suite(suite, [metric.verdict for metric in found.metrics])


def thresholds_junit(run: Run, failed: dict[str, str], held: Sequence[str]) -> str:
    """A JUnit report of a run's thresholds."""
    suite = Xml.Element("testsuite", name=run.name)
    for metric in held:
        case = Xml.SubElement(suite, "testcase", classname="spanledger.eval", name=metric)
        if metric in failed:
            Xml.SubElement(case, "failure", message=failed[metric])
    return _suite(suite, ["regression" if metric in failed else "pass" for metric in held])


def _suite(suite: Xml.Element, verdicts: Sequence[str]) -> str:
    suite.set("tests", str(len(verdicts)))
    suite.set("failures", str(verdicts.count("regression")))
    suite.set("skipped", str(verdicts.count("inconclusive")))
    root = Xml.Element("testsuites")
    root.append(suite)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True)


def _interval(values: Sequence[float], clusters: Sequence[str]) -> Estimate | None:
    if len(values) < 2 or len(set(clusters)) < 2:
        return None
    independent = len(set(clusters)) == len(values)
    if independent and set(values) <= {0.0, 1.0}:
        return wilson(sum(values), len(values))
    return mean_interval(values, None if independent else clusters)


def _examples(metric: MetricComparison) -> list[str]:
    lines: list[str] = []
    for title, cases in (("Most lost", metric.worst), ("Most gained", metric.best)):
        if cases:
            told = ", ".join(
                f"`{_cell(case.case_id)}` {case.base:.2f} to {case.candidate:.2f}" for case in cases
            )
            lines += ["", f"{title} in {_cell(metric.metric)}: {told}"]
    return lines


def _span(estimate: Estimate) -> str:
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
