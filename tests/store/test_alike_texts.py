"""Skills of one template: where an approximate index cannot tell them apart, search compares with every vector."""

import random

import pytest

from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore

TEMPLATE = "Automate {} tasks via the connector hub (Acme). Always search tools first for current schemas."
SYLLABLES = [
    "ba",
    "be",
    "bi",
    "bo",
    "bu",
    "da",
    "de",
    "di",
    "do",
    "du",
    "ka",
    "ke",
    "ki",
    "ko",
    "ku",
    "la",
    "le",
    "li",
    "lo",
    "lu",
    "ma",
    "me",
    "mi",
    "mo",
    "mu",
    "na",
    "ne",
    "ni",
    "no",
    "nu",
]
EMBEDDER = HashingEmbedder(2048)


@pytest.fixture(scope="module")
def names():
    draw = random.Random(1)
    return sorted({"".join(draw.choice(SYLLABLES) for _ in range(3)) for _ in range(700)})[:500]


@pytest.fixture(scope="module")
def home(names, tmp_path_factory):
    """A library that a person would make: 500 skills of one template, imported at once."""
    root = tmp_path_factory.mktemp("alike")
    for name in names:
        folder = root / "in" / f"{name}-automation"
        folder.mkdir(parents=True)
        text = f"---\nname: {name}-automation\ndescription: {TEMPLATE.format(name)}\n---\n1. Search the tools.\n"
        (folder / "SKILL.md").write_text(text)
    with SkillStore.open(root / "home", embedder=EMBEDDER) as store:
        store.import_skills(root / "in")
        assert store.wait_for_index(120)
        assert answered(store, names) == ({"exact"}, 0)
    return root / "home"


def answered(store, names):
    """The engines that answered, and how many skills were not found by their own text."""
    engines, missed = set(), 0
    for name in names[::10]:
        hits = store.search(f"{name} automation: {TEMPLATE.format(name)}", k=20, strategy="dense", min_score=0)
        engines.add(hits[0].why["engine"])
        missed += f"{name}-automation" not in {hit.name for hit in hits} | {
            c for hit in hits for c in hit.why["copies"]
        }
    return engines, missed


def test_every_skill_is_found_and_nothing_is_called_damaged(home, names, caplog):
    with SkillStore.open(home, embedder=EMBEDDER) as store:
        assert store.wait_for_index(60)
        assert answered(store, names) == ({"exact"}, 0)
        index = next(check for check in store.check() if "chroma" in check.detail)

    assert index.ok
    assert "too much alike" in index.detail
    assert "nothing is damaged" in index.detail
    assert "building it anew" not in caplog.text  # it was tried once, when the skills came


def test_a_skill_that_is_taken_for_one_like_it_is_not_damage(home, monkeypatch):
    """What damage is, and that it is told: `test_damaged_index.py`."""
    with SkillStore.open(home, embedder=EMBEDDER) as store:
        assert store.wait_for_index(120)
        index = store._partition.index
        index.declined.clear()  # as on the way from one size at which it is looked at to the next
        nearest = index.nearest

        def without_itself(vector, k, **given):
            return nearest(vector, k + 1, **given)[1:]

        monkeypatch.setattr(index, "nearest", without_itself)
        [found] = [check for check in store.check() if check.name == "index"]

    assert found.ok, found.detail


def test_chroma_answers_again_once_the_skills_differ(home, names):
    with SkillStore.open(home, embedder=EMBEDDER) as store:
        for skill in store.list()[10:]:
            store.retire(skill.name)
        store.add(name="refunds", description="Refund a duplicate charge", body="Do it.")
    with SkillStore.open(home, embedder=EMBEDDER) as store:
        assert store.wait_for_index(60)

        assert store.search("refund a duplicate charge", strategy="dense")[0].why["engine"] == "chroma"
