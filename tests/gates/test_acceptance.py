"""How much of what a checkpoint writes the gate takes, against its predecessor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import BASE_MODEL
from fakes import skill_text
from skill_plugin import Revision, Task
from skill_plugin.checkpoints import Acceptance, wilson_interval
from skill_plugin.gates.versions import paired_gate

both = pytest.mark.both_backends


def promote(store, *checkpoints):
    for one in checkpoints:
        store.checkpoints.promote(one.id, by="gate", reason="better")


@pytest.fixture
def wrote(store):
    """Has a checkpoint write so many versions, of which a gate takes some."""
    written = iter(range(10_000))

    def write(checkpoint, decided, accepted, *, by="evolve 1", model=BASE_MODEL, source=None):
        texts = [skill_text(f"skill-{next(written)}") for _ in range(decided)]
        revisions = [
            Revision(completion=one, text=one, model=model, checkpoint=checkpoint and checkpoint.id, source=source)
            for one in texts
        ]
        group = f"group-{next(written)}"
        staged = store.runs.stage(Task(group), revisions, run_id=group, group_id=group, generation=1, parent=None)
        for number, one in enumerate(staged):
            decision = paired_gate([0.0], [1.0 if number < accepted else 0.0])
            (store.promote if decision.promote else store.refuse)(one.skill.ref, by=by, decision=decision)
        return staged

    return write


@both
def test_only_what_a_gate_decided_of_its_own_writing_counts_once(store, register, wrote):
    one, two = register(), register()
    refused = wrote(one, 3, 1)[2]
    wrote(one, 4, 4, by="human")
    wrote(two, 2, 2)
    wrote(None, 5, 2)
    wrote(None, 5, 5, source="another system")
    assert store.checkpoints.acceptance(one.id) == Acceptance(3, 1)
    store.promote(refused.skill.ref, by="gate", decision=paired_gate([0.0], [1.0]))

    assert store.checkpoints.acceptance(one.id) == Acceptance(3, 2)
    assert (store.checkpoints.acceptance(two.id), store.checkpoints.acceptance(None)) == (
        Acceptance(2, 2),
        Acceptance(5, 2),
    )
    assert store.checkpoints.acceptance("ckpt_none") == Acceptance(0, 0)


@both
def test_a_live_one_that_is_clearly_worse_is_rolled_back_with_the_figures(store, register, wrote):
    one, two = register(), register()
    promote(store, one, two)
    wrote(one, 30, 20)
    wrote(two, 30, 6)
    gone = store.checkpoints.check_live(by="check")

    assert (gone.id, gone.status) == (two.id, "retired")
    assert store.checkpoints.live().id == one.id
    event = store.checkpoints.events(two.id)[-1]
    assert (event.kind, event.by) == ("rolled_back", "check")
    assert event.reason == f"the gate took 6 of 30 revisions (at most 37%), 20 of 30 of {one.id} (67%)"
    assert store.checkpoints.check_live(by="check") is None  # what it went back to has no decided predecessor


@pytest.mark.parametrize(
    ("before", "now", "options", "rolled_back"),
    [
        ((30, 20), (19, 0), {}, False),
        ((19, 19), (30, 0), {}, False),
        ((30, 20), (19, 0), {"min_decisions": 19}, True),
        ((30, 20), (30, 15), {}, False),
        ((200, 100), (400, 178), {}, False),
        ((200, 100), (400, 178), {"margin": 0.01}, True),
        ((30, 10), (30, 30), {}, False),
    ],
)
def test_chance_small_differences_and_few_decisions_roll_nothing_back(
    store, register, wrote, before, now, options, rolled_back
):
    one, two = register(), register()
    promote(store, one, two)
    wrote(one, *before)
    wrote(two, *now)

    assert (store.checkpoints.check_live(by="check", **options) is not None) == rolled_back
    assert store.checkpoints.live().id == (one.id if rolled_back else two.id)


def test_the_base_model_is_what_the_first_is_compared_with_and_no_chat_model(store, register, wrote):
    first = register()
    assert store.checkpoints.check_live(by="check") is None
    promote(store, first)
    wrote(first, 30, 6)
    wrote(None, 30, 30, model="openai:writer")
    assert store.checkpoints.check_live(by="check") is None
    wrote(None, 30, 20)

    assert store.checkpoints.check_live(by="check").id == first.id
    assert store.checkpoints.live() is None


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # the first three are those of Newcombe (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (5, 5, 0.5655, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilsons_interval(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 1000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilsons_interval_holds_the_share_and_mirrors(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)

    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low))
