"""The format `otel`: agents' traces as OpenTelemetry's exporters write them, by three conventions."""

import json

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from recorded import ASKED, OTEL, evaluation, said, span, write
from skill_plugin.histories import Episode, Note, Refusal, read
from skill_plugin.histories.fields import last_said

TOOL_CALL = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"id": 7}}
ANSWERED = json.dumps([{"role": "assistant", "parts": [TOOL_CALL, {"type": "text", "content": "Yes."}]}])


@pytest.fixture
def told(tmp_path):
    """What a file of these rows tells: episodes, refusals, notes."""

    def run(rows, **options):
        return sorted_out(read("auto", write(tmp_path / "spans.jsonl", rows), **options))

    return run


def sorted_out(found):
    found = list(found)
    episodes = [one for one in found if isinstance(one, Episode)]
    refused = [one.reason for one in found if isinstance(one, Refusal)]
    return episodes, refused, [one.what for one in found if isinstance(one, Note)]


def only(episodes):
    [episode] = episodes
    [attempt] = episode.rollouts
    return episode, attempt.rollout


@pytest.fixture
def traced():
    """A real agent's trace: a request, in it an agent, in it two calls of a model and one of a tool."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "helpdesk"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /ask"), tracer.start_as_current_span("invoke_agent refunds") as agent:
        agent.set_attribute("gen_ai.operation.name", "invoke_agent")
        agent.set_attribute("gen_ai.agent.name", "refunds")
        for number, answer in enumerate(("Let me see.", "Yes.")):
            with tracer.start_as_current_span("chat") as chat:
                chat.set_attribute("gen_ai.operation.name", "chat")
                chat.set_attribute("gen_ai.request.model", "gpt-5-mini")
                chat.set_attribute("gen_ai.input.messages", ASKED)
                chat.set_attribute("gen_ai.output.messages", json.dumps([said("assistant", answer)]))
                chat.set_attribute("gen_ai.usage.input_tokens", 10 + number)
                chat.set_attribute("gen_ai.usage.output_tokens", 2)
        agent.add_event("gen_ai.evaluation.result", evaluation(score=0.5)["attributes"])
    return exporter.get_finished_spans()


def check(episode, rollout):
    assert (episode.task.input, episode.task.family, episode.run) == ("Refund charge 7?", "refunds", "helpdesk")
    assert (rollout.answer, rollout.model) == ("assistant: Yes.", "gpt-5-mini")
    assert (rollout.reward, rollout.passed, rollout.feedback) == (0.5, False, "Correctness: as it should be")
    assert (rollout.input_tokens, rollout.output_tokens) == (21, 4)
    assert rollout.latency_s is not None


def test_what_the_console_exporter_prints(traced, tmp_path):
    with (tmp_path / "console.json").open("w") as file:  # objects of many lines, one after the other
        ConsoleSpanExporter(out=file).export(traced)
    episodes, refused, notes = sorted_out(read("auto", tmp_path / "console.json"))

    check(*only(episodes))
    assert (refused, notes) == ([], ["a span inside a run"] * 3)


@pytest.mark.parametrize("names", ["lowerCamelCase", "snake_case"])
@pytest.mark.parametrize("rows", ["one", "each"])
def test_otlp_as_json_in_one_object_or_in_lines(traced, told, names, rows):
    batches = [traced] if rows == "one" else [[one] for one in reversed(traced)]
    keep = names == "snake_case"
    episodes, refused, _ = told(
        [MessageToDict(encode_spans(batch), preserving_proto_field_name=keep) for batch in batches]
    )

    check(*only(episodes))
    assert refused == []


def test_a_run_is_known_again_whatever_the_order_of_its_spans(told):
    first, _, _ = told(OTEL)
    again, _, _ = told([*reversed(OTEL), *OTEL])

    assert sorted(one.run_id for one in first) == sorted(one.run_id for one in again)
    assert len({one.run_id for one in first}) == 2


def test_the_agents_own_messages_go_before_those_of_its_parts(told):
    episodes, _, notes = told(OTEL)
    (refund, one), (other, two) = [only([episode]) for episode in episodes]

    assert (refund.task.input, one.answer, one.reward) == ("Refund charge 7?", "assistant: No.", 0.0)
    assert one.feedback == "Correctness: it was charged twice"
    assert (one.model, one.input_tokens, refund.rollouts[0].thread_id) == ("gpt-5-mini", 30, "thread-1")
    assert (other.task.input, two.answer, two.reward, two.passed) == ("And charge 8?", "Yes.", 1.0, True)
    assert notes == ["a span inside a run"] * 2


def test_calls_of_tools_and_the_messages_of_events(told):
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"twice": True}}]}
    messages = [said("user", "Refund charge 7?"), result]
    parts = span(1, 1, gen_ai__input__messages=messages, gen_ai__output__messages=ANSWERED)
    events = [
        {"name": "gen_ai.user.message", "attributes": {"content": "Refund charge 7?"}},
        {"name": "gen_ai.choice", "attributes": {"index": 0, "message": '{"content": "Yes."}'}},
    ]
    details = {"gen_ai.input.messages": messages, "gen_ai.output.messages": [said("assistant", "Yes.")]}
    detailed = [{"name": "gen_ai.client.inference.operation.details", "attributes": details}]
    for row, answer in (
        (parts, 'assistant: Yes.\nassistant calls: find({"id": 7})'),
        (span(1, 1, events=events), "assistant: Yes."),
        (span(1, 1, events=detailed), "assistant: Yes."),
    ):
        episode, rollout = only(told([row])[0])
        assert (episode.task.input, rollout.answer) == ("Refund charge 7?", answer)


def test_openllmetry_numbers_its_messages(told):
    call = {"gen_ai.completion.0.tool_calls.0.name": "find", "gen_ai.completion.0.tool_calls.0.arguments": '{"id": 7}'}
    chat = {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be short.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": '[{"type": "text", "text": "Refund charge 7?"}]',
        **{f"gen_ai.prompt.{n}.role": "tool" for n in range(2, 12)},
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Yes.",
        "gen_ai.usage.prompt_tokens": 9,
    }
    episode, rollout = only(told([span(1, 1, **chat, **call)])[0])

    assert (episode.task.input, rollout.input_tokens, rollout.reward) == ("Refund charge 7?", 9, None)
    assert rollout.answer == 'assistant: Yes.\nassistant calls: find({"id": 7})'
    assert episode.notes == ("no score, imported without a reward",)

    entity = {
        "traceloop.span.kind": "workflow",
        "traceloop.entity.input": json.dumps({"inputs": {"question": "And 8?"}, "tags": [], "metadata": {}}),
        "traceloop.entity.output": json.dumps({"outputs": {"answer": "No."}}),
    }
    episode, rollout = only(told([span(1, 1, **entity), span(1, 2, 1, **chat)])[0])
    assert (episode.task.input, rollout.answer) == ("And 8?", "No.")


def test_openinference_in_attributes_and_in_the_columns_of_a_table(told):
    flat = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-5-mini",
        "llm.token_count.prompt": 5,
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Refund charge 7?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"id": 7}',
        "evaluations.0.evaluation.name": "correctness",
        "evaluations.0.evaluation.label": "incorrect",
        "evaluations.0.evaluation.explanation": "it did not look",
        "metadata": json.dumps({"reference": "Yes.", "family": "refunds"}),
    }
    nested = {
        "llm": {"input_messages": [{"message": {"role": "user", "content": "Refund charge 7?"}}]},
        "output": {"value": 'Yes "sir".'},
    }
    table = {"context.trace_id": "t", "context.span_id": "s", "parent_id": None, "status_code": "ERROR"}
    [(first, one), (_, two), (third, three)] = [
        only(told([row])[0])
        for row in (
            span(1, 1, **flat),
            {**span(1, 1), "attributes": nested},
            {**table, "status_message": "lost", **{f"attributes.{key}": value for key, value in flat.items()}},
        )
    ]

    assert (first.task.input, first.task.reference, first.task.family) == ("Refund charge 7?", "Yes.", "refunds")
    assert (one.answer, one.reward, one.feedback) == (
        'assistant calls: find({"id": 7})',
        0.0,
        "correctness: incorrect: it did not look",
    )
    assert (one.model, one.input_tokens, two.answer) == ("gpt-5-mini", 5, 'Yes "sir".')
    assert (third.task.id, three.error, three.reward) == (first.task.id, "lost", 0.0)


def test_a_graph_of_langchain_as_openinference_sees_it(told):
    human = {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Refund 7?"}}
    ai = {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "Yes."}}
    values = {"input.value": json.dumps({"messages": [human]}), "output.value": json.dumps({"messages": [human, ai]})}
    episode, rollout = only(told([span(1, 1, **values)])[0])

    assert (episode.task.input, rollout.answer) == ("Refund 7?", "user: Refund 7?\nassistant: Yes.")
    assert last_said(rollout.answer) == "Yes."


def test_evaluations_in_events_in_records_of_a_log_and_in_spans_of_their_own(told):
    asked = {"input.value": "Refund charge 7?", "output.value": "Yes."}
    trace = f"{1:032x}"
    record = {"traceId": trace, "spanId": f"{1:016x}", "eventName": "gen_ai.evaluation.result"}
    record["attributes"] = [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "reward"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.25}},
    ]
    log = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    judge = span(1, 2, 9, openinference__span__kind="EVALUATOR", gen_ai__evaluation__score__value=0.0)
    cases = [
        ([span(1, 1, events=[evaluation("relevance", 1.0), evaluation("reward", 0.0)], **asked)], 0.0),
        ([span(1, 1, events=[evaluation("relevance", 1.0), evaluation("tone", 0.0)], **asked)], None),
        ([span(1, 1, **asked), log], 0.25),
        ([span(1, 1, **asked), judge], 0.0),
        ([span(1, 1, events=[evaluation(score=1.0)], **asked), span(1, 2, 1, [evaluation(score=0.0)], **asked)], 1.0),
    ]
    for rows, reward in cases:
        assert only(told(rows)[0])[1].reward == reward, rows


def test_what_is_not_a_run_is_noted_and_what_is_wrong_is_refused(told):
    http = {**span(1, 1), "attributes": {"http.route": "/health"}}
    silent = span(2, 2, gen_ai__operation__name="invoke_agent")  # content was not captured
    grade = span(3, 3, events=[evaluation(score=4.0)], input__value="Refund charge 7?")
    circle = [span(4, 4, 5, input__value="a"), span(4, 5, 4, input__value="b")]
    episodes, refused, notes = told([http, silent, grade, *circle])

    assert (episodes, notes) == ([], ["a trace without a model or an agent"])
    assert sorted(refused) == sorted(
        ["no text of the task", "reward is not a number from 0 to 1", "spans that are each other's parents"]
    )


def test_names_and_values_of_any_depth_are_read(told):
    value = {"stringValue": "x"}
    for _ in range(200):
        value = {"kvlistValue": {"values": [{"key": "a", "value": value}]}}
    odd = [
        {"key": "a" + ".b" * 500, "value": {"intValue": "7"}},
        {"key": "input.value", "value": {"stringValue": "What?"}},
        {"key": "input.value.more", "value": value},
    ]
    row = {"traceId": "AA==", "spanId": "BB==", "attributes": odd, "status": {"code": 2}}
    rows = [{"resourceSpans": [{"scopeSpans": [{"spans": [row]}]}, {"scopeSpans": 7}, 7]}]
    episode, rollout = only(told(rows)[0])

    assert (episode.task.input, rollout.error, rollout.answer) == ("What?", "error", "")


def test_traces_are_imported_as_other_histories_are(cli, tmp_path, hashing):
    path = write(tmp_path / "spans.jsonl.gz", OTEL)
    report = json.loads(cli("histories", "import", "otel", path, "--json"))

    assert (report["read"], report["imported"], report["mean_reward"]) == (2, 2, {"helpdesk": 0.5})
    assert report["notes"] == {"a span inside a run": 2}
