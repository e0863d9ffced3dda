"""What small models write for a skill, and what each is told: what is wrong with it, and what to write next."""

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators import slips
from skill_plugin.generators.prompt import REVISE_SYSTEM, read_revision

CURRENT = skill_text(body="# Facts\n\n- The number of the museum is 178 616.")
FRONT = "---\nname: a\ndescription: b\n"
SKILL = f"{FRONT}---\n\nDo it.\n"


@pytest.mark.parametrize(
    ("text", "wrong", "next_"),
    [
        # The front matter
        ("", "the text is empty", "begin with '---'"),
        ("The answer is 5.", "no front matter: the text begins with 'The answer is 5.", "begin with '---'"),
        ("name: a\ndescription: b\n\nDo it.", "no front matter: the text begins with 'name: a", "begin with '---'"),
        (FRONT, "begins 'name: a\\ndescription: b' is not closed", "put a line '---' below 'description:'"),
        (f"{FRONT}\n1. Do it.", "is not closed", "and the procedure below that"),
        (f"{FRONT}----\nDo it.", "is not closed (the line '----' does not close it)", "put a line '---'"),
        (f"{FRONT}--\nDo it.", "(the line '--' does not close it)", "put a line '---'"),
        (f"{FRONT}***\nDo it.", "(the line '***' does not close it)", "put a line '---'"),
        (f"{FRONT}```\nDo it.", "(the line '```' does not close it)", "put a line '---'"),
        (f"{FRONT}\u2014\u2014\u2014\nDo it.", "does not close it)", "put a line '---'"),
        (f"-{SKILL}", "the first line is '----' and must be '---' alone", "begin with '---'"),
        ("--- a\n+++ b\n-x\n+y", "the first line is '--- a' and must be '---' alone", "begin with '---'"),
        ("---", "nothing but its first line '---'", "write 'name:' and 'description:', then '---'"),
        (f"{FRONT}---\n", "no body", "write the procedure below the front matter"),
        ("```yaml\nname: a\ndescription: b\n```\nDo it.", "the text begins with '```yaml", "without a code fence"),
        (
            "---\ndescription: b\n---\nDo it.",
            "needs a name, and the front matter has only description:",
            "begins 'name: '",
        ),
        (
            "---\nname: a\n---\nDo it.",
            "needs a description, and the front matter has only name:",
            "begins 'description: '",
        ),
        ("---\nName: a\nDescription: b\n---\nDo it.", "has only Name:, Description:", "begins 'name: ', in lower case"),
        (
            "---\n**name:** a\n**description:** b\n---\nDo it.",
            "is not YAML",
            "write 'name: ...' and 'description: ...'",
        ),
        ("---\nname:a\ndescription:b\n---\nDo it.", "must be 'key: value' lines", "with a space behind the colon"),
        ("---\n- name: a\n- description: b\n---\nDo it.", "must be 'key: value' lines", "each on a line of its own"),
        ("---\n---\nDo it.", "got ''", "write 'name: ...'"),
        (skill_text(name="Phone Facts"), "'Phone Facts' breaks the SKILL.md rules", "lower-case letters"),
        (f"{SKILL}\n{SKILL.replace('name: a', 'name: c')}", "a second skill, named 'c'", "write one skill alone"),
        (f"{SKILL}\n=== add: # Facts\nx\n=== end", "goes on with edits, '=== add: # Facts'", "not with both"),
        # Edits
        (
            "== replace: # Facts\nx\n== end",
            "unknown operation '== replace: # Facts'",
            "write '=== replace: description'",
        ),
        ("==== Replace: # Facts\nx\n==== end", "unknown operation '==== Replace", "and '=== end' last"),
        (
            "=== replace # Facts\nx\n=== end",
            "unknown operation '=== replace # Facts'",
            "write '=== replace: description'",
        ),
        ("=== change: # Facts\nx\n=== end", "unknown operation '=== change: # Facts'", "'=== delete: ## Heading'"),
        ("=== replace: Facts\nx\n=== end", "no section 'Facts'", "name one of '# Facts', 'description'"),
        ("=== replace: ## Facts\nx\n=== end", "no section '## Facts'", "name one of '# Facts'"),
        ("=== replace: # Facts\nx", "the edits end with 'x'", "end them with the line '=== end'"),
        ("=== replace: # Facts\nx\n=== END", "the edits end with '=== END'", "the line '=== end'"),
        ("=== delete: # Facts\n=== end", "the edits leave no body", "replace a section instead"),
        (f"=== replace: # Facts\n{SKILL}=== end", "an edit goes on with a second skill, named 'a'", "one skill alone"),
        # Words of the instructions
        *(
            (text, "is copied from the instructions", "write words of your own")
            for text in (
                REVISE_SYSTEM[REVISE_SYSTEM.index("---\n") : REVISE_SYSTEM.index("\n\nOr, when")],
                REVISE_SYSTEM[REVISE_SYSTEM.index("=== replace") : REVISE_SYSTEM.index("\n\nUse only")],
                skill_text(description=slips.DESCRIPTION),
                skill_text(body=slips.BODY),
                skill_text(name="words-in-lower-case"),
                skill_text(name="lower-case-words-with-hyphens (at most 64 characters)"),
                f"=== replace: description\n{slips.NEW_DESCRIPTION}\n=== end",
                f"=== replace: # Facts\n{slips.NEW_LINES}\n=== end",
                f"=== add: # Facts\n{slips.MORE_LINES}\n=== end",
            )
        ),
    ],
)
def test_a_slip_is_told_what_is_wrong_and_what_to_write(text, wrong, next_):
    with pytest.raises(InvalidSkillError) as caught:
        read_revision(text, current=CURRENT)

    said = str(caught.value)
    assert "\n" not in said
    assert next_ in said
    assert wrong in said
    assert ("no front matter" in said) <= (not text.startswith("---\n"))  # it did begin with that


@pytest.mark.parametrize(
    "text",
    [
        f"```markdown\n{SKILL}",
        "```yaml\n---\nname: a\ndescription: b\n---\n```\nDo it.",
        "---\nname: a\ndescription: When a thing\nis asked for.\n---\nDo it.",
        "---\nname: a\ndescription: When a thing: first\nthen that.\n---\nDo it.",
        f"{SKILL}\n---\n\nThe line above is a rule.",
        f"{SKILL}\n```\n{SKILL}```\n",  # an example
        f"{SKILL}\n~~~\n=== add: end\nx\n=== end\n~~~\n",
        skill_text(name="lower-case-letters-only").replace("lower-case", "to-lower-case"),
        skill_text(body="Write one new sentence for each, in the procedure in Markdown."),
    ],
)
def test_what_is_no_slip_is_read(text):
    assert read_revision(text, current=CURRENT)


def test_a_new_description_may_have_its_key_in_front():
    read = read_revision("=== replace: description\ndescription: Numbers of places.\n=== end", current=CURRENT)

    assert read == CURRENT.replace("How to add numbers", "Numbers of places.")


def test_what_the_current_skill_says_itself_is_no_copy():
    current = skill_text(name="words-in-lower-case", body=f"# Form\n\n{slips.MORE_LINES}\n\n{slips.BODY}")

    assert read_revision(f"{current}\nMore.\n", current=current)
    assert read_revision(f"=== add: # Form\n{slips.MORE_LINES}\n=== end", current=current)


def test_what_is_looked_for_stands_in_the_instructions():
    for words in (slips.NAME, slips.DESCRIPTION, slips.BODY, slips.NEW_DESCRIPTION, slips.NEW_LINES, slips.MORE_LINES):
        assert words in REVISE_SYSTEM
