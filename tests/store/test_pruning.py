"""Pruning that people dare to switch on: only on evidence or over capacity, never what is protected, always undone."""

import pytest

from fakes import skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import CapacityError, ConfigurationError
from skill_plugin.store.skills.pruning import eviction_score

pytestmark = pytest.mark.both_backends


def add(store, name, *, author="import"):
    skill = store.add_text(skill_text(name=name, description=f"How to add {name}"), author=author)
    return store.promote(skill.ref) if author == "generator" else skill


def use(store, name, reward, count, *, control=None, tag=""):
    skill = store.get(name)
    for number in range(count):
        task = Task(f"{name} {tag} {number}")
        rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)
        store.runs.record(task, [rollout], run_id=f"{name}-{tag}-{number}")
        if control is not None:
            other = Rollout(
                generation=0, answer="", arm="control", withheld=skill.ref, reward=control, passed=control >= 1
            )
            store.runs.record(task, [other], run_id=f"{name}-{tag}-{number}-control")


def decisions(store, **options):
    return {decision.name: (decision.action, decision.reason) for decision in store.prune(**options)}


def test_a_skill_without_lift_is_retired_after_three_audits_of_fresh_evidence(store):
    add(store, "useless")
    for audit in range(3):
        use(store, "useless", 0.5, 30 if not audit else 10, control=0.5, tag=str(audit))
        assert store.get("useless").status == "live"
        result = decisions(store)["useless"]

    assert result == ("retire", "lift +0.00 is not above 0 in 3 of 3 audits, 50 uses")
    assert store.get("useless").status == "retired"
    assert store.search("add useless") == []
    assert store.history("useless")[-1].kind == "retired"
    assert "3 of 3 audits" in store.history("useless")[-1].reason


def test_looking_three_times_at_the_same_evidence_is_one_audit(store):
    add(store, "useless")
    use(store, "useless", 0.5, 40, control=0.5)
    for _ in range(5):
        assert decisions(store)["useless"] == ("keep", "lift +0.00 is not above 0 in 1 of 3 audits, 40 uses")


def test_a_lift_in_between_starts_the_count_again(store):
    add(store, "late-bloomer")
    use(store, "late-bloomer", 0.5, 30, control=0.5, tag="a")
    decisions(store)
    use(store, "late-bloomer", 1.0, 30, control=0.0, tag="b")
    assert decisions(store)["late-bloomer"][0] == "keep"
    use(store, "late-bloomer", 0.0, 300, control=1.0, tag="c")

    assert decisions(store)["late-bloomer"] == ("keep", "lift -0.75 is not above 0 in 1 of 3 audits, 360 uses")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda store: use(store, "x", 0.0, 19, control=1.0), "only 19 uses, protected below 20"),
        (lambda store: use(store, "x", 0.0, 29, control=1.0), "only 29 uses, judged from 30"),
        (lambda store: use(store, "x", 0.0, 50), "no control rollouts to judge it by"),
        (lambda store: (use(store, "x", 0.0, 50, control=1.0), store.pin("x")), "pinned"),
        (lambda store: use(store, "x", 1.0, 50, control=0.0), "lift +1.00"),
    ],
)
def test_without_evidence_nothing_is_retired(store, prepare, reason):
    add(store, "x")
    prepare(store)
    for _ in range(4):
        assert decisions(store)["x"] == ("keep", reason)


def test_what_a_person_wrote_is_kept_unless_asked(store):
    add(store, "mine", author="human")
    use(store, "mine", 0.0, 50, control=1.0)

    assert decisions(store)["mine"] == ("keep", "written by a person")
    assert "1 of 3 audits" in decisions(store, include_human=True)["mine"][1]


def test_a_dry_run_shows_each_decision_and_changes_nothing(store):
    for name in ("a", "b", "c"):
        add(store, name)
        use(store, name, 0.5, 30, control=0.5)
    before = (store.list(), [store.history(name) for name in "abc"])
    for _ in range(4):
        shown = decisions(store, dry_run=True, capacity=2)

    assert [action for action, _ in shown.values()].count("retire") == 1
    assert (store.list(), [store.history(name) for name in "abc"]) == before
    assert decisions(store, capacity=2) == shown


