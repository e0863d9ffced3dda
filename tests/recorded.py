"""Small logs in the forms that others publish, each with the odd cases of the real ones."""

import gzip
import json


def lines(rows):
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def write(path, rows):
    """JSON lines; a row that is a text is written as it is."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(lines(rows))
    return path


def call(name, arguments):
    return {"role": "assistant", "tool_calls": [{"name": name, "arguments": json.dumps(arguments)}]}


def tau(trial, reward, said="Done."):
    return {
        "task_id": "tau-airline/0",
        "family": "tau-airline",
        "model": "gpt-4o",
        "trial": trial,
        "reward": reward,
        "instruction": "You are mia. You want a flight.",
        "gold_actions": [{"name": "book", "kwargs": {"to": "SEA"}}],
        "messages": [
            {"role": "user", "content": "A flight, please."},
            call("book", {"to": "SEA"}),
            {"role": "tool", "name": "book", "content": "booked"},
            {"role": "assistant", "content": said},
        ],
    }


TAU = [{"system_prompt": "# Policy"}, *(tau(trial, reward) for trial, reward in enumerate([0.0, 1.0, 1, 0.0]))]

STEPS = [
    {"action": "SELECT 1", "observation": "Error", "reward": 0.0},
    {"action": "SELECT 2", "observation": "[(2,)]", "reward": 0.5},
    {"action": "SELECT 3", "observation": "[]", "reward": 0},
]


def sql(number, reward, steps=STEPS, run="multi_gpt-4"):
    query = f"How many {number}?"
    return {
        "task_id": f"spider-dev/{number}", "family": "pets_1", "model": "gpt-4", "run": run, "query": query, "steps": steps,
        "reward": reward,
    }  # fmt: skip


SQL = [sql(0, 0), sql(1, 0.5), sql(2, 0, []), sql(3, 1.0, run="other")]

WEBSHOP = [
    {
        "task_id": "webshop/0",
        "query": "i need a wig",
        "steps": [{"action": "reset", "observation": "WebShop"}, {"action": "click[Buy Now]", "observation": "0.75"}],
        "reward": 0.75,
    }
]

ADAPT = [
    {
        "env": "env_0",
        "problem": "craft stairs.",
        "commands": "Crafting commands:\ncraft 4 stairs using 6 stone\n\n",
        "trace": " think: stone first\nOK.\n> get 6 stone\nGot 6 stone",
        "plans": ["craft stairs. at depth 1, success: True"],
        "reward": 1,
    },
    {"env": "env_1", "problem": "craft a bow.", "commands": "", "trace": "", "plans": ["fetch string"], "reward": 0},
]


def trial(number, env, memory, success, run="reflexion"):
    return {"run": run, "trial": number, "env": env, "memory": memory, "success": success}


TRIALS = [
    trial(0, "env_0", [], True),
    trial(0, "env_1", [" I forgot the plate."], False),
    trial(1, "env_0", [], True),
    trial(1, "env_1", [" I forgot the plate.", "Look in the drawer."], False),
    trial(2, "env_1", [" I forgot the plate.", "Look in the drawer."], True),
]

GSM8K = [
    {
        "task_id": "gsm8k-test/0",
        "query": "3 + 4?",
        "target": "7",
        "attempts": [
            {"model": "6b", "solution": "8", "reward": 0.0},
            {"model": "6b", "solution": "8", "reward": 0.0},
            {"model": "175b", "solution": "7", "reward": 1.0},
        ],
    },
    {"task_id": "gsm8k-test/1", "query": "1 + 1?", "target": "2", "attempts": [{"model": "6b", "solution": "2", "reward": 1.0}]},
]  # fmt: skip

CHEATSHEET = [
    {
        "query": "1 + 1?",
        "target": "2",
        "final_answer": "2",
        "reward": 1.0,
        "output": "It is 2.",
        "cheatsheet_after": "v1",
    },
    {
        "query": "2 + 2?",
        "target": "4",
        "final_answer": "5",
        "reward": 0.0,
        "output": "It is 5.",
        "cheatsheet_after": None,
    },
]


def run(run_id, /, **fields):
    """A run as `Client.list_runs` gives it, in JSON."""
    return {
        "id": run_id,
        "trace_id": run_id,
        "name": "LangGraph",
        "run_type": "chain",
        "start_time": "2026-11-20T08:00:00.000000",
        "end_time": "2026-11-20T08:00:02.500000",
        "status": "success",
        "error": None,
        "inputs": {"messages": [{"type": "human", "content": "Refund charge 7?", "id": "m1"}]},
        "outputs": {
            "messages": [
                {"type": "human", "content": "Refund charge 7?"},
                {"type": "ai", "content": "", "tool_calls": [{"name": "find", "args": {"id": 7}, "id": "c1"}]},
                {"type": "tool", "name": "find", "content": "twice", "tool_call_id": "c1"},
                {"type": "ai", "content": [{"type": "text", "text": "Yes."}]},
            ]
        },
        "parent_run_id": None,
        "session_name": "support",
        "reference_example_id": None,
        "prompt_tokens": 40,
        "completion_tokens": 2,
        "total_tokens": 42,
        "feedback_stats": {"correctness": {"n": 1, "avg": 1.0, "values": {}, "comments": ["as a person would"]}},
        "extra": {"metadata": {"ls_model_name": "gpt-5-mini", "thread_id": "t1"}, "runtime": {"sdk": "langsmith-py"}},
        **fields,
    }


LANGSMITH = [
    run("a"),
    run("a1", name="ChatOpenAI", run_type="llm", parent_run_id="a"),
    run("b", feedback_stats={}, outputs={"output": "No."}, inputs={"question": "Refund charge 8?"}),
    run("c", feedback=[{"key": "tone", "score": 0.2}, {"key": "reward", "score": 0.5, "comment": "half of it"}]),
    run("d", feedback_stats={"tone": {"n": 1, "avg": 1.0}, "speed": {"n": 1, "avg": 0.0}}, error="TimeoutError()"),
    run("e", feedback_stats={"stars": {"n": 1, "avg": 4.0}}),
]


def span(trace, number, parent=None, /, events=(), **attributes):
    """A span as `ConsoleSpanExporter` prints it. In a name of an attribute `__` stands for a dot."""
    return {
        "name": "invoke_agent helper",
        "context": {"trace_id": f"0x{trace:032x}", "span_id": f"0x{number:016x}", "trace_state": "[]"},
        "kind": "SpanKind.INTERNAL",
        "parent_id": parent and f"0x{parent:016x}",
        "start_time": f"2026-11-20T08:00:{number:02}.000000Z",
        "end_time": "2026-11-20T08:01:00.000000Z",
        "status": {"status_code": "UNSET"},
        "attributes": {key.replace("__", "."): value for key, value in attributes.items()},
        "events": list(events),
        "links": [],
        "resource": {"attributes": {"service.name": "helpdesk"}, "schema_url": ""},
    }


def said(role, text):
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def evaluation(name="Correctness", score=1.0, explanation="as it should be"):
    """An event by OpenTelemetry's conventions for GenAI."""
    attributes = {"name": name, "score.value": score, "explanation": explanation}
    return {
        "name": "gen_ai.evaluation.result",
        "timestamp": "2026-11-20T08:02:00.000000Z",
        "attributes": {f"gen_ai.evaluation.{key}": value for key, value in attributes.items()},
    }


