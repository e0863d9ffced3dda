"""How often a gate looks, and how sure it must be each time."""

import numpy as np
import pytest

from skill_plugin.gates.bootstrap import _student, interval
from skill_plugin.gates.looks import ALPHA, Look, is_hopeless, plan_looks


@pytest.mark.parametrize(
    ("texts", "most", "drawn"),
    [(2, 2, [2]), (2, 8, [2, 4, 8]), (2, 5, [2, 4, 5]), (3, 8, [3, 6, 8]), (4, 1, [4]), (1, 16, [1, 2, 4, 8, 16])],
)
def test_each_look_has_twice_the_texts_and_together_they_spend_what_one_may(texts, most, drawn):
    looks = plan_looks(texts, most)

    assert [look.texts for look in looks] == drawn
    assert looks[-1].share == 1
    assert sum(look.tail for look in looks) == pytest.approx(ALPHA)
    assert all(0 < look.tail <= ALPHA for look in looks)


def test_early_looks_ask_for_more():
    first, second, last = plan_looks(2, 8)

    assert (first.share, second.share) == (0.25, 0.5)
    assert first.tail < second.tail < last.tail
    gains = np.array([[gain, 1.0] for gain in (0.5, 0.1, -0.2, 0.4, 0.3, 0.0, 0.2)])
    ends = [interval(gains, lambda sums: float(sums[0] / sums[1]), tail=look.tail) for look in (first, second, last)]
    assert ends[0][0] < ends[1][0] < ends[2][0]
    assert ends[0][1] > ends[1][1] > ends[2][1]


def test_looking_again_promotes_no_more_often_by_chance():
    """The same draws, looked at three times and once, in normal figures. Texts of one task may differ by any share between tasks."""
    looks, rng = plan_looks(2, 8), np.random.default_rng(0)
    for between in (0.0, 0.3):
        texts = between * rng.normal(size=(4000, 40, 1)) + rng.normal(size=(4000, 40, 8))
        means = [texts[:, :, : look.texts].mean(2) for look in looks]
        scores = [mean.mean(1) / mean.std(1, ddof=1) * 40**0.5 for mean in means]
        needed = [_student(39, look.tail) for look in looks]
        promoted = np.any([score > at for score, at in zip(scores, needed, strict=True)], axis=0)
        assert 0.005 < promoted.mean() < ALPHA + 0.005  # two standard errors of 4,000 draws


def test_no_more_is_drawn_where_the_last_look_would_hardly_see_a_gain():
    now, last = Look(2, 0.25, 0.0015625), Look(8, 1.0, 0.01875)

    assert is_hopeless([0.1], now, last)
    assert is_hopeless([0.0] * 9, now, last)
    assert is_hopeless([0.3, -0.5, 0.1, -0.2], now, last)
    assert is_hopeless([0.5, -0.5] * 10 + [0.1], now, last)
    assert not is_hopeless([0.2, -0.1] * 10, now, last)
    assert not is_hopeless([0.1] * 9, now, last)
