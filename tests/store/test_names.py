"""Texts that bear one name: of one family they are one skill, of several families each has its own."""

import multiprocessing

import pytest

from fakes import TopicEmbedder, skill_text
from skill_plugin import Revision, Task
from skill_plugin.store import SkillStore

pytestmark = pytest.mark.both_backends


def write(store, *texts, family="sums", parent=None, group="g"):
    """The skills that became of texts for one task of the family."""
    proposed = [Revision(completion=text, text=text) for text in texts]
    group_id = f"{family} {group}"
    staged = store.runs.stage(
        Task(group_id, family=family), proposed, run_id="r", group_id=group_id, generation=1, parent=parent
    )
    assert store.runs.staged(group_id) == staged
    return [skill or revision.error for revision, skill in staged]


def refs(skills):
    return [(skill.name, skill.version, skill.parent) for skill in skills]


def facts(body, name="owner-facts"):
    return skill_text(name, f"How to add {body}", body)


def test_nine_families_with_one_name_are_nine_skills(store):
    for number in range(9):
        [skill] = write(store, facts(f"fact {number}"), family=f"family {number}")
        store.promote(skill.ref)

    names = ["owner-facts", *(f"owner-facts-{number}" for number in range(2, 10))]
    assert [(skill.name, skill.version) for skill in store.list("live")] == [(name, 1) for name in names]


def test_many_lineages_of_one_family_write_one_skill(store):
    write(store, facts("other"), family="other")
    written = [write(store, facts(f"fact {number}"), group=str(number)) for number in range(3)]

    assert [refs(skills) for skills in written] == [[("owner-facts-2", number, None)] for number in (1, 2, 3)]


def test_only_the_name_of_a_renamed_text_changes(store):
    first = "---\nname: 'owner-facts'  # as told\ndescription: |\n  name: x\nlicense: MIT\n---\nname: owner-facts\n"
    write(store, facts("other"), family="other")
    [skill] = write(store, first)

    assert skill.text == first.replace("'owner-facts'", "owner-facts-2")
    [(revision, _)] = store.runs.staged("sums g")
    assert (revision.completion, revision.text) == (first, skill.text)


def test_a_front_matter_without_a_line_for_the_name_is_written_anew(store):
    write(store, facts("other"), family="other")
    [skill] = write(store, "---\n{name: owner-facts, description: How to add}\n---\nAdd.\n")

    assert skill.text == skill_text("owner-facts-2", "How to add", "Add.")


def test_a_persons_skill_is_joined_only_by_revisions_of_it(store):
    person = store.add_text(facts("by hand"))
    store.add_text(facts("other", name="imported"), author="import")
    [alone] = write(store, facts("alone"), group="a")
    [revised] = write(store, facts("revised"), group="b", parent=person.ref)
    [again] = write(store, facts("again"), group="c")
    [other] = write(store, facts("more", name="imported"), group="d", parent=person.ref)

    assert refs([alone, revised, again, other]) == [
        ("owner-facts-2", 1, None),
        ("owner-facts", 2, 1),
        ("owner-facts-2", 2, None),
        ("imported-2", 1, None),
    ]


def test_a_text_that_goes_back_to_its_familys_first_name_stays_with_its_parent(store):
    write(store, facts("other"), family="other")
    [parent] = write(store, facts("one"), group="a")
    [child] = write(store, facts("two"), group="b", parent=parent.ref)

    assert (child.id, refs([child])) == (parent.id, [("owner-facts-2", 2, 1)])


def test_an_agents_own_proposal_is_of_no_family(store):
    store.add_text(facts("proposed"), author="generator")

    assert refs(write(store, facts("written"))) == [("owner-facts-2", 1, None)]


def test_the_recorded_parent_is_what_the_generator_saw(store):
    [first] = write(store, facts("one"), group="a")
    store.promote(first.ref)
    [unseen] = write(store, facts("two"), group="b")
    [seen] = write(store, facts("three"), group="c", parent=unseen.ref)

    assert [version.parent for version in store.versions("owner-facts")] == [None, None, 2]
    assert seen.parent == 2


def test_a_number_keeps_a_name_within_its_length(store):
    name = "-".join(["nine"] * 13)[:64]
    for family in ("a", "b"):
        write(store, facts("other", name=name), family=family)
    names = {skill.name for skill in store.list()}

    assert names == {name, f"{name[:62].rstrip('-')}-2"}
    assert max(map(len, names)) == 64


def test_a_text_that_a_longer_name_makes_too_long_is_malformed(store):
    room = 64 * 1024 - len(facts(""))
    write(store, facts("other"), family="other")
    [error] = write(store, skill_text("owner-facts", "How to add ", "x" * room))

    assert "the limit is 65536" in error
    assert [skill.name for skill in store.list()] == ["owner-facts"]


def test_a_renamed_text_is_embedded_under_its_new_name_before_the_write(store):
    write(store, facts("other"), family="other")
    write(store, facts("this one"))

    assert store._partition.vectors.embedder.calls[-1] == ["owner facts 2: How to add this one"]


def _write_many(where, families):
    with SkillStore.open(**where, embedder=TopicEmbedder()) as store:
        for family in families:
            for group in range(3):
                write(store, facts(f"{family} {group}"), family=family, group=str(group))


def test_processes_at_once_make_one_skill_a_family(store, backend):
    context = multiprocessing.get_context("spawn")
    families = [f"family {number}" for number in range(6)]
    orders = [families, families[::-1]]
    workers = [context.Process(target=_write_many, args=(backend.options(), order)) for order in orders]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert [worker.exitcode for worker in workers] == [0, 0]
    skills = {skill.name: len(store.versions(skill.name)) for skill in store.list()}
    assert skills == {"owner-facts": 3} | {f"owner-facts-{number}": 3 for number in range(2, 7)}
