"""The part of the revision prompt about a skill's functions: asks for one, or shows those that the skill has."""

from collections.abc import Callable

from skill_plugin.records import Generation

ASKED = """\
Write a function that makes these calls, beside the procedure, so that the agent can do them in one step. The procedure says when to \
call it, and with what. Add to your edits, with names of your own:"""

HAS = """\
The skill has functions, which the agent calls by their names. To change one, write its whole file anew, and its tests where they no \
longer hold, among your edits:"""

FORM = """\
=== file: scripts/NAME.py
def NAME(first: str, second: int = 1) -> dict:
    \"\"\"Says in one sentence what it does.\"\"\"
    found = tools.SOME_TOOL(argument=first)
    return {"result": found}
=== file: scripts/test_NAME.py
from NAME import NAME

TOOLS = {"SOME_TOOL": [{"arguments": {"argument": "x"}, "result": 7}]}


def test_what_it_returns():
    assert NAME("x") == {"result": 7}
=== end"""

RULES = """\
Types: int, float, str, bool, list, dict; every argument and the result has one, and each function a docstring. `tools.NAME(...)` calls \
a tool of the agent, with arguments by name. Outside of functions only imports of Python's library and constants. The tests run before \
the skill is kept, with the answers in TOOLS and no others; a test counts only if it fails where the function returns None. The \
whole of what the current skill does stays in its procedure, in edits of their own if it has to change."""


def function_part(current: Generation | None, fenced: Callable[[str], str]) -> list[str]:
    """Returns the part's texts; none where the current skill has no functions and none is asked for.

    A first skill is never asked for one: it has yet to be written, and files are written by edits.

    Args:
        current: The current skill's generation.
        fenced: Puts what comes from outside into a fence.
    """
    if current is None or current.text is None:
        return []
    if current.files:
        shown = [f"{path}\n\n{fenced(text)}" for path, text in sorted(current.files.items())]
        return ["# Functions", "\n\n".join([HAS, fenced(FORM), RULES, *shown])]
    if current.chain:
        called = "The runs that passed called these tools in this order, at times with others between:"
        return [
            "# Functions",
            "\n\n".join([f"{called}\n{fenced(', '.join(current.chain))}", ASKED, fenced(FORM), RULES]),
        ]
    return []
