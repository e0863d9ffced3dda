"""Text from outside on its way into a prompt: what could pass for structure is changed so that it is text.

A chat template turns a message into one string, and a tokenizer reads the control tokens in that string wherever they
came from. So a text that holds `<|im_end|>` ends the message that it stands in. `defused` puts a blank into each form of
such a token: ChatML and its kin (`<|...|>`, also with full-width bars), Llama 2 and Mistral (`[INST]`, `<<SYS>>`), Gemma
(`<start_of_turn>`), and the named tokens of others. Our own tags are escaped. Look-alikes are compared as what they
look like. All else, ordinary code too, stays as it is; what was changed can still be read.
"""

import re
import unicodedata
from functools import lru_cache


def defused(text: str) -> str:
    """Returns a text without control tokens of chat templates and without our tags. Doing it twice is doing it once.

    Takes time in proportion to the text.
    """
    folded, places = (text, range(len(text))) if text.isascii() else _folded(text)
    cuts = {places[found.start()]: found.lastgroup for found in _STRUCTURE.finditer(folded)}
    if not cuts:
        return text
    parts, done = [], 0
    for place, kind in cuts.items():
        parts += [text[done:place], "&lt;" if kind == "tag" else f"{text[place]} "]
        done = place + 1
    return "".join([*parts, text[done:]])


# The names that tokenizers give to tokens in angle brackets without bars. `<S>` is a type in many languages, `<s>` is not.
_NAMED = (
    r"(?-i:s)|bos|eos|bod|eod|pad|unk|mask|cls|sep|sop|eop|sot|eot|eom|(?:bos|eos|pad|unk|mask|cls|sep|eop)_token"
    r"|(?:start|end|begin)_of_\w+|im_(?:start|end|patch|sep)|ima?ge?|(?:image|audio)_soft_token"
    r"|tool_calls?|tool_response|tool_results?|think"
    r"|fim_\w+|file_sep|filename|repo_?name|gh_stars|issue_(?:start|comment|closed)|commit_(?:before|msg|after)"
    r"|jupyter_\w+|empty_output|(?:tokens_)?(?:unused|reserved|special|extra_id)(?:_token)?_?\d+|seed:\w+|mask:\d+"
)

_BRACKETED = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID|ARGS|THINK|MODEL_SETTINGS|IMG|IMG_BREAK|"
    "IMG_END|AUDIO|BEGIN_AUDIO|PREFIX|MIDDLE|SUFFIX|gMASK|sMASK|MASK|CLS|SEP|PAD|UNK|BOS|EOS|EOT|EOD"
)

# Each alternative begins with the character that is changed, and looks on from there over what cannot hold another one.
_STRUCTURE = re.compile(
    r"(?P<tag><(?=[\s/\\]*+skill))"
    r"|(?P<token>"
    r"<(?=\|[\w/])"  # <|im_start|>, <|turn>
    r"|<(?=\w++\|>)"  # <turn|>
    rf"|<(?=/?(?:{_NAMED})>)"
    r"|<(?=</?sys>>)"
    rf"|\[(?=(?-i:/?(?:{_BRACKETED})\]))"
    r"|\](?=~!?b[\[\]])|\[(?=e~\[)"  # MiniMax
    r")",
    re.IGNORECASE,
)

_LOOK_ALIKES = {
    **dict.fromkeys("‹〈⟨❬❰˂ᐸ≺«《", "<"),
    **dict.fromkeys("›〉⟩❭❱˃ᐳ≻»》", ">"),
    **dict.fromkeys("│∣ǀ❘¦┃", "|"),
    **dict.fromkeys("⁄∕╱⧸", "/"),
    "▁": "_",
    **dict(zip("авеѕіјкмнорстухԁԍԛԝһӏαεικνορτυχѵɡıℓſкꓢ", "abesijkmhopctyxdgqwhlaeiknoptuxvgilsks", strict=True)),
}


def _folded(text: str) -> tuple[str, list[int]]:
    """Returns the text as it looks, without what has no width, and for each of its characters the place in `text`."""
    folded, places = list[str](), list[int]()
    for place, char in enumerate(text):
        seen = char if char.isascii() else _look(char)
        folded.append(seen)
        places.extend([place] * len(seen))
    return "".join(folded), places


@lru_cache(maxsize=4096)
def _look(char: str) -> str:
    plain = unicodedata.normalize("NFKC", char)
    if plain.isascii():
        return plain
    if unicodedata.category(char) in ("Cf", "Mn", "Me") or char in _WITHOUT_WIDTH:
        return ""
    return "".join(_LOOK_ALIKES.get(one.casefold(), one) for one in plain)


_WITHOUT_WIDTH = "\u115f\u1160\u3164\uffa0"
