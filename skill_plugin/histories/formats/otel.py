"""`otel`: agents' traces as OpenTelemetry's exporters write them.

A row: `{"resourceSpans": [...]}` (OTLP as JSON), or one span, `{"name": ..., "context": {"trace_id": ..., "span_id": ...}, "parent_id":
null, "attributes": {...}, "events": [...]}`. The attributes are those of OpenTelemetry's conventions for GenAI (`gen_ai.input.messages`),
of OpenLLMetry (`gen_ai.prompt.0.content`, `traceloop.entity.input`) or of OpenInference (`input.value`, `llm.input_messages`).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.formats.spans import Span, SpanEvent, at, holds_spans, items, spans_in
from skill_plugin.histories.records import Episode, EpisodeRollout, Note, Refusal, Row, made_id
from skill_plugin.records import Rollout

INSIDE = "a span inside a run"
CYCLE = "spans that are each other's parents"
NOT_A_RUN = "a trace without a model or an agent"

EVALUATION = "gen_ai.evaluation.result"
DETAILS = "gen_ai.client.inference.operation.details"

_OURS = ("gen_ai", "llm", "openinference", "traceloop", "input", "output")
_HELPERS = frozenset(
    ("TOOL", "RETRIEVER", "RERANKER", "EMBEDDING", "GUARDRAIL", "EVALUATOR", "EXECUTE_TOOL", "EMBEDDINGS", "RETRIEVAL")
)
_ASKED = {"gen_ai.user.message": "user", "gen_ai.system.message": "system"}
_LABELS = {"pass": 1, "passed": 1, "correct": 1, "true": 1, "fail": 0, "failed": 0, "incorrect": 0, "false": 0}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class OpenTelemetry:
    """Reads traces: a span without a parent is a run, with all that lies below it. The reward is the evaluation named reward,
    correctness or score, else the only one there is; those of the run itself come before those of its parts.

    A trace's spans may stand in any order, so all are kept until the last row was read.
    """

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], Span] = {}
        self._events: list[SpanEvent] = []
        self._rows: dict[str, Row] = {}

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        return holds_spans(value)

    def read(self, row: Row) -> Iterator[Episode | Refusal | Note]:
        yield from ()  # a later row may hold a part of the same run
        for one in spans_in(row.value, row.where):
            if isinstance(one, Span):
                self._spans.setdefault((one.trace_id, one.span_id), one)
                self._rows.setdefault(one.where, replace(row, value={}))
            elif one.name in (EVALUATION, DETAILS):
                self._events.append(one)

    def rest(self) -> Iterator[Episode | Refusal | Note]:
        for event in self._events:
            if (span := self._spans.get((event.trace_id, event.span_id))) is not None:
                span.events.append(event)
        tops, beside = self._tops()
        reached = 0
        for top in tops:
            levels = list(_levels(top))
            reached += sum(map(len, levels))
            yield from self._read_run(levels, beside[top.trace_id])
        if lost := len(self._spans) - reached:
            where = next(iter(self._rows.values())).where
            yield Refusal(reason=CYCLE, where=where, rollouts=lost)

    def _tops(self) -> tuple[list[Span], Mapping[str, list[Span]]]:
        """Returns the spans without a parent, and by trace those among them that are not runs, such as an evaluator's."""
        tops: list[Span] = []
        for span in self._spans.values():
            parent = self._spans.get((span.trace_id, span.parent_id or ""))
            (tops if parent is None or parent is span else parent.children).append(span)
        beside: defaultdict[str, list[Span]] = defaultdict(list)
        for top in tops:
            if _is_helper(top):
                beside[top.trace_id].append(top)
        return tops, beside

    def _read_run(self, levels: list[list[Span]], beside: list[Span]) -> Iterator[Episode | Refusal | Note]:
        [top], *below = levels
        if not _is_helper(top) and any(_is_ours(span) for level in levels for span in level):
            try:
                yield self._episode(levels, beside)
            except InvalidHistoryError as exc:
                yield Refusal(reason=str(exc), where=top.where)
        else:
            yield Note(what=INSIDE if _is_helper(top) else NOT_A_RUN, where=top.where)
        for span in (one for level in below for one in level):
            yield Note(what=INSIDE, where=span.where)

    def _episode(self, levels: list[list[Span]], beside: list[Span]) -> Episode:
        [top] = levels[0]
        everything = [span for level in levels for span in level]
        runs = [[span for span in level if not _is_helper(span)] for level in levels]
        told = [answer for level in runs for span in reversed(level) if (answer := _answer(span))]
        asked = next((text for level in runs for span in level if (text := _asked(span))), None)
        scored = [*_evaluations([top])] or [*_evaluations([*everything, *beside])]
        reward, feedback, notes = _judged(scored, top)
        about = {**fields.object_of(at(top.attributes, "metadata")), **top.attributes}
        row = self._rows[top.where]
        named = {
            "family": fields.name_of(about.get("family")) or row.family or _named(everything, "gen_ai.agent.name"),
            "reference": fields.first(about, *fields.REFERENCE_KEYS),
        }
        source = top.service or row.stem
        rollout = Rollout(
            generation=0,
            answer=told[0] if told else "",
            reward=reward,
            passed=None if reward is None else reward >= 1,
            feedback=feedback,
            error=top.error,
            model=_named(reversed(everything), "gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
            input_tokens=_tokens(
                top, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"
            ),
            output_tokens=_tokens(
                top, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"
            ),
            latency_s=max(0.0, (top.end - top.start).total_seconds()) if top.start and top.end else None,
            source=source,
        )
        return Episode(
            task=fields.task_of(replace(row, value=named), asked or ""),
            run=source,
            run_id=made_id("imp", "otel", top.trace_id, top.span_id),
            where=top.where,
            rollouts=(
                EpisodeRollout(
                    rollout=rollout,
                    thread_id=_named(everything, "gen_ai.conversation.id", "session.id"),
                    created_at=top.end or top.start,
                ),
            ),
            notes=tuple(notes),
        )


def _levels(top: Span) -> Iterator[list[Span]]:
    """Yields a run's spans by their depth, each level in the order of time."""
    level = [top]
    while level:
        yield level
        level = sorted((child for span in level for child in span.children), key=lambda span: span.start or _LONG_AGO)


def _is_ours(span: Span) -> bool:
    return any(key in span.attributes for key in _OURS) or any(one.name.startswith("gen_ai.") for one in span.events)


def _is_helper(span: Span) -> bool:
    """Returns whether a span is what an agent uses, not the agent or its model."""
    kinds = (
        at(span.attributes, key) for key in ("openinference.span.kind", "traceloop.span.kind", "gen_ai.operation.name")
    )
    return any(isinstance(kind, str) and kind.upper() in _HELPERS for kind in kinds)


def _named(spans: Iterable[Span], *paths: str) -> str | None:
    return next((name for span in spans for path in paths if (name := fields.name_of(at(span.attributes, path)))), None)


def _tokens(top: Span, *paths: str) -> int | None:
    """Returns a span's own count, else those of the spans below it that have one."""
    counts, waiting = [], [top]
    while waiting:
        span = waiting.pop()
        own = next((count for path in paths if (count := fields.whole(at(span.attributes, path))) is not None), None)
        if own is None:
            waiting += span.children
        else:
            counts.append(own)
    return sum(counts) if counts else None


# What was asked and answered


def _asked(span: Span) -> str | None:
    """Returns what the user asks: of messages the last of the user's, of a value that which looks like a question."""
    messages = _messages(span, "gen_ai.input.messages", "gen_ai.prompt", "llm.input_messages")
    messages = messages or [
        {"role": _ASKED[one.name], "content": at(one.attributes, "content")}
        for one in span.events
        if one.name in _ASKED
    ]
    if said := [text for text in fields.said_by(messages, "user") if text.strip()]:
        return said[-1]
    value = _value(span, "input.value", "traceloop.entity.input", "gen_ai.prompt", "gen_ai.content.prompt")
    found = fields.asked(value) if isinstance(value, Mapping) else value
    return None if found is None or messages else fields.text_of(found)


def _answer(span: Span) -> str:
    messages = _messages(span, "gen_ai.output.messages", "gen_ai.completion", "llm.output_messages")
    if messages := messages or [*_choices(span)]:
        return fields.messages_text(messages)
    value = _value(span, "output.value", "traceloop.entity.output", "gen_ai.completion", "gen_ai.content.completion")
    return fields.answered(value) if isinstance(value, Mapping) else "" if value is None else fields.text_of(value)


def _choices(span: Span) -> Iterator[dict[str, Any]]:
    for one in span.events:
        if one.name == "gen_ai.choice":
            message = fields.object_of(at(one.attributes, "message") or one.attributes)
            yield {"role": "assistant", "content": fields.first(message, "content", "output")}


def _messages(span: Span, *paths: str) -> list[dict[str, Any]]:
    """Returns the messages at the first of these places that has some, in the form of OpenAI's."""
    places = [one.attributes for one in span.events if one.name == DETAILS]
    for attributes in (span.attributes, *places):
        for path in paths:
            found = _walk(attributes, path)
            if made := [message for one in items(_json(found)) if (message := _message(one)) is not None]:
                return made
    return []


def _message(given: Mapping[str, Any]) -> dict[str, Any] | None:
    body = given.get("message")
    one: Mapping[str, Any] = body if isinstance(body, Mapping) else given
    role = one.get("role")
    if not isinstance(role, str):
        return None
    parts = one.get("parts")
    if isinstance(parts, list):
        parts = [part for part in parts if isinstance(part, Mapping)]
        texts = [part.get("content") for part in parts if part.get("type") == "text"]
        texts += [
            fields.first(part, "response", "result") for part in parts if part.get("type") == "tool_call_response"
        ]
        calls = [part for part in parts if part.get("type") == "tool_call"]
        content: Any = "\n".join(fields.text_of(text) for text in texts if text is not None)
    else:
        pieces = [piece.get("message_content", piece) for piece in items(one.get("contents"))]
        content = _json(one.get("content")) if one.get("content") is not None else pieces
        if isinstance(content, Mapping | int | float):
            content = one.get("content")
        calls = [call.get("tool_call", call) for call in items(one.get("tool_calls"))]
    return {"role": role, "content": content, "tool_calls": calls, "name": one.get("name")}


def _value(span: Span, *paths: str) -> Any:
    """Returns the value at the first of these places, read as JSON if it is an object or a list."""
    events = [one.attributes for one in span.events if one.name == paths[-1]]  # the oldest conventions had events
    found = next(
        (value for one in (span.attributes, *events) for path in paths if (value := at(one, path)) is not None), None
    )
    value = _json(found)
    if isinstance(value, Mapping):
        for key in ("inputs", "outputs", "kwargs", "args"):  # OpenLLMetry's envelope
            if (
                key in value
                and set(value) <= {"inputs", "outputs", "args", "kwargs", "tags", "metadata"}
                and value[key]
            ):
                value = value[key]
                break
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _walk(tree: Any, path: str) -> Any:
    """Returns what lies at a path; unlike `at`, the names below it and not its own value."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _json(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# How it was judged


def _evaluations(spans: Iterable[Span]) -> Iterator[Mapping[str, Any]]:
    for span in spans:
        yield from (found for one in span.events if one.name == EVALUATION if (found := _evaluation(one.attributes)))
        if found := _evaluation(span.attributes):
            yield found
        for group in ("evaluations", "annotations", "trace.evaluations", "trace.annotations"):
            for one in items(_walk(span.attributes, group)):
                inner = one.get(group.rpartition(".")[2].removesuffix("s"))
                yield inner if isinstance(inner, Mapping) else one


def _evaluation(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = _walk(attributes, "gen_ai.evaluation")
    return found if isinstance(found, Mapping) else None


def _judged(evaluations: Iterable[Mapping[str, Any]], top: Span) -> tuple[float | None, str, list[str]]:
    """Returns the reward, what was said of it, and the notes."""
    scores: defaultdict[str, list[Any]] = defaultdict(list)
    comments = []
    for one in evaluations:
        name = fields.name_of(one.get("name")) or "score"
        given = one.get("score")
        value = given.get("value") if isinstance(given, Mapping) else given
        label = fields.name_of(given.get("label") if isinstance(given, Mapping) else one.get("label"))
        if value is None and label is not None:
            value = _LABELS.get(label.lower())
        if value is not None:
            scores[name.lower()].append(value)
        said = [part for part in (label, fields.name_of(one.get("explanation"))) if part]
        comments += [": ".join([name, *said])] if said else []
    own = {key: top.attributes[key] for key in fields.REWARD_KEYS if key in top.attributes}
    if not scores and own:
        return fields.reward_of(own), "\n".join(comments), []
    reward, notes = fields.reward_among(scores)
    return reward, "\n".join(comments), notes
