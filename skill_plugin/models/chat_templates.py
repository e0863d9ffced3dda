"""Messages under a tokenizer's chat template: as they are where it takes them, else in the nearest form that it takes."""

from collections.abc import Sequence
from typing import Any

from skill_plugin.errors import ModelError

Message = dict[str, Any]


def prompt_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Returns the prompt that a chat template makes of messages, up to where the answer begins.

    A template may refuse a second system message, or one that is not the first, or every one; or leave it out without a
    word. Then all system messages become one at the beginning, and where that does not help, a part of the first human turn.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Dictionaries with `role` and `content`, whose contents are texts.

    Raises:
        ModelError: the template takes the messages in no form, or a content is not a text.
    """
    if strange := next((one for one in messages if not isinstance(one.get("content"), str)), None):
        raise ModelError(
            f"a message of the role {strange.get('role')!r} is not a text, and the local model reads only texts; leave out "
            "its images, files and calls of tools"
        )
    first: str | None = None
    reason: Exception | None = None
    for shaped in (list(messages), _one_system(messages), _no_system(messages)):
        try:
            text: str = tokenizer.apply_chat_template(shaped, tokenize=False, add_generation_prompt=True)
        except Exception as exc:  # noqa: BLE001 - a template is a program that raises what it likes
            reason = reason or exc
            continue
        if all(one["content"].strip() in text for one in messages if one["role"] == "system"):
            return text
        first = text if first is None else first
    if first is not None:
        return first
    said = " ".join(str(reason).split())[:200]
    raise ModelError(f"the model's chat template refuses the messages: {said}; send it others, or use another model")


def _one_system(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with all system messages as one, at the beginning."""
    rules, others = _parted(messages)
    return [{"role": "system", "content": rules}, *others] if rules else others


def _no_system(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with the system's in the first human turn, and turns of one role in a row as one."""
    rules, others = _parted(messages)
    at = next((place for place, one in enumerate(others) if one["role"] == "user"), 0)
    moved = [{"role": "user", "content": rules}] if rules else []
    turns: list[Message] = []
    for one in [*others[:at], *moved, *others[at:]]:
        if turns and turns[-1]["role"] == one["role"]:
            turns[-1] = {**turns[-1], "content": f"{turns[-1]['content']}\n\n{one['content']}"}
        else:
            turns.append(one)
    return turns


def _parted(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    rules = [one["content"] for one in messages if one["role"] == "system"]
    return "\n\n".join(rules), [one for one in messages if one["role"] != "system"]
