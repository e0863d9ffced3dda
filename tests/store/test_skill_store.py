import pytest

from fakes import TopicEmbedder, skill_text
from skill_plugin.errors import (
    ConfigurationError,
    DuplicateSkillError,
    EmbedderMismatchError,
    InvalidSkillError,
    NamespaceError,
    SkillNotFoundError,
    StoreUnavailableError,
)
from skill_plugin.gates.versions import paired_gate
from skill_plugin.store import SkillStore

pytestmark = pytest.mark.both_backends


def add(store, name="adding", description="How to add numbers", body="Use your fingers."):
    return store.add(name=name, description=description, body=body)


def kinds(store, name):
    return [(event.kind, event.version, event.by) for event in store.history(name)]


def test_what_a_person_adds_is_live_at_once(store):
    skill = add(store)

    assert (skill.name, skill.version, skill.status, skill.utility, skill.uses) == ("adding", 1, "live", None, 0)
    assert skill.ref == f"{skill.id}@1"
    assert store.get("adding") == store.get(skill.id) == store.get(skill.ref) == skill
    assert store.list() == store.list("live") == [skill]
    assert kinds(store, "adding") == [("added", 1, "human")]


def test_what_a_generator_adds_is_staged(store):
    skill = store.add_text(skill_text(), author="generator")

    assert (skill.status, skill.live_version, skill.trust) == ("staged", None, "unvetted")
    assert store.search("add") == []
    assert store.list("staged") == [skill]


def test_a_skills_text_is_kept_to_the_letter(store):
    text = "---\nname: adding\ndescription:   How to add\nlicense: MIT\nx-own: {a: 1}\n---\n\n\n# Add\n\nbody\n\n"

    assert store.add_text(text).text == text


def test_a_revision_is_a_new_immutable_version_that_waits(store):
    first = add(store)
    second = store.revise("adding", body="Use a machine.")

    assert (second.version, second.status, second.parent, second.generation) == (2, "staged", 1, 1)
    assert store.get("adding") == first
    assert "machine" in second.text
    assert "machine" not in store.search("add")[0].text
    assert kinds(store, "adding") == [("added", 1, "human"), ("revised", 2, "human")]


def test_a_promoted_version_is_found_and_the_one_before_is_retired(store):
    add(store)
    store.revise("adding", body="Use a machine.", description="How to add or to refund")
    promoted = store.promote("adding")

    assert (promoted.version, promoted.status, promoted.live_version) == (2, "live", 2)
    assert [(version.number, version.status) for version in store.versions("adding")] == [(1, "retired"), (2, "live")]
    assert store.search("refund")[0].version == 2
    assert store.get("adding@1").status == "retired"


def test_going_back_is_a_promotion(store):
    add(store)
    store.revise("adding", body="Use a machine.")
    store.promote("adding@2")
    store.promote("adding", version=1)

    assert store.get("adding").version == 1
    assert [kind for kind, _, _ in kinds(store, "adding")] == ["added", "revised", "promoted", "promoted"]


def test_promoting_what_is_live_changes_nothing(store):
    add(store)
    store.promote("adding@1")

    assert kinds(store, "adding") == [("added", 1, "human")]


def test_a_refused_version_stays_staged_with_the_reason(store):
    add(store)
    store.revise("adding", body="Guess.")
    refused = store.refuse("adding@2", decision=paired_gate([1], [0]))

    assert refused.status == "staged"
    event = store.history("adding")[-1]
    assert (event.kind, event.by, event.evidence["regressions"]) == ("refused", "gate", 1)
    assert "regressed" in event.reason


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda store: add(store), DuplicateSkillError, "exists in namespace"),
        (lambda store: add(store, name=""), InvalidSkillError, "needs a name"),
        (lambda store: add(store, name="Adding Up"), InvalidSkillError, "breaks the SKILL.md rules"),
        (lambda store: add(store, name="x", description=" "), InvalidSkillError, "needs a description"),
        (lambda store: add(store, name="x", body=""), InvalidSkillError, "needs a body"),
        (lambda store: add(store, name="x", body="x" * 70_000), InvalidSkillError, "the limit is 65536"),
        (
            lambda store: store.revise("adding", body="Use your fingers."),
            InvalidSkillError,
            "same as 'adding' version 1",
        ),
        (lambda store: store.revise_text("adding", skill_text(name="other")), InvalidSkillError, "keep the name"),
        (lambda store: store.revise("addin", body="x"), SkillNotFoundError, "did you mean 'adding'"),
        (lambda store: store.get("nothing like it"), SkillNotFoundError, "skills list"),
        (lambda store: store.get("adding@7"), SkillNotFoundError, "no version 7; it has 1 to 1"),
        (lambda store: store.promote("adding@7"), SkillNotFoundError, "no version 7"),
        (lambda store: store.list("dead"), ConfigurationError, "staged, live, retired, quarantined"),
        (lambda store: store.search(""), ConfigurationError, "query is empty"),
        (lambda store: store.search("add", k=0), ConfigurationError, "from 1 to 20"),
        (lambda store: store.search("add", k=21), ConfigurationError, "from 1 to 20"),
    ],
)
def test_bad_input_is_told_in_one_line_and_changes_nothing(store, change, error, says):
    before = add(store)

    with pytest.raises(error, match=says) as caught:
        change(store)

    assert "\n" not in str(caught.value)
    assert store.list() == [before]
    assert len(store.history("adding")) == len(store.versions("adding")) == 1


