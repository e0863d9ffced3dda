import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.store.search.ranking import RankedSkill, collapse, dense_share, mix, rerank


def candidate(name, *, cosine=0.0, bm25=0.0, utility=None, uses=0, relevance=0.0, vector=None):
    made = RankedSkill(name, 1, name, "", utility, uses, np.array(vector or [1.0, 0.0], dtype=np.float32), cosine, bm25)
    made.relevance = relevance
    return made


def test_the_dense_share_falls_with_the_querys_length():
    assert dense_share("refund it") == pytest.approx(0.7)
    assert dense_share("word " * 35) == pytest.approx(0.5, abs=0.01)
    assert dense_share("word " * 500) == pytest.approx(0.3)


def test_each_side_is_scaled_by_its_best():
    one, two = candidate("a", cosine=0.8, bm25=2.0), candidate("b", cosine=0.4, bm25=8.0)
    mix([one, two], 0.5)

    assert (one.relevance, two.relevance) == (pytest.approx(0.5 + 0.125), pytest.approx(0.25 + 0.5))


def test_without_any_evidence_relevance_is_0():
    one = candidate("a", cosine=-0.2)
    mix([one], 0.5)

    assert one.relevance == 0


def test_utility_decides_between_equals_and_is_believed_with_use():
    good = candidate("good", relevance=0.5, utility=1.0, uses=90)
    bad = candidate("bad", relevance=0.5, utility=0.0, uses=90)
    lucky = candidate("lucky", relevance=0.5, utility=1.0, uses=1)

    assert [made.name for made in rerank([bad, lucky, good])][-1] == "bad"
    assert good.score > bad.score
    assert lucky.score - lucky.bonus < good.score - good.bonus


def test_what_was_never_tried_gets_a_small_bounded_chance():
    tried = candidate("tried", relevance=0.5, utility=0.5, uses=1000)
    new = candidate("new", relevance=0.48)

    assert [made.name for made in rerank([tried, new])] == ["new", "tried"]
    assert (new.rank_before, tried.rank_before) == (2, 1)
    assert new.bonus == 0.05


@given(st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 10**6))
def test_use_never_lifts_a_skill_over_a_clearly_more_relevant_one(utility, uses, others):
    relevant = candidate("relevant", relevance=0.7, utility=0.0, uses=others)
    popular = candidate("popular", relevance=0.5, utility=utility, uses=uses)

    assert rerank([popular, relevant])[0].name == "relevant"


def test_copies_are_collapsed_into_the_better_one():
    ranked = [
        candidate("best", vector=[1.0, 0.0]),
        candidate("copy", vector=[0.99, 0.141]),
        candidate("other", vector=[0.0, 1.0]),
        candidate("third", vector=[-1.0, 0.0]),
    ]
    kept = collapse(ranked, 2)

    assert [made.name for made in kept] == ["best", "other"]
    assert kept[0].copies == ["copy"]
