"""The experience channel: what a skill has passed makes it found by tasks like those, and only by those."""

import numpy as np
import pytest
from sqlmodel import select, text

from fakes import TopicEmbedder, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError
from skill_plugin.store.dumps.dump import dump, load
from skill_plugin.store.search import experience
from skill_plugin.store.search.experience import Experience
from skill_plugin.store.search.experience_rows import KEPT, ExperienceRow
from skill_plugin.store.tables import TaskEmbeddingRow

pytestmark = pytest.mark.both_backends

SHIPPED = Task("ship ship the parcels")
SHIP = "ship ship ship it"


@pytest.fixture
def library(store):
    """A skill whose description says nothing, beside one about something else."""
    store.add(name="careful-work", description="How to work with care", body="Take care.")
    store.add(name="add-numbers", description="How to add, add two numbers", body="Add.")
    return store


def use(store, task=SHIPPED, name="careful-work", passed=True, search=True, **more):
    if search:
        store.search(task.input)
    rollout = Rollout(generation=0, answer="", skill=store.get(name).ref, reward=float(passed), passed=passed, **more)
    store.runs.record(task, [rollout], run_id=f"{name}: {task.input}: {passed}")


def found(store, query=SHIP, **options):
    return [hit.name for hit in store.search(query, min_score=0.9, **options)]


def kept(store):
    with store.database.read() as session:
        rows = session.exec(select(ExperienceRow).order_by(ExperienceRow.created_at)).all()
        return [(row.skill_id, row.task_id) for row in rows]


def test_a_skill_is_found_by_what_it_has_passed(library):
    assert found(library) == []
    use(library)
    [hit] = library.search(SHIP, min_score=0.9)

    assert hit.name == "careful-work"
    assert (hit.why["nearest_task"], hit.why["experience"], hit.why["past"]) == (SHIPPED.id, 0.5, 1.0)
    assert hit.why["nearest_task_cosine"] > 0.95
    assert hit.why["dense"] < 0.9


def test_what_is_not_of_a_kind_still_finds_nothing(library):
    use(library)

    assert found(library, "refund, refund") == []
    assert library.search("refund, refund", min_score=0.9).reason.startswith("the nearest skill, ")


@pytest.mark.parametrize("use_of", [{"passed": False}, {"adherence": 0.0}, {"arm": "control"}, {"name": "retired-one"}])
def test_only_a_pass_that_followed_a_live_skill_counts(library, use_of):
    library.add(name="retired-one", description="How to refund", body="Refund.")
    use(library, **use_of)
    library.retire("retired-one")

    assert found(library) == []


def test_it_can_be_switched_off(library):
    use(library)

    assert found(library, experience=0) == []
    assert "past" not in library.search(SHIP, min_score=-1, experience=0)[0].why
    with pytest.raises(ConfigurationError, match=r"experience is 1\.5; give a number"):
        library.search(SHIP, experience=1.5)


def test_without_any_history_nothing_changes(library):
    def scores(**options):
        return [(hit.name, hit.score) for hit in library.search("add to it", min_score=-1, **options)]

    assert scores() == scores(experience=0)


def test_the_history_stays_when_a_new_version_goes_live(library):
    use(library)
    library.promote(library.revise("careful-work", description="How to sort, sort").ref)

    assert found(library) == ["careful-work"]
    assert found(library, instead="careful-work@1") == ["careful-work"]


def test_what_a_staged_version_passed_counts_once_it_is_live(library):
    wrote = Revision(
        completion="", text=skill_text("new-one", "How to do it"), prompt=({"role": "user", "content": "x"},)
    )
    [staged] = library.runs.stage(SHIPPED, [wrote], run_id="r", group_id="g", generation=1, parent=None)
    use(library, name="new-one", purpose="later")

    assert found(library) == found(library, instead=staged.skill.ref) == []
    library.promote(staged.skill.ref)
    assert found(library) == ["new-one"]


def test_a_held_out_task_that_judged_it_does_not_find_it_by_itself(library):
    use(library, purpose="gate")

    assert found(library) == []


def test_feedback_that_comes_later_counts(library):
    library.search(SHIPPED.input)
    answered = Rollout(generation=0, answer="", skill=library.get("careful-work").ref)
    library.runs.record(SHIPPED, [answered], run_id="r")
    assert found(library) == []
    library.record_outcome("r", 1.0)

    assert found(library) == ["careful-work"]


def test_the_newest_eight_kinds_of_task_are_kept(library):
    for number in range(KEPT + 2):
        use(library, Task(f"sort {number}"), search=False)  # no vectors, so they are not known to be alike

    assert kept(library) == [(library.get("careful-work").id, Task(f"sort {n}").id) for n in range(2, KEPT + 2)]