def test_search_orders_by_nearness_and_leaves_out_what_is_far(store):
    add(store)
    add(store, "refunds", "How to refund a charge")
    add(store, "refund-adding", "How to refund and add")

    hits = store.search("refund a customer", k=3, min_score=0)
    assert [hit.name for hit in hits] == ["refunds", "refund-adding", "adding"]
    assert hits[0].score > hits[1].score > hits[2].score
    assert [hit.name for hit in store.search("refund", k=1)] == ["refunds"]
    assert [hit.name for hit in store.search("refund", min_score=0.95, strategy="dense")] == ["refunds"]


def test_what_was_learned_survives_the_process(open_store, backend):
    with SkillStore.open(**backend.options(), embedder=TopicEmbedder()) as store:
        add(store)
    assert [hit.name for hit in open_store().search("add")] == ["adding"]


def test_tenants_never_see_each_other(open_store, home):
    ours, theirs = open_store(namespace="ours"), open_store(namespace="theirs")
    mine = add(ours)
    other = add(theirs, body="Theirs.")

    assert [hit.skill_id for hit in ours.search("add")] == [mine.id]
    assert [hit.skill_id for hit in theirs.search("add")] == [other.id]
    assert ours.list() == [mine]
    for look in (ours.get, ours.history, ours.versions, ours.promote):
        with pytest.raises(SkillNotFoundError, match="namespace 'ours'"):
            look(other.id)


@pytest.mark.parametrize("namespace", ["", None, " x"])
def test_a_missing_namespace_is_an_error(open_store, home, namespace):
    with pytest.raises(NamespaceError):
        open_store(namespace=namespace)
    assert not home.exists()


def test_an_unknown_namespace_is_an_error_where_nothing_may_be_made(open_store):
    add(open_store(namespace="known"))

    with pytest.raises(NamespaceError, match=r"no namespace 'nown' .* known are known"):
        open_store(namespace="nown", create=False)
    with pytest.raises(NamespaceError, match="no namespace"):
        open_store(namespace="nown", create=False)


def test_a_missing_store_is_an_error_where_nothing_may_be_made(open_store, tmp_path):
    with pytest.raises(StoreUnavailableError, match="no store at"):
        open_store(tmp_path / "none", create=False)
    assert not tmp_path.joinpath("none").exists()


def test_vectors_of_two_embedders_never_mix(open_store):
    add(open_store(embedder=TopicEmbedder("one")))

    with pytest.raises(EmbedderMismatchError, match="made with 'one', not with 'two'") as caught:
        open_store(embedder=TopicEmbedder("two"))
    assert "skill-plugin reindex" in str(caught.value)
    later = open_store(embedder=TopicEmbedder("two"), check_embedder=False)
    for use in (lambda: add(later, "other"), lambda: later.search("add"), lambda: later.revise("adding", body="x")):
        with pytest.raises(EmbedderMismatchError):
            use()
    assert [skill.name for skill in later.list()] == ["adding"]


@pytest.mark.parametrize("vector", [[0.0] * 4, [float("nan")] * 4, [float("inf"), 0, 0, 0]])
def test_a_vector_without_a_direction_is_refused(open_store, vector):
    embedder = TopicEmbedder()
    embedder.embed = lambda texts: [vector for _ in texts]

    with pytest.raises(ConfigurationError, match="without a direction"):
        add(open_store(embedder=embedder))


def test_the_same_query_is_embedded_once(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    add(store)
    embedder.calls.clear()
    for _ in range(3):
        store.search("add things")

    assert embedder.calls == [["add things"]]


def test_minilm_finds_what_is_meant_not_what_is_written(open_store, minilm):
    store = open_store(embedder=minilm)
    add(store, "refund-duplicates", "How to refund a customer who was charged twice")
    add(store, "ship-abroad", "How to send parcels to other countries")
    add(store, "sort-lists", "How to order values in Python")

    assert store.search("money back for a double payment")[0].name == "refund-duplicates"
    assert store.search("deliver a package to Japan")[0].name == "ship-abroad"
    assert store.search("the mating dance of the albatross") == []
