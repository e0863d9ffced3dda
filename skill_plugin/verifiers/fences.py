"""Models wrap code in Markdown fences; verifiers want what is inside."""

import re

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?```", re.DOTALL)


def unfence(text: str) -> str:
    """The content of the last fenced block, or the whole text if there is none."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1] if blocks else text).strip()
