"""What the next tasks said of a text: what `evolve` noted of it comes back with its history, on both databases."""

import pytest

from lineages import in_evolve, noted, written
from skill_plugin import Rollout, Task
from skill_plugin.credit import Credit
from skill_plugin.graphs.evolution.variants import Variant
from skill_plugin.histories.worth import Later

pytestmark = pytest.mark.both_backends

FIRST, SECOND, THIRD = (Task(f"add {number}", family="sums", split="train") for number in range(3))
ON_SECOND = Later(SECOND.content_hash, (1.0, 0.0), before=(0.5,), none=(0.0,), used=0.5)
ON_THIRD = Later(THIRD.content_hash, (1.0,), before=(0.25,))


def told(store, of=FIRST):
    """`later` of the revisions of a task."""
    rows = [row for row in store.histories.rows() if row["kind"] == "revision" and row["task_id"] == of.id]
    return [[Later(**{**one, **{name: tuple(one[name]) for name in ("rewards", "before", "none")}}) for one in row["later"]]
            for row in rows]  # fmt: skip


def test_what_siblings_said_comes_back_with_the_text(store, skill):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)], parent=skill.ref)
    noted(store, FIRST, ref, ON_SECOND, ON_THIRD)
    noted(store, FIRST, ref, ON_SECOND)  # an evolve that is resumed notes it once

    assert told(store) == [[ON_SECOND, ON_THIRD]]


def test_a_text_that_nobody_tried_on_a_sibling_says_so(store):
    in_evolve(store, FIRST, [written(1)], [(1.0,)])

    assert told(store) == [[]]


def test_what_another_evolve_noted_is_not_told(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    noted(store, FIRST, ref, ON_SECOND, evolve="ev_2")

    assert told(store) == [[]]


def test_a_text_that_two_lineages_wrote_is_judged_on_the_siblings_of_each(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    assert in_evolve(store, SECOND, [written(1)], [(1.0,)]) == [ref]
    noted(store, FIRST, ref, ON_SECOND)
    noted(store, SECOND, ref, ON_THIRD)

    assert [told(store, of) for of in (FIRST, SECOND)] == [[[ON_SECOND]], [[ON_THIRD]]]


def test_another_namespace_has_its_own(open_store):
    one, other = open_store(), open_store(namespace="other")
    for store in (one, other):
        [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    noted(other, FIRST, ref, ON_SECOND)

    assert (told(one), told(other)) == ([[]], [[ON_SECOND]])


@pytest.mark.parametrize(
    ("adherence", "used", "worth"), [((None, None), None, 1.0), ((0.5, 0.25), 0.5, 1.5), ((0.0, 0.0), 0.0, 1.0)]
)
def test_only_rollouts_that_followed_the_text_used_it_and_earn_the_bonus(adherence, used, worth):
    def rollout(ref, adherence):
        return Rollout(generation=1, answer="", skill=ref, reward=1.0, passed=True, adherence=adherence)

    # The second sibling was shown another text, which it followed.
    later = {one.id: [rollout(ref, each) for ref, each in (("sk@1", adherence[at]), ("sk@2", 1.0))]
             for at, one in enumerate((SECOND, THIRD))}  # fmt: skip
    text = {"ref": "sk@1", "name": "adding", "text": "", "score": None, "why": {}}
    variant = Variant(text, 1, [rollout("sk@1", 1.0)], later)
    credit = Credit(0.5, 0.5)
    evidence = variant.evidence(FIRST, credit, variant, {})

    assert (variant.worth(credit), evidence["worth"]) == (worth, worth)
    judged = [one["used"] for one in evidence["later"] if one["used"] is not None]
    assert (sum(judged) / len(judged) if judged else None) == used
