"""The live library as an agent's files: what is live is read, what is written is staged or refused."""

import pytest
from langgraph.store.base import PutOp

from fakes import MACHINE, skill_text
from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.integrations.langgraph_store import SkillBaseStore

SKILLS = ("skills",)
KEY = "/adding/SKILL.md"
REFUNDS = skill_text("refunds", "How to refund", "Ask first.")


@pytest.fixture
def items(store, skill):
    return SkillBaseStore(store)


@pytest.fixture
def writable(store, skill):
    return SkillBaseStore(store, allow_write=True)


def keys(found):
    return [item.key for item in found]


def test_a_live_skill_is_a_file_in_the_form_that_deepagents_knows(items, skill):
    moment = skill.created_at.isoformat()
    file = items.get(SKILLS, KEY)

    assert file.value == {"content": skill.text, "encoding": "utf-8", "created_at": moment, "modified_at": moment}
    assert (file.namespace, file.key, file.updated_at) == (SKILLS, KEY, skill.created_at)


@pytest.mark.both_backends
def test_only_what_is_live_is_there(items, store, skill):
    store.revise_text("adding", MACHINE)
    store.add_text(REFUNDS, author="generator")
    store.add_text(skill_text("resting"))
    store.retire("resting")
    odd = [
        f"/{skill.id}/SKILL.md",
        "/adding@1/SKILL.md",
        "/adding@2/SKILL.md",
        "adding/SKILL.md",
        "/adding",
        "",
        "/../SKILL.md",
    ]

    assert items.get(SKILLS, KEY).value["content"] == skill.text
    assert keys(items.search(SKILLS)) == [KEY]
    assert [items.get(SKILLS, key) for key in ["/refunds/SKILL.md", "/resting/SKILL.md", *odd]] == [None] * (
        len(odd) + 2
    )
    store.promote("adding@2")
    assert items.get(SKILLS, KEY).value["content"] == MACHINE


def test_all_files_come_by_name_page_by_page(items, store):
    for number in range(30):
        store.add_text(skill_text(f"s{number:02}"))
    pages = [keys(items.search(SKILLS, limit=12, offset=offset)) for offset in (0, 12, 24, 36)]

    assert [key for page in pages for key in page] == [KEY, *(f"/s{number:02}/SKILL.md" for number in range(30))]
    assert keys(items.search(SKILLS, filter={"content": MACHINE})) == []
    assert items.search(SKILLS, limit=0) == []


def test_a_query_finds_what_the_library_finds_with_its_scores(items, store):
    store.add_text(REFUNDS)
    hits = store.search("refund", 20, min_score=0.25)
    found = items.search(SKILLS, query="refund")

    assert [(item.key, item.score) for item in found] == [(f"/{hit.name}/SKILL.md", hit.score) for hit in hits]
    assert keys(items.search(SKILLS, query="refund", limit=1)) == ["/refunds/SKILL.md"]
    assert keys(items.search(SKILLS, query=" ")) == [KEY, "/refunds/SKILL.md"]


def test_the_library_is_listed_once_it_has_a_live_skill_and_stays_out_of_searches_elsewhere(store):
    items = SkillBaseStore(store, index=True)
    items.put(("memories",), "k", {"text": "add"})
    assert items.list_namespaces() == [("memories",)]
    store.add_text(skill_text())

    assert items.list_namespaces() == [("memories",), SKILLS]
    assert items.list_namespaces(prefix=("x",)) == []
    assert keys(items.search((), query="add")) == keys(items.search(())) == ["k"]
    assert items.search(("skills", "more")) == []
    assert items.get(("skills", "more"), KEY) is None


@pytest.mark.parametrize("labels", [SKILLS, ("skills", "more")])
def test_nothing_is_written_there_by_default_nor_anything_that_came_along(items, labels, skill, store):
    with pytest.raises(ConfigurationError, match="read only; open SkillBaseStore"):
        items.put(labels, KEY, {"content": MACHINE})
    with pytest.raises(ConfigurationError, match=r"a person retires it with store\.retire"):
        items.delete(labels, KEY)

    with pytest.raises(ConfigurationError):
        items.batch([PutOp(("memories",), "k", {}), PutOp(labels, KEY, {"content": MACHINE})])
    assert items.search(()) == []
    assert len(store.versions("adding")) == 1


@pytest.mark.both_backends
def test_what_is_written_is_staged_once_and_never_live(writable, store, skill):
    for _ in range(2):
        writable.put(SKILLS, KEY, {"content": MACHINE, "encoding": "utf-8"})
        writable.put(SKILLS, "/refunds/SKILL.md", {"content": REFUNDS})

    assert [(version.status, version.author) for version in store.versions("adding")] == [
        ("live", "human"),
        ("staged", "generator"),
    ]
    assert (store.get("refunds").status, store.get("refunds").trust) == ("staged", "unvetted")
    assert writable.get(SKILLS, KEY).value["content"] == skill.text
    assert writable.get(SKILLS, "/refunds/SKILL.md") is None


@pytest.mark.parametrize(
    ("labels", "key", "content", "error", "says"),
    [
        (SKILLS, KEY, "no front matter", InvalidSkillError, "no front matter"),
        (SKILLS, KEY, REFUNDS, InvalidSkillError, "holds the skill 'refunds'; a skill's folder has its name"),
        (SKILLS, KEY, [MACHINE], InvalidSkillError, "holds its text as 'content'"),
        (
            SKILLS,
            "/adding/notes.md",
            MACHINE,
            ConfigurationError,
            "is not a skill's file; put it at '/<name>/SKILL.md'",
        ),
        (("skills", "x"), KEY, MACHINE, ConfigurationError, "is not a skill's file"),
    ],
)
def test_what_is_no_skill_is_refused(writable, store, labels, key, content, error, says):
    with pytest.raises(error, match=says):
        writable.put(labels, key, {"content": content})
    with pytest.raises(ConfigurationError, match="agents delete none"):
        writable.delete(labels, key)

    assert len(store.versions("adding")) == 1


def test_the_labels_can_be_others_or_none_at_all(store, skill):
    others = SkillBaseStore(store, skills=("team", "skills"))
    others.put(SKILLS, "k", {"a": 1})
    assert others.get(("team", "skills"), KEY).value["content"] == skill.text
    assert others.list_namespaces(prefix=("team",)) == [("team", "skills")]

    without = SkillBaseStore(store, skills=None)
    assert without.get(SKILLS, "k").value == {"a": 1}
    assert without.list_namespaces() == [SKILLS]