def test_a_task_like_one_that_is_there_is_left_out(library):
    use(library)
    use(library, Task("ship ship parcels"))
    use(library)

    assert [task for _, task in kept(library)] == [SHIPPED.id]


def test_the_model_is_not_asked_for_a_task_that_was_searched_for(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    store.add(name="careful-work", description="How to work with care", body="Take care.")
    use(store)
    embedder.calls.clear()

    assert found(store) == ["careful-work"]
    assert embedder.calls == [[SHIP]]


def test_tasks_without_a_vector_are_made_up_for_by_a_search_that_asks_the_model_anyway(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    store.add(name="careful-work", description="How to work with care", body="Take care.")
    use(store, search=False)
    embedder.calls.clear()
    store.search("sort")
    store.search("sort")
    assert embedder.calls == [["sort"]]
    assert found(store) == ["careful-work"]
    assert embedder.calls == [["sort"], [SHIP, SHIPPED.input]]
    assert open_store().search(SHIP, min_score=0.9)[0].name == "careful-work"
    assert len(embedder.calls) == 2


def test_a_search_does_not_wait_for_a_writer(library, open_store):
    use(library, search=False)
    library.search("sort")
    with open_store().database.write() as session:
        session.connection().execute(text("UPDATE skillp_namespace SET epoch = epoch"))
        assert found(library, "add, add") == ["add-numbers"]

    with library.database.read() as session:
        assert session.exec(select(TaskEmbeddingRow.task_id)).all() == []


def test_another_process_sees_it_at_its_next_search(library, open_store):
    other = open_store()
    assert found(other) == found(other) == []
    use(library)
    assert found(other) == ["careful-work"]
    use(library, Task("refund, refund"), name="add-numbers")
    assert found(other, "refund refund refund") == ["add-numbers"]


def test_another_namespace_has_a_history_of_its_own(library, open_store):
    other = open_store(namespace="other")
    other.add(name="careful-work", description="How to work with care", body="Take care.")
    use(library)

    assert found(other) == []
    library.erase(confirm=library.namespace)
    assert kept(other) == []


def test_it_is_embedded_anew_with_the_skills(library, open_store):
    use(library)
    other = open_store(embedder=TopicEmbedder("another"), check_embedder=False)
    other.reembed()

    assert found(other) == ["careful-work"]
    with other.database.read() as session:
        assert sorted(session.exec(select(TaskEmbeddingRow.signature)).all()) == ["another", "topics"]


def test_it_goes_with_a_dump(library, open_store, tmp_path):
    use(library)
    dump(library.database, tmp_path / "dump.gz")
    other = open_store(tmp_path / "other")
    load(other.database, tmp_path / "dump.gz")

    assert found(other) == ["careful-work"]
    assert load(other.database, tmp_path / "dump.gz") == {}


def test_of_many_skills_a_shorter_vector_chooses_the_right_ones(monkeypatch):
    """As many tasks of a hundred kinds as make it worth while; what the whole vectors say is nearest is found."""
    monkeypatch.setattr(experience, "EXACT", 100)
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((100, 96))
    rows = []
    for number in range(1000):
        for at in range(4):
            vector = kinds[number % 100] + 0.3 * rng.standard_normal(96)
            rows.append((f"sk_{number}", f"{number}-{at}", (vector / np.linalg.norm(vector)).astype("<f4").tobytes()))
    memory = Experience("default")
    memory._load(rows)
    query = np.frombuffer(rows[40][2], "<f4")
    cosines = {row[1]: float(np.frombuffer(row[2], "<f4") @ query) for row in rows}
    nearest = sorted(
        {name.split("-")[0]: value for name, value in sorted(cosines.items(), key=lambda one: one[1])}.items(),
        key=lambda one: -one[1],
    )

    assert memory.nearest(query, 5, least=0.5) == [f"sk_{number}" for number, _ in nearest[:5]]
    assert memory.of(query, ["sk_10", "sk_none"]) == {"sk_10": ("10-0", pytest.approx(1.0))}


def test_ngrams_go_by_the_words_that_tasks_have_in_common(library):
    use(library, Task("Please ship the green parcels to Oslo"))
    use(library, Task("Add the green numbers"), name="add-numbers")
    hits = library.search("ship green parcels to Turin", strategy="query-ngram")

    assert [hit.name for hit in hits] == ["careful-work", "add-numbers"]
    assert hits[0].why["nearest_task"] == Task("Please ship the green parcels to Oslo").id
    assert library.search("refund", strategy="query-ngram").reason == "no live skill has served a task like this one"


def test_a_task_that_was_passed_without_a_search_does_not_break_the_next_one(library):
    found(library)  # from here on it follows changes one by one
    use(library, search=False)

    assert found(library) == []
    library.search("anything else")  # its vector is made with that of a new query
    assert found(library) == ["careful-work"]
