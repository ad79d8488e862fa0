"""The bound on wrong hits: known answers, validity under peeking, and what makes it open, pause and close."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spanledger_evaluators.stats.certificate import Certifier, Check, grid
from spanledger_evaluators.stats.judge_error import ASSUMED_NOTICES, measure
from spanledger_evaluators.stats.pooling import Pool
from spanledger_evaluators.stats.wrong_rate import (
    PERFECT,
    Notice,
    gains,
    log_evidence,
    log_excess,
    lower_bound,
    needed,
    upper_bound,
)

GRID = grid(0.7)
RIGHT = Check(0.99, wrong=False)
WRONG = Check(0.99, wrong=True)


def fed(certifier: Certifier, check: Check, times: int) -> Certifier:
    for _ in range(times):
        certifier.add(check)
    return certifier


def test_one_percent_takes_about_three_hundred_faultless_checks_and_more_with_every_fault() -> None:
    gained, limit = gains(0.01), math.log(20)
    faultless = needed(np.zeros(3, dtype=np.int64), gained, limit)
    assert 299 <= faultless <= 400  # 299 is what a single look at a fixed number would need
    assert needed(np.array([1, 0, 0]), gained, limit) > 1.5 * faultless


def test_the_bound_is_the_rate_whose_evidence_is_just_enough() -> None:
    bound = upper_bound(2, 998, 0, 0.05)
    assert float(log_evidence(np.array([2, 998, 0]), gains(bound))) == pytest.approx(math.log(20), abs=1e-3)
    assert 0.002 < bound < 0.012
    assert upper_bound(0, 0, 0, 0.05) == 1.0


@pytest.mark.parametrize("judge", [PERFECT, Notice(0.9, 0.02)])
def test_evidence_expects_nothing_where_the_rate_is_just_allowed(judge: Notice) -> None:
    """The mean of what one check multiplies each bet by is 1 at the null, and below it beyond."""
    for true in (0.05, 0.2, 1.0):
        called = true * judge.notices + (1 - true) * judge.alarms
        factors = np.exp(gains(0.05, judge))
        mean = called * factors[0] + (1 - called) * factors[1]
        assert (mean <= 1 + 1e-9).all()
        assert true > 0.05 or mean == pytest.approx(np.ones(16))


def test_looking_after_every_check_hardly_ever_certifies_what_is_wrong_too_often() -> None:
    rng = np.random.default_rng(1)
    called = rng.random((1000, 800)) < 0.05
    wrong = called.cumsum(axis=1)
    n = np.arange(1, 801)
    counts = np.stack([wrong, n - wrong, np.zeros_like(wrong)], axis=-1)
    ever = (log_evidence(counts, gains(0.05)) >= math.log(20)).any(axis=1)
    assert ever.mean() <= 0.05


def test_a_judge_that_errs_widens_the_bound_and_what_is_known_of_its_alarms_narrows_it_again() -> None:
    perfect = upper_bound(30, 970, 0, 0.05)
    assert upper_bound(30, 970, 0, 0.05, Notice(0.9)) > perfect
    assert upper_bound(30, 970, 0, 0.05, Notice(0.9, 0.02)) < perfect


def test_lower_bounds_stay_below_the_rate() -> None:
    assert 0.01 < lower_bound(30, 970, 0.05) < 0.03
    assert lower_bound(0, 100, 0.05) == 0.0
    assert log_excess(5, 5, 0.05) > math.log(20) > log_excess(1, 30, 0.05)


def test_a_judge_is_measured_only_with_enough_labels() -> None:
    unknown = measure([])
    assert (unknown.bounds.notices, unknown.bounds.alarms) == (ASSUMED_NOTICES, 0)
    assert not unknown.measured
    assert unknown.alarm_rate is None
    blind = measure([(False, True)] * 5)
    assert blind.bounds.notices < 0.5  # contradicted by the few there are
    known = measure([(True, True)] * 97 + [(False, True)] * 3 + [(True, False)] * 12 + [(False, False)] * 388)
    assert known.measured
    assert 0.8 < known.bounds.notices < 0.97
    assert 0 < known.bounds.alarms < 0.03
    assert known.alarm_rate == pytest.approx(0.03)


def test_a_judge_that_errs_as_often_as_is_allowed_forbids_opening() -> None:
    judge = measure([(True, False)] * 12 + [(False, False)] * 388)
    assert "judge" in judge.forbids(0.03)
    assert judge.forbids(0.05) == ""


def test_a_tier_opens_after_as_many_right_checks_as_it_said() -> None:
    certifier = Certifier(allowed=0.05, thresholds=GRID)
    missing = certifier.certificate().needed
    fed(certifier, RIGHT, missing - 1)
    assert certifier.certificate().threshold is None
    assert certifier.certificate().needed == 1
    certifier.add(RIGHT)
    opened = certifier.certificate()
    assert opened.threshold is not None
    assert opened.bound <= 0.05


def test_only_similarities_with_checks_are_served() -> None:
    certifier = Certifier(allowed=0.05, thresholds=GRID)
    rng = np.random.default_rng(2)
    for similarity in rng.uniform(0.7, 1.0, 2000):
        certifier.add(Check(float(similarity), wrong=bool(similarity < 0.85)))
    threshold = certifier.certificate().certified
    assert threshold is not None
    assert 0.83 <= threshold <= 0.9


def test_one_wrong_hit_pauses_and_right_checks_lift_the_pause() -> None:
    certifier = fed(Certifier(allowed=0.05, thresholds=GRID), RIGHT, 400)
    served = certifier.threshold()
    assert served is not None
    certifier.add(Check(served, wrong=True))
    assert certifier.threshold() != served
    assert certifier.certified() is not None
    paused = certifier.certificate()
    fed(certifier, RIGHT, 30)
    assert certifier.threshold() == served
    assert paused.threshold is None or paused.threshold > served


def test_wrong_hits_close_the_tier_however_long_it_was_good() -> None:
    certifier = fed(Certifier(allowed=0.05, thresholds=GRID), RIGHT, 1500)
    checks = 0
    while certifier.certified() is not None:
        certifier.add(WRONG if checks % 4 == 0 else RIGHT)
        checks += 1
    assert checks < 60
    assert certifier.certificate().needed > 0


def test_sure_checks_count_without_the_judges_credit() -> None:
    judge = Notice(0.9, 0.02)
    sure, judged = (Certifier(allowed=0.05, thresholds=GRID, judge=judge) for _ in range(2))
    fed(sure, Check(0.99, wrong=False, sure=True), 50)
    fed(judged, RIGHT, 50)
    assert sure.certificate().needed > judged.certificate().needed


def test_audits_grow_rare_as_right_hits_are_served() -> None:
    certifier = fed(Certifier(allowed=0.05, thresholds=GRID), RIGHT, 200)
    assert certifier.audit_share(0.05) == 1.0  # nothing was served yet, so no room was earned
    fed(certifier, Check(0.99, wrong=False, stands_for=10), 300)
    assert certifier.audit_share(0.05) == 0.05
    for _ in range(8):
        certifier.add(Check(0.99, wrong=True, stands_for=20))
    assert certifier.audit_share(0.05) > 0.05


def test_what_was_stored_is_the_same_evidence() -> None:
    pool = Pool(allowed=0.05, thresholds=GRID)
    for number in range(500):
        pool.add("other" if number % 9 else "bad", Check(0.95, wrong=number % 9 == 0))
    again = Pool(allowed=0.05, thresholds=GRID)
    again.restore(pool.state())
    assert again.certificate() == pool.certificate()
    assert again.apart.keys() == pool.apart.keys() == {"bad"}
    with pytest.raises(ValueError, match="shape"):
        Certifier(allowed=0.05, thresholds=GRID[:5]).restore(pool.together.state())


def test_a_partition_unlike_the_others_leaves_the_pool_and_the_rest_opens() -> None:
    pool = Pool(allowed=0.05, thresholds=GRID)
    rng = np.random.default_rng(3)
    for _ in range(1500):
        who = str(rng.integers(6))
        pool.add(
            who, Check(float(rng.uniform(0.8, 1)), wrong=bool(rng.random() < (0.3 if who == "0" else 0.002)))
        )
    assert list(pool.apart) == ["0"]
    assert pool.threshold("0") is None
    assert pool.certified("1") is not None


def test_a_grid_says_what_it_cannot_span() -> None:
    assert grid(0.7)[0] == 0.98
    assert grid(0.7)[-1] == 0.7
    with pytest.raises(ValueError, match="lowest similarity"):
        grid(0.99)
