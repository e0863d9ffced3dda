"""Rule and table: the one form in which the scanner's rules are written (`scanning.tables`). To add a rule, add a row.

A row is a name, a pattern and, where they differ from the default, words that the pattern needs and a verdict. A table says of all
its rows what kind they find and which view of the text they read:

- `sentences`: the pattern is a frame, classes of words in an order (`scanning.frames`), as in `NOT ..2 TELL ..3 PERSON`. Use it
  for what is said in words: a frame knows synonyms, and other languages.
- `folded` (one case), `visible` (as it is), `spelled` (letters that stand apart, put together): the pattern is a regular expression.
  A blank in it is any space. Every repetition has a limit, so that no text is read more than a fixed number of times.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from skill_plugin.scanning.findings import FindingVerdict, Kind

View = Literal["sentences", "folded", "visible", "spelled"]

Quoting = Literal["mention", "code", "counts"]
"""What words in quotes or code are: `mention`, a note if the text is about attacks; `code`, a note if they stand alone; else they count."""


class Rule(NamedTuple):
    """One rule.

    Args:
        name: What it finds, in words that are safe to show to a model.
        pattern: A frame or a regular expression, as its table says; the group `found`, if there is one, is the finding.
        needs: `a b & c d`: a or b has to be in the text, and c or d, else the pattern is not tried: it saves time, no more. What has
            letters only is a whole word, `ghp_*` and `$(` stand anywhere. In lower case. A frame needs none.
        verdict: What follows from it.
        behind: What has to stand right before it, within 160 characters: a regular expression. It saves time where the pattern itself
            begins with something rare.
        check: Looks at the find again, and returns the verdict on it; None lets it go.
    """

    name: str
    pattern: str
    needs: str = ""
    verdict: FindingVerdict = "hold"
    behind: str = ""
    check: Callable[[str], FindingVerdict | None] | None = None


class RuleTable(NamedTuple):
    """Rules of one kind over one view.

    Args:
        kind: The kind of what they find.
        view: What they read.
        rules: The rows.
        quoting: What words in quotes are.
        follows_disguises: Whether they are also looked for in turned letters, digits for letters and broken words.
    """

    kind: Kind
    view: View
    rules: Sequence[Rule]
    quoting: Quoting = "mention"
    follows_disguises: bool = False


def rows(*table: Rule | tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, FindingVerdict]) -> list[Rule]:
    """Returns rules from their rows."""
    return [Rule(*row) for row in table]
