"""Fields that the formats have in common: a row's task, its reward, its run's name and a readable transcript."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, TypeGuard

from skill_plugin.errors import InvalidHistoryError, InvalidTaskError
from skill_plugin.histories.records import Row
from skill_plugin.records import DEFAULT_FAMILY, Task

NO_STEP = "no step"
NO_TASK = "no text of the task"
NO_REWARD = "no reward"
BAD_REWARD = "reward is not a number from 0 to 1"
NO_SCORE = "no score, imported without a reward"
SEVERAL = "several scores and none named reward or correctness, imported without a reward"

TASK_KEYS = ("instruction", "query", "question", "problem", "input", "task", "goal")
REFERENCE_KEYS = ("reference", "target", "gold", "gold_actions", "ground_truth")
REWARD_KEYS = ("reward", "score", "success", "is_success", "is_correct", "correct", "passed", "is_resolved")
ANSWER_KEYS = ("output", "solution", "answer", "completion", "response")
PREFERRED = ("reward", "correctness", "score")
"""Scores that are the reward, where there are several."""

_SAYS = re.compile(r"^assistant: ", re.MULTILINE)
_OTHERS = re.compile(r"^(?:user|system|tool(?: [^\s:]+)?|assistant calls): ", re.MULTILINE)
_ROLES = {"human": "user", "ai": "assistant", "function": "tool"}


def first(row: Mapping[str, Any], *names: str) -> Any:
    """Returns the value of the first of these keys that has one."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def text_of(value: Any) -> str:
    """Returns a text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def reward_of(row: Mapping[str, Any]) -> float:
    """Returns the stated reward; true and false are 1 and 0.

    Raises:
        InvalidHistoryError: the row has no reward, or it is not in [0, 1].
    """
    value = first(row, *REWARD_KEYS)
    if value is None:
        raise InvalidHistoryError(NO_REWARD)
    if not isinstance(value, int | float) or not 0 <= value <= 1 or math.isnan(value):
        raise InvalidHistoryError(BAD_REWARD)
    return float(value)


def reward_among(scores: Mapping[str, list[Any]]) -> tuple[float | None, list[str]]:
    """Returns the mean of the score named reward, correctness or score, else of the only one there is; and what is odd.

    Raises:
        InvalidHistoryError: it is not in [0, 1].
    """
    key = next((name for name in PREFERRED if name in scores), next(iter(scores)) if len(scores) == 1 else None)
    if key is None:
        return None, [SEVERAL if scores else NO_SCORE]
    return fmean(reward_of({"reward": score}) for score in scores[key]), []


def reward_in(row: Row, stated: Mapping[str, Any]) -> float | None:
    """Returns the reward that a part of a row states; None if it states none, and need not.

    Raises:
        InvalidHistoryError: the part states none though the row must have one, or it is not in [0, 1].
    """
    missing = first(stated, *REWARD_KEYS) is None
    return None if missing and not row.judged else reward_of(stated)


def passed_of(row: Mapping[str, Any], reward: float | None) -> bool | None:
    if reward is None:
        return None
    return row["passed"] if isinstance(row.get("passed"), bool) else reward >= 1


def name_of(value: Any) -> str | None:
    """Returns the name of a run, model or family; None if the value is not a name."""
    return str(value).strip() or None if isinstance(value, str | int) and not isinstance(value, bool) else None


def run_of(row: Row) -> str:
    """Returns the row's run, else its model, else the file's name."""
    return name_of(row.value.get("run")) or name_of(row.value.get("model")) or row.stem


def family_of(row: Row) -> str:
    """Returns the row's family, else the one given, else its task id's prefix (`spider-dev/12`), else the default."""
    task_id = row.value.get("task_id")
    prefix = task_id.rpartition("/")[0] if isinstance(task_id, str) else ""
    return name_of(row.value.get("family")) or row.family or prefix.strip() or DEFAULT_FAMILY


def task_of(row: Row, text: Any = None) -> Task:
    """Returns the row's task.

    Args:
        row: The row to look in.
        text: The task's input, if it is not in one of the row's own keys.

    Raises:
        InvalidHistoryError: the row has no text of the task.
    """
    given = text if text is not None else first(row.value, *TASK_KEYS)
    if isinstance(given, Mapping):  # `{"task": {"instruction": ...}}`
        given = first(given, *TASK_KEYS)
    if given is None or not text_of(given).strip():
        raise InvalidHistoryError(NO_TASK)
    try:
        return Task(text_of(given), family=family_of(row), reference=first(row.value, *REFERENCE_KEYS))
    except InvalidTaskError as exc:
        raise InvalidHistoryError("the task is not JSON") from exc


def object_of(value: Any) -> Mapping[str, Any]:
    """Reads an object, or the JSON text of one, as bulk exports have it; anything else is its `output`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {"output": value}
    return value if isinstance(value, Mapping) else {} if value is None else {"output": value}