ASKED = json.dumps([said("system", "Be short."), said("user", "Refund charge 7?")])

OTEL = [
    span(
        1, 3, 2,
        gen_ai__operation__name="chat", gen_ai__response__model="gpt-5-mini", gen_ai__usage__input_tokens=30,
        gen_ai__usage__output_tokens=4, gen_ai__input__messages=ASKED,
    ),
    span(1, 4, 2, gen_ai__operation__name="execute_tool", input__value="charge 7", output__value="twice"),
    span(
        1, 2, events=[evaluation(score=0.0, explanation="it was charged twice")],
        gen_ai__operation__name="invoke_agent", gen_ai__agent__name="refunds", gen_ai__conversation__id="thread-1",
        gen_ai__input__messages=ASKED, gen_ai__output__messages=json.dumps([said("assistant", "No.")]),
    ),
    span(2, 5, openinference__span__kind="CHAIN", input__value="And charge 8?", output__value="Yes.", reward=True),
]  # fmt: skip


BY_FORMAT = {
    "messages": TAU,
    "langsmith": LANGSMITH,
    "episodes": SQL,
    "trials": TRIALS,
    "attempts": GSM8K,
    "otel": OTEL,
}


def rollout(episode):
    """The rollout of an episode that has one."""
    (attempt,) = episode.rollouts
    return attempt.rollout
