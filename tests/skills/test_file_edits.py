"""Edits that write and delete files beside a text."""

import pytest

from fakes import skill_text
from skill_plugin import Generation, Revision
from skill_plugin.generators.reading import read
from skill_plugin.skills.edits import apply_edits, are_edits, file_changes

EDITS = """=== add: end
## Totals

Run `scripts/totals.py`.
=== file: scripts/totals.py
def total(numbers: list) -> float:
    # ## not a heading

    return sum(numbers)
=== file: notes.md
```
kept
```
=== file: scripts/fenced.py
```python
print(1)
```
=== delete file: scripts/old.py
=== end"""


def test_files_are_written_and_deleted_and_the_text_is_edited_beside_them():
    assert are_edits(EDITS)
    assert file_changes(EDITS) == {
        "scripts/totals.py": "def total(numbers: list) -> float:\n    # ## not a heading\n\n    return sum(numbers)\n",
        "notes.md": "```\nkept\n```\n",
        "scripts/fenced.py": "print(1)\n",
        "scripts/old.py": None,
    }
    assert apply_edits(skill_text(), EDITS).endswith("\n\n## Totals\n\nRun `scripts/totals.py`.\n")


def test_files_alone_leave_the_text_to_the_letter():
    only = "=== file: a.py\nprint(1)\n=== end"

    assert apply_edits(skill_text(), only) == skill_text()
    read_one = read(Revision(completion=f"Here:\n\n```\n{only}\n```"), [Generation(number=0, text=skill_text())])
    assert (read_one.text, read_one.files, read_one.error) == (skill_text(), {"a.py": "print(1)\n"}, None)


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ("=== file: ../evil.py\nx\n=== end", "leads out of the skill's folder"),
        ("=== file: SKILL.md\nx\n=== end", "is a skill's text"),
        ("=== file: a.py\n=== end", "is followed by no text; write the new lines below it, or delete the file"),
        ("=== delete file: a.py\nx\n=== end", "is followed by text; a deletion takes none"),
        ("=== file: a.py\nx\n=== delete file: a.py\n=== end", "the edits overlap: 2 edits name 'a.py' twice"),
        ("=== files: a.py\nx\n=== end", "unknown operation"),
        ("=== file: a.py\nx", "end them with the line '=== end'"),
    ],
)
def test_edits_of_files_that_cannot_be_done_are_one_line(edits, why):
    made = read(Revision(completion=edits), [Generation(number=0, text=skill_text())])

    assert why in made.error
    assert "\n" not in made.error
    assert (made.text, made.files) == (None, {})


def test_where_only_the_description_may_change_no_file_may():
    history = [Generation(number=0, text=skill_text())]
    made = read(Revision(completion="=== file: a.py\nx\n=== end"), history, max_change=0)

    assert made.error == "the edits change the file 'a.py', and only the description may change"


def test_a_file_with_what_looks_like_front_matter_is_not_a_second_skill():
    edits = "=== file: assets/template.md\n---\nname: other\ndescription: D\n---\n\nBody\n=== end"

    assert read(Revision(completion=edits), [Generation(number=0, text=skill_text())]).error is None


def test_a_whole_text_with_files_behind_it_is_refused_and_says_why():
    made = read(Revision(completion=f"{skill_text()}\n=== file: a.py\nx\n=== end"), [])

    assert "goes on with edits" in made.error
