"""What evaluators promise, measured in full: false alarms, delays, coverage, agreement, overhead. `make bench-evaluators`.

`python -m tests.benchmarks.evaluators --quick` runs a tenth of the simulations.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from spanledger_evaluators import Case, Result, score_cases
from spanledger_evaluators.compare import compare
from spanledger_evaluators.judge import Judge, JudgeSettings
from spanledger_evaluators.rag import Faithfulness
from spanledger_evaluators.runs import Run, ScoredCase
from spanledger_evaluators.scorers.groundedness import Groundedness
from spanledger_evaluators.stats.agreement import auc
from spanledger_evaluators.stats.calibration import ppi_plus_plus
from spanledger_evaluators.stats.intervals import wilson
from spanledger_evaluators.stats.sequential import DropTest
from tests.benchmarks.report import Figure, at_least, at_most, report
from tests.evaluators.judges import serving

CORES = 2
IN_FLIGHT = 64
JUDGE_S = 1.0


def main(argv: Sequence[str]) -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    share = 10 if parser.parse_args(argv).quick else 1
    figures = [_import_figure()]
    with multiprocessing.Pool(CORES) as pool:
        for n in (50, 200):
            runs = 2000 // share
            alarms = sum(pool.starmap(_aa_alarm, [(n, seed) for seed in range(runs)], chunksize=20))
            name = f"A/A, 8 scorers, n = {n}, {runs} runs: share with a regression"
            figures.append(at_most(name, alarms / runs, 0.05, digits=4))
        looks = 2000 // share
        alarms = sum(pool.map(_peeks, range(looks), chunksize=20))
        name = f"e-process under the null, 500 peeks, {looks} runs: alarms"
        figures.append(at_most(name, alarms / looks, 0.05, digits=4))
        delays = sorted(pool.map(_delay, range(400 // share), chunksize=10))
    figures.append(at_most("delay for .80 -> .70, samples, median", delays[len(delays) // 2], 250, digits=0))
    figures += _human_figures()
    figures.append(_overhead())
    return report(figures)


def _aa_alarm(n: int, seed: int) -> bool:
    """Whether two runs of one system over the same cases are called a regression."""
    rng = random.Random(seed * 1000 + n)
    hard = [rng.random() for _ in range(n)]
    return compare(_run("a", hard, rng), _run("b", hard, rng)).verdict == "regression"


def _run(name: str, hard: Sequence[float], rng: random.Random) -> Run:
    """Four pass-or-fail scorers and four of continuous scores, of growing noise."""
    rows = [
        ScoredCase(
            case_id=str(i),
            results=[
                Result(name=f"m{k}", value=_value(k, difficulty, rng), scorer=f"m{k}", scorer_version="1")
                for k in range(8)
            ],
        )
        for i, difficulty in enumerate(hard)
    ]
    return Run(name=name, dataset="d", dataset_version="v", rows=rows)


def _value(scorer: int, difficulty: float, rng: random.Random) -> float:
    if scorer < 4:
        return float(rng.random() > difficulty * (0.1 + 0.2 * scorer))
    return min(1.0, max(0.0, rng.gauss(1 - difficulty / 2, 0.1 * (scorer - 3))))


def _peeks(seed: int) -> bool:
    rng = random.Random(seed)
    test = DropTest(0.8, block=10)
    return any(test.add([float(rng.random() < 0.8)]).rejects(0.05) for _ in range(500))


def _delay(seed: int) -> int:
    rng = random.Random(seed)
    test = DropTest(0.8, block=10)
    for delay in range(1, 5001):
        if test.add([float(rng.random() < 0.7)]).rejects(0.05):
            return delay
    return 5000


def _human_figures() -> list[Figure]:
    """Agreement with people on RAGTruth-QA, and the coverage of a judge's rate with and without correction."""
    path = _ragtruth()
    if path is None:
        return [Figure("RAGTruth-QA", "skipped: set SPANLEDGER_TEST_DATA")]
    cases: list[tuple[Case, bool]] = []
    for line in path.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        question, passages = row["source"]["question"], (row["source"]["passages"],)
        for answer in row["responses"]:
            case = Case(question=question, answer=answer["response"], contexts=passages)
            cases.append((case, not answer["labels"]))
    good = [label for _, label in cases]
    scores = [cast("float", Groundedness().score(case).value) for case, _ in cases]
    by_length = auc([-len(case.answer) for case, _ in cases], good)
    threshold = sorted(scores)[len(scores) // 2]
    judged = [float(score >= threshold) for score in scores]
    naive, corrected = _coverage(good, judged)
    return [
        at_least("groundedness on RAGTruth-QA: AUC", auc(scores, good), 0.75, digits=3),
        Figure("answer length alone: AUC (the baseline)", f"{by_length:.3f}"),
        Figure("judge alone: 95 % interval covers the truth", f"{naive:.3f}"),
        at_least("PPI++, 150 labels, 500 resamples: coverage", corrected, 0.93, digits=3),
    ]


def _coverage(good: Sequence[bool], judged: Sequence[float]) -> tuple[float, float]:
    truth = sum(good) / len(good)
    rng = random.Random(7)
    naive = corrected = 0
    for _ in range(500):
        few = set(rng.sample(range(len(good)), 150))
        rest = [judged[i] for i in range(len(good)) if i not in few]
        alone = wilson(sum(rest), len(rest))
        naive += alone.low <= truth <= alone.high
        found = ppi_plus_plus([float(good[i]) for i in few], [judged[i] for i in few], rest)
        corrected += found.low <= truth <= found.high
    return naive / 500, corrected / 500


def _ragtruth() -> Path | None:
    root = Path(__file__).parents[3]
    given = os.environ.get("SPANLEDGER_TEST_DATA")
    folders = [Path(given)] if given else [root.parent / "shared/data", root.parent.parent / "shared/data"]
    files = (folder / "ragtruth" / "ragtruth_qa.jsonl" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _overhead() -> Figure:
    """Wall time of 64 judged cases at once, two calls each, over the judge's own time; the judge in a process apart."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url: str = ours.recv()
    took = min(asyncio.run(_judged(url)) for _ in range(3))
    ours.send("stop")
    server.join(10)
    name = f"overhead beside the judge's own time, {IN_FLIGHT} in flight"
    return at_most(name, 100 * (took / (2 * JUDGE_S) - 1), 5, " %")


def _serve(pipe: Connection) -> None:
    with serving() as judge:
        judge.delay_s = JUDGE_S
        pipe.send(judge.url)
        pipe.recv()


async def _judged(url: str) -> float:
    judge = Judge(JudgeSettings(model="m", base_url=url, in_flight=IN_FLIGHT))
    cases = [Case(question="q", answer=f"a {n}", contexts=("c",)) for n in range(IN_FLIGHT)]
    begun = time.monotonic()
    results = await score_cases([Faithfulness(judge=judge)], cases, concurrency=IN_FLIGHT)
    took = time.monotonic() - begun
    await judge.aclose()
    assert all(found[0].status == "ok" for found in results)
    return took


def _import_figure() -> Figure:
    code = (
        "import sys, spanledger_evaluators; print(sorted({'ragas', 'deepeval', 'pandas'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    return Figure("evaluation libraries loaded by import", loaded, "[]", loaded == "[]")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
