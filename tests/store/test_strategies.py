"""Strategies of search as objects: the store's own by name, and those of users."""

import pytest

from fakes import skill_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import create_skill_graph, evolve, retrieve_node
from skill_plugin.graphs.evolution.settings import EvolveSettings
from skill_plugin.store import STRATEGIES, Draft, Retrieval


class Backwards:
    """The least alike first."""

    def __init__(self):
        self.lookups = []

    def rank(self, lookup):
        self.lookups.append((lookup.query, lookup.family))
        skills = lookup.skills()
        for one in skills:
            one.relevance = (1 - one.cosine) / 2
            one.extra["turned"] = True
        return skills


@pytest.fixture
def library(store):
    for name, about in (("adding", "How to add numbers"), ("shipping", "How to ship a parcel")):
        store.add_text(skill_text(name, about, f"{about}, in steps."))
    return store


def test_an_object_ranks_and_the_store_does_the_rest(library):
    own = Backwards()
    hits = library.search("How to add numbers", k=2, strategy=own, family="sums")

    assert [hit.name for hit in hits] == ["shipping", "adding"]
    assert (hits[0].why["strategy"], hits[0].why["turned"], hits[0].text) == (
        "Backwards",
        True,
        library.get("shipping").text,
    )
    assert own.lookups == [("How to add numbers", "sums")]


def test_a_name_of_ones_own_is_as_good_as_ours(library, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "backwards", Backwards())

    assert library.search("How to add numbers", k=1, strategy="backwards")[0].name == "shipping"
    settings = EvolveSettings(strategy="backwards")
    assert (settings.deciding()["strategy"], EvolveSettings(strategy=Backwards()).deciding()["strategy"]) == (
        "backwards", "Backwards",
    )  # fmt: skip


def test_what_is_not_live_cannot_be_ranked_and_a_draft_can(library):
    library.retire("shipping")
    drafted = skill_text("sailing", "How to sail", "Sail.")

    assert [hit.name for hit in library.search("add", strategy=Backwards())] == ["adding"]
    found = library.search("add", k=3, strategy=Backwards(), instead=Draft(drafted))
    assert {hit.name for hit in found} == {"adding", "sailing"}


def test_a_relevance_of_0_is_no_hit(library):
    class Nothing:
        def rank(self, lookup):
            return lookup.skills(lookup.nearest())

    found = library.search("How to add numbers", strategy=Nothing())
    assert (list(found), found.reason) == ([], "the strategy 'Nothing' finds none")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda skills: ["adding"], "'adding'"),
        (lambda skills: [_with(skills[0], 2.0)], "a relevance of 2.0"),
        (lambda skills: [_with(skills[0], float("nan"))], "a relevance of nan"),
    ],
)
def test_what_a_strategy_returns_is_checked(library, returned, said):
    class Wrong:
        def rank(self, lookup):
            return returned(lookup.skills())

    with pytest.raises(ConfigurationError, match=f"the strategy 'Wrong' returned {said}"):
        library.search("add", strategy=Wrong())


def _with(skill, relevance):
    skill.relevance = relevance
    return skill


@pytest.mark.parametrize("wrong", ["nearest", object(), None, 3])
def test_what_is_not_a_strategy_is_refused_where_it_is_given(library, wrong):
    for make in (
        lambda: library.search("add", strategy=wrong),
        lambda: Retrieval(strategy=wrong),
        lambda: retrieve_node(library, strategy=wrong),
        lambda: create_skill_graph(store=library, llm=lambda _: "", strategy=wrong),
        lambda: EvolveSettings(strategy=wrong),
    ):
        with pytest.raises(ConfigurationError, match="use one of hybrid, dense"):
            make()


def test_one_object_gives_all_options_and_keywords_go_before_it(library):
    own = Backwards()
    node = retrieve_node(library, retrieval=Retrieval(k=2, strategy=own), k=1)
    found = node.invoke({"messages": [("user", "How to add numbers")], "task": "How to add numbers"})

    assert [skill["name"] for skill in found["skillp_skills"]] == ["shipping"]
    assert Retrieval.of({"retrieval": Retrieval(k=3), "min_score": 0.5}) == Retrieval(k=3, min_score=0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k is 0; give a whole number from 1 to 20"),
        ({"k": True}, "k is True"),
        ({"experience": 2}, "experience is 2; give a number from 0 to 1"),
        ({"min_score": float("nan")}, "min_score is nan; give a number"),
        ({"control_share": None}, "control_share is None; give a number from 0 to 1"),
    ],
)
def test_options_out_of_their_range_are_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        Retrieval(**options)


def test_an_option_that_does_not_exist_is_a_type_error(library):
    for make in (lambda: retrieve_node(library, min_scores=1), lambda: evolve([], min_scores=1)):
        with pytest.raises(TypeError, match="min_scores"):
            make()