def asked(inputs: Mapping[str, Any]) -> Any:
    """Returns a run's question: the last thing the user said, else an input by a usual name, else all of it."""
    messages = inputs.get("messages")
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], list):  # a chat model's batch
        messages = messages[0]
    if is_messages(messages) and (said := said_by(messages, "user")):
        return said[-1]
    found = first(inputs, *TASK_KEYS)
    if found is None and len(inputs) == 1:
        found = next(iter(inputs.values()))
    return found if found is not None else (dict(inputs) or None)


def answered(outputs: Mapping[str, Any]) -> str:
    """Returns a run's answer: the conversation, else an output by a usual name, else all of it; empty without an output."""
    messages = outputs.get("messages")
    if is_messages(messages):
        return messages_text(messages)
    found = first(outputs, *ANSWER_KEYS)
    if found is None and len(outputs) == 1:
        found = next(iter(outputs.values()))
    if isinstance(found, Mapping) and is_messages([found]):
        return messages_text([found])
    return text_of(found if found is not None else dict(outputs)) if outputs else ""


def whole(value: Any) -> int | None:
    """Returns a count of tokens; None if the value is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def moment(value: Any) -> datetime | None:
    """Returns a time in ISO 8601, in UTC unless it says otherwise; None if it cannot be read."""
    if isinstance(value, datetime):
        made = value
    else:
        try:
            made = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def steps_text(steps: Iterable[tuple[Any, Any]]) -> str:
    """Returns actions and observations as lines, whole."""
    lines = []
    for action, observation in steps:
        lines += [f"action: {text_of(action)}"] if action is not None else []
        lines += [f"observation: {text_of(observation)}"] if observation is not None else []
    return "\n".join(lines)


def is_messages(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    """Returns whether this is a conversation, in OpenAI's or LangChain's form."""
    return isinstance(value, list) and all(isinstance(one, Mapping) and _role(one) is not None for one in value)


def messages_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Returns a conversation as lines, whole: each speaker's text, and each call of a tool with its arguments."""
    lines = []
    for message in messages:
        body, role = _body(message), _role(message)
        name = f" {body['name']}" if role == "tool" and isinstance(body.get("name"), str) else ""
        if said := content_text(body.get("content")):
            lines.append(f"{role}{name}: {said}")
        calls = body.get("tool_calls") or []
        for call in [*(calls if isinstance(calls, list) else []), body.get("function_call")]:
            if isinstance(call, Mapping):
                made = call["function"] if isinstance(call.get("function"), Mapping) else call
                given = first(made, "arguments", "args")
                lines.append(f"{role} calls: {made.get('name')}({text_of(given) if given is not None else ''})")
    return "\n".join(lines)


def last_said(transcript: str) -> str:
    """Returns the last thing that the assistant says in a transcript of `messages_text`; of another text all of it."""
    said = _SAYS.split(transcript)
    return _OTHERS.split(said[-1])[0].strip() if len(said) > 1 else transcript


def said_by(messages: Iterable[Mapping[str, Any]], role: str) -> list[str]:
    """Returns the texts of one role, in order."""
    return [content_text(_body(message).get("content")) for message in messages if _role(message) == role]


def content_text(content: Any) -> str:
    """Returns a message's text; for content in parts, the texts of the parts."""
    if isinstance(content, list):
        parts = [one.get("text") if isinstance(one, Mapping) else one for one in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    return "" if content is None else text_of(content)


def _body(message: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = first(message, "kwargs", "data")  # LangChain's serialised forms
    return inner if isinstance(inner, Mapping) else message


def _role(message: Mapping[str, Any]) -> str | None:
    kind = first(message, "role") or first(_body(message), "role", "type")
    if kind in (None, "constructor") and isinstance(message.get("id"), list) and message["id"]:
        kind = str(message["id"][-1]).removesuffix("Chunk").removesuffix("Message").lower()
    elif kind is not None and message.get("type") not in (None, "constructor") and "role" not in message:
        kind = message["type"]
    return _ROLES.get(kind, kind) if isinstance(kind, str) else None
