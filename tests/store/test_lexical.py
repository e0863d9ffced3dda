import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.store.search.lexical import K1, B, Lexicon, terms, top

TEXTS = {"a": "refund the duplicate charge", "b": "sort charges by date", "c": "ship a parcel abroad, ship it fast"}


def test_terms_are_stemmed_words_without_the_common_ones():
    assert terms("The Charges were charged; callAPI call_api ERR-4711") == [
        "charg", "charg", "call", "api", "call", "api", "err", "4711",
    ]  # fmt: skip


def by_hand(query, text, texts):
    """Okapi BM25 as it is printed in books, one term at a time."""
    documents = {key: terms(value) for key, value in texts.items()}
    average = sum(map(len, documents.values())) / len(documents)
    words, score = documents[text], 0.0
    for term in dict.fromkeys(terms(query)):
        containing = sum(term in document for document in documents.values())
        idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
        often = words.count(term)
        score += idf * often * (K1 + 1) / (often + K1 * (1 - B + B * len(words) / average))
    return score


@pytest.mark.parametrize("query", ["charge", "ship ship parcels", "a duplicate date", "unknown words only", "the"])
def test_scores_are_bm25(query):
    lexicon = Lexicon().changed(TEXTS)
    scores, _ = lexicon.scores(query)

    assert scores.tolist() == pytest.approx([by_hand(query, key, TEXTS) for key in lexicon.ids], rel=1e-5)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text("xyz ", max_size=12), st.booleans()), max_size=12))
def test_changes_one_by_one_are_the_same_as_all_at_once(changes):
    lexicon, texts = Lexicon(), {}
    for key, text, remove in changes:
        if remove:
            texts.pop(key, None)
            lexicon = lexicon.changed({}, [key])
        else:
            texts[key] = text
            lexicon = lexicon.changed({key: text})
    fresh = Lexicon().changed(texts)

    assert sorted(lexicon.ids) == sorted(texts)
    for query in ("x", "xyz zz", "y x"):
        one = dict(zip(lexicon.ids, lexicon.scores(query)[0].tolist(), strict=True))
        two = dict(zip(fresh.ids, fresh.scores(query)[0].tolist(), strict=True))
        assert one == pytest.approx(two)


def test_coverage_is_the_share_of_the_querys_weight():
    lexicon = Lexicon().changed(TEXTS)
    _, possible = lexicon.scores("refund ERR-4711")

    assert lexicon.coverage("refund", "a", lexicon.scores("refund")[1]) == pytest.approx(1)
    assert 0 < lexicon.coverage("refund ERR-4711", "a", possible) < 0.5
    assert lexicon.coverage("refund", "b", lexicon.scores("refund")[1]) == 0


def test_top_leaves_out_what_has_no_word_in_common():
    assert top(np.array([0.0, 2.0, 1.0], dtype=np.float32), 5) == [1, 2]
    assert top(np.zeros(0, dtype=np.float32), 5) == []
    assert len(Lexicon().scores("anything")[0]) == 0
