"""Code fences: models wrap code in them, and verifiers want their content."""

import re

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?```", re.DOTALL)


def unfence(text: str) -> str:
    """Returns the content of the last fenced block, or the whole text if there is none."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1] if blocks else text).strip()
