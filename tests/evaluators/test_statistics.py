"""Known answers from the literature and from the field's own libraries, and what the tests promise."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest

from spanledger_evaluators.scorers.groundedness import Groundedness
from spanledger_evaluators.stats.agreement import auc, kappa
from spanledger_evaluators.stats.calibration import NotCorrectable, calibrate, ppi_plus_plus, rogan_gladen
from spanledger_evaluators.stats.intervals import (
    bootstrap_interval,
    clustered_se,
    mean_interval,
    no_variation_bound,
    wilson,
)
from spanledger_evaluators.stats.multiplicity import benjamini_hochberg, holm
from spanledger_evaluators.stats.paired import cases_needed, difference, mcnemar, p_below, smallest_effect
from spanledger_evaluators.stats.sampling import chosen, draw
from spanledger_evaluators.stats.sequential import DropTest, confidence_sequence, msprt

from .conftest import Labelled


@pytest.mark.parametrize(
    ("successes", "n", "low", "high", "digits"),
    [
        (8, 10, 0.490162, 0.943318, 6),
        (81, 263, 0.2553, 0.3662, 4),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605, 4),
        (1, 29, 0.0061, 0.1718, 4),
        (0, 20, 0.0, 0.1611, 4),
    ],
)
def test_wilson_known_answers(successes: int, n: int, low: float, high: float, digits: int) -> None:
    found = wilson(successes, n)
    assert (round(found.low, digits), round(found.high, digits)) == (low, high)


@pytest.mark.parametrize(
    ("table", "expected"),
    [([[20, 5], [10, 15]], 0.4), ([[45, 15], [25, 15]], 0.1304), ([[25, 35], [5, 35]], 0.2593)],
)
def test_kappa_known_answers(table: list[list[int]], expected: float) -> None:
    assert round(kappa(table), 4) == expected


def test_mcnemar_known_answers() -> None:
    found = mcnemar(1, 9)
    assert (found.exact, found.mid) == (0.021484375, 0.01171875)
    assert mcnemar(0, 0).exact == mcnemar(5, 5).mid == 1.0


def test_power_known_answer_of_miller() -> None:
    assert cases_needed(0.03, 1 / 9) == 969
    assert smallest_effect(969, 1 / 9) == pytest.approx(0.03, abs=1e-5)


def test_multiplicity_known_answers() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_auc_counts_ties_half() -> None:
    assert auc([1, 2, 2, 3], [False, True, False, True]) == 0.875


def test_clustered_errors_equal_statsmodels() -> None:
    api = _oracle("statsmodels.api")
    rng = random.Random(1)
    clusters = [rng.randrange(40) for _ in range(300)]
    values = [rng.random() + 0.3 * (group % 3) for group in clusters]
    fit = api.OLS(values, [1.0] * 300).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    assert clustered_se(values, clusters) == pytest.approx(float(fit.bse[0]), abs=1e-12)


def test_proportions_kappa_and_mcnemar_equal_statsmodels() -> None:
    proportion = _oracle("statsmodels.stats.proportion")
    tables = _oracle("statsmodels.stats.contingency_tables")
    rating = _oracle("statsmodels.stats.inter_rater")
    for successes, n in [(0, 7), (3, 7), (50, 91), (7, 7)]:
        low, high = proportion.proportion_confint(successes, n, method="wilson")
        found = wilson(successes, n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert mcnemar(4, 11).exact == pytest.approx(tables.mcnemar([[9, 4], [11, 3]], exact=True).pvalue)
    ordered = [[11, 4, 1], [2, 9, 3], [0, 3, 8]]
    weighted = rating.cohens_kappa(ordered, wt="quadratic").kappa
    assert kappa(ordered, quadratic=True) == pytest.approx(float(weighted), abs=1e-12)


@pytest.mark.parametrize(
    ("weight", "low", "high"), [(1.0, 0.6799709812, 0.8133623522), (None, 0.6654010524, 0.7741405074)]
)
def test_ppi_equals_its_authors_library(weight: float | None, low: float, high: float) -> None:
    """Values of ppi_mean_ci of ppi-python 0.2.3 (which ships a top-level package ``tests``: not installed here)."""
    rng = random.Random(3)
    truth = [rng.random() < 0.7 for _ in range(2000)]
    judged = [float(label if rng.random() < 0.8 else not label) for label in truth]
    labels = [float(label) for label in truth[:200]]
    found = ppi_plus_plus(labels, judged[:200], judged[200:], weight=weight)
    assert (found.low, found.high) == pytest.approx((low, high), abs=3e-4)


def test_bootstrap_agrees_with_t_where_scores_are_tame_and_repeats_itself() -> None:
    rng = random.Random(5)
    values = [rng.gauss(0.5, 0.1) for _ in range(200)]
    boot, t = bootstrap_interval(values), mean_interval(values)
    assert boot == bootstrap_interval(values)
    assert (boot.low, boot.high) == pytest.approx((t.low, t.high), abs=0.003)


def test_clusters_widen_the_interval_as_much_as_they_should() -> None:
    values = [float(group % 2) for group in range(40) for _ in range(10)]
    clusters = [group for group in range(40) for _ in range(10)]
    alone, together = mean_interval(values), mean_interval(values, clusters)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_equal_pairs_still_leave_room_for_doubt() -> None:
    found = difference([0.4] * 20, [0.4] * 20)
    assert found.value == 0
    assert found.high == pytest.approx(no_variation_bound(20))
    rates = difference([1.0] * 20, [1.0] * 20)
    assert rates.low < -0.1
    assert rates.high > 0.1


def test_the_interval_of_paired_rates_covers_the_truth_with_few_cases() -> None:
    rng = random.Random(17)
    covered = 0
    for _ in range(500):
        hard = [rng.random() < 0.3 for _ in range(40)]  # cases that both systems find hard
        base = [float(rng.random() < (0.5 if is_hard else 0.98)) for is_hard in hard]
        candidate = [float(rng.random() < (0.3 if is_hard else 0.95)) for is_hard in hard]
        found = difference(base, candidate)
        covered += found.low <= 0.3 * -0.2 + 0.7 * -0.03 <= found.high
    assert covered / 500 >= 0.94


def test_a_confidence_sequence_holds_at_every_look() -> None:
    rng = random.Random(11)
    missed = 0
    for _ in range(200):
        scores = [1.0 if rng.random() < 0.7 else 0.0 for _ in range(200)]
        found = confidence_sequence(scores, grid=60)  # its interval is the intersection over all looks
        missed += not found.low <= 0.7 <= found.high
    assert missed / 200 <= 0.05


def test_a_confidence_sequence_narrows() -> None:
    rng = random.Random(12)
    scores = [min(1.0, max(0.0, rng.gauss(0.8, 0.1))) for _ in range(1000)]
    found = confidence_sequence(scores)
    assert found.high - found.low < 0.06


def test_peeking_500_times_raises_no_more_alarms_than_promised() -> None:
    rng = random.Random(21)
    alarms = 0
    for _ in range(300):
        test = DropTest(0.8)
        alarms += any(test.add([1.0 if rng.random() < 0.8 else 0.0]).rejects(0.05) for _ in range(500))
    assert alarms / 300 <= 0.05


def test_a_drop_is_noticed_soon_also_after_a_long_good_stretch() -> None:
    assert _median_delay(before=0, good=0.8, bad=0.7, bound=0.8) <= 250
    assert _median_delay(before=1000, good=0.85, bad=0.6, bound=0.8) <= 120
    assert _median_delay(before=4000, good=0.85, bad=0.6, bound=0.8) <= 150


def test_a_stored_test_goes_on_as_if_it_had_not_been_stored() -> None:
    rng = random.Random(4)
    scores = [rng.random() for _ in range(200)]
    whole = DropTest(0.6).add(scores)
    parts = DropTest.restored(DropTest(0.6).add(scores[:77]).state()).add(scores[77:])
    assert parts.log_e == pytest.approx(whole.log_e)


def test_msprt_is_valid_under_peeking_where_a_plain_test_is_not() -> None:
    rng = random.Random(31)
    plain = valid = 0
    for _ in range(300):
        steps = [rng.gauss(0, 1) for _ in range(400)]
        valid += msprt(steps, 1.0, 0.1) <= 0.05
        total, peeked = 0.0, False
        for n, step in enumerate(steps, 1):
            total += step
            peeked = peeked or (n >= 10 and abs(total) / math.sqrt(n) > 1.96)
        plain += peeked
    assert valid / 300 <= 0.05 < 0.25 < plain / 300


def test_sampling_is_deterministic_uniform_and_nested() -> None:
    keys = [f"trace-{number}" for number in range(20_000)]
    tenth = {key for key in keys if chosen(key, 0.1)}
    assert len(tenth) / len(keys) == pytest.approx(0.1, abs=0.01)
    assert tenth <= {key for key in keys if chosen(key, 0.3)}
    assert draw("a") == draw("a") != draw("a", salt="other")


def test_a_weak_judge_is_refused_and_says_why() -> None:
    labels = [True, False] * 50
    judge = calibrate([True] * 100, labels)
    with pytest.raises(NotCorrectable, match="too weak"):
        rogan_gladen(wilson(90, 100), judge)
    with pytest.raises(NotCorrectable, match="only passes or only failures"):
        rogan_gladen(wilson(90, 100), calibrate([True, False], [True, True]))


def test_corrected_rates_cover_the_truth_where_the_judge_alone_never_does(ragtruth: list[Labelled]) -> None:
    """817 answers with labels of people; a judge (lexical, thresholded) and 150 labels drawn at random."""
    truth = [row.good for row in ragtruth]
    scores = [Groundedness().score(row.case).value or 0.0 for row in ragtruth]
    threshold = sorted(scores)[len(scores) // 2]
    judged = [score >= threshold for score in scores]
    rate = sum(truth) / len(truth)
    naive = wilson(sum(judged), len(judged))
    assert not naive.low <= rate <= naive.high
    rng = random.Random(7)
    ppi = gladen = refused = 0
    for _ in range(500):
        few = set(rng.sample(range(len(truth)), 150))
        labels = [float(truth[i]) for i in few]
        labelled = [float(judged[i]) for i in few]
        rest = [float(judged[i]) for i in range(len(truth)) if i not in few]
        found = ppi_plus_plus(labels, labelled, rest)
        ppi += found.low <= rate <= found.high
        try:
            fixed = rogan_gladen(naive, calibrate([judged[i] for i in few], [truth[i] for i in few]))
        except NotCorrectable:
            refused += 1
        else:
            gladen += fixed.low <= rate <= fixed.high
    assert ppi / 500 >= 0.93
    assert refused < 250
    assert gladen / (500 - refused) >= 0.93


def test_p_values_and_intervals_tell_the_same_story() -> None:
    rng = random.Random(9)
    base = [rng.random() for _ in range(80)]
    candidate = [value - 0.05 + rng.gauss(0, 0.1) for value in base]
    found = difference(base, candidate)
    assert (found.high < 0) == (p_below(found, 0.0) < 0.025)


def _median_delay(*, before: int, good: float, bad: float, bound: float) -> float:
    rng = random.Random(41)
    delays: list[int] = []
    for _ in range(30):
        test = DropTest(bound).add(_coins(rng, good, before))
        delay = 0
        while not test.rejects(0.05) and delay < 3000:
            test.add(_coins(rng, bad, 1))
            delay += 1
        delays.append(delay)
    return sorted(delays)[15]


def _coins(rng: random.Random, rate: float, count: int) -> Sequence[float]:
    return [1.0 if rng.random() < rate else 0.0 for _ in range(count)]


def _oracle(name: str) -> Any:
    """A module of statsmodels; it warns of what its own dependencies deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)