def test_over_capacity_the_lowest_score_goes_first(store):
    for name, reward in (("good", 1.0), ("poor", 0.1), ("middling", 0.5)):
        add(store, name)
        use(store, name, reward, 25)

    shown = decisions(store, dry_run=True, capacity=2)
    assert shown["poor"] == ("retire", f"over capacity (3 of 2); score {eviction_score(0.1, 25, 75):.3f}")
    assert (shown["good"][0], shown["middling"][0]) == ("keep", "keep")


def test_the_score_is_utility_and_a_bonus_for_the_rarely_used():
    assert eviction_score(0.5, 0, 1000) > eviction_score(0.5, 100, 1000) > eviction_score(0.4, 100, 1000)
    assert eviction_score(None, 0, 0) == 0.5


def test_a_namespace_never_holds_more_than_its_capacity(open_store):
    store = open_store(capacity=3)
    for name in ("a", "b", "c"):
        add(store, name)
        use(store, name, 0.9 if name == "b" else 0.2, 25)
    store.pin("a")
    newcomer = add(store, "newcomer")

    assert [skill.name for skill in store.list("live")] == ["a", "b", "newcomer"]
    assert newcomer.status == "live"
    assert "over capacity" in store.history("c")[-1].reason


def test_a_namespace_full_of_protected_skills_says_so_and_stays_as_it_is(open_store):
    store = open_store(capacity=2)
    for name in ("a", "b"):
        add(store, name, author="human")

    with pytest.raises(CapacityError, match="holds 2 live skills, its capacity is 2") as caught:
        add(store, "c")
    assert "\n" not in str(caught.value)
    assert [skill.name for skill in store.list()] == ["a", "b"]
    store.retire("a")
    add(store, "c")
    with pytest.raises(CapacityError):
        store.restore("a")
    assert store.get("a").status == "retired"


def test_everything_retired_can_be_restored(store):
    skill = add(store, "x")
    use(store, "x", 0.7, 3)
    utility = store.get("x").utility
    store.retire("x", reason="a mistake")
    assert store.search("add x") == []
    restored = store.restore("x", reason="it was needed")

    assert (restored.status, restored.version, restored.utility, restored.uses) == ("live", 1, utility, 3)
    assert store.search("add x")[0].skill_id == skill.id
    assert [(event.kind, event.reason) for event in store.history("x")][-2:] == [
        ("retired", "a mistake"),
        ("restored", "it was needed"),
    ]


def test_what_was_never_live_is_restored_to_staged(store):
    store.add_text(skill_text(), author="generator")
    store.quarantine("adding", reason="it says to ignore its instructions")

    assert store.get("adding").status == "quarantined"
    assert store.restore("adding").status == "staged"


def test_a_quarantined_skill_is_found_by_nothing(store):
    add(store, "x")
    store.quarantine("x")

    for strategy in ("hybrid", "dense", "lexical"):
        assert store.search("add x", strategy=strategy, min_score=-1) == []
    assert store.prune() == []


def test_doing_it_twice_is_doing_it_once(store):
    add(store, "x")
    for _ in range(2):
        store.retire("x")
        store.pin("x")
    store.unpin("x")
    store.restore("x")
    store.restore("x")

    assert [event.kind for event in store.history("x")] == ["added", "retired", "pinned", "unpinned", "restored"]


def test_rollback_goes_to_the_parent_or_to_the_version_named(store, skill):
    for body in ("Two.", "Three."):
        store.revise("adding", body=body)
        store.promote("adding")

    assert store.rollback("adding").version == 2
    assert store.rollback("adding", version=3, reason="it was better").version == 3
    assert store.rollback("adding@1").version == 1
    assert [event.kind for event in store.history("adding")][-6:] == ["demoted", "rolled back"] * 3
    with pytest.raises(LookupError, match="no parent to go back to"):
        store.rollback("adding")


def test_a_negative_capacity_is_refused(store):
    with pytest.raises(ConfigurationError, match="capacity"):
        store.prune(capacity=-1)
