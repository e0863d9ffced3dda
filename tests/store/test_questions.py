"""What is searched with where a task is a long paste, or a turn that says little."""

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from fakes import AgentChat
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store.search.questions import LONG, question_in, says_little, task_of_turns

QUESTION = "A customer paid twice, refund the second payment."
LOG = "\n".join(
    f"2026-11-27T02:{number % 60:02d}:11Z GET /api/items/{number} 200 {number * 7 % 991}ms" for number in range(3000)
)
PROSE = " ".join(f"word{number % 977} and then" for number in range(9000))


def test_a_request_is_searched_with_as_it_is():
    assert question_in(QUESTION * 100) == QUESTION * 100


@pytest.mark.parametrize("paste", [LOG, LOG.replace("GET", "POST"), "\n".join(f"{n};a;b;{n}" for n in range(5000))])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_question_is_found_wherever_it_stands(paste, place):
    half = paste.index("\n", len(paste) // 2)
    text = {
        "first": f"{QUESTION}\n\n{paste}", "last": f"{paste}\n\n{QUESTION}", "middle": f"{paste[:half]}\n\n{QUESTION}\n{paste[half:]}",
    }[place]  # fmt: skip
    assert QUESTION in question_in(text)
    assert len(question_in(text)) < 1000


@pytest.mark.parametrize("text", [f"{QUESTION} {PROSE}", f"{PROSE} {QUESTION}"])
def test_of_prose_both_ends_are_kept(text):
    assert QUESTION in question_in(text)


@pytest.mark.parametrize(
    "text", ["\u9000\u6b3e\u6d41\u7a0b" * 100_000, "A" * 2_000_000, "\n" * LONG * 2 + "x", "1" * LONG * 2]
)
def test_any_text_is_bounded(text):
    assert 0 < len(question_in(text)) <= 1000


def test_search_goes_by_the_question(open_store, tmp_path):
    store = open_store(tmp_path / "s", embedder=HashingEmbedder())
    store.add(name="http-logs", description="Read HTTP access logs and count requests per minute", body="1.")
    store.add(name="refunds", description="Refund a customer who paid twice", body="1.")
    half = LOG.index("\n", 100_000)

    for text in (f"{QUESTION}\n\n{LOG}", f"{LOG}\n\n{QUESTION}", f"{LOG[:half]}\n\n{QUESTION}\n{LOG[half:]}"):
        assert store.search(text, k=1)[0].name == "refunds"


@pytest.mark.parametrize(
    "turn",
    [
        "Yes, please do it.",
        "ok",
        "Thanks! And the other one too.",
        "go ahead",
        "Ja, bitte!",
        "oui",
        "\u597d\u7684",
        "\u306f\u3044\u3001\u304a\u9858\u3044\u3057\u307e\u3059",
        "y",
        "1",
    ],
)
def test_turns_that_say_little(turn):
    assert says_little(turn)


@pytest.mark.parametrize(
    "turn", ["ship a parcel", "add 2 and 2", "refund it", "Yes, and also cancel order 18", "no refunds please"]
)
def test_turns_that_name_work(turn):
    assert not says_little(turn)
    assert task_of_turns(["a customer was charged twice", turn]) == turn


def test_the_task_of_a_turn_that_says_little_is_what_it_answers():
    assert task_of_turns(["charged twice", "yes, please", "thanks"]) == "charged twice\nthanks"
    assert (task_of_turns(["ok"]), task_of_turns([]), task_of_turns(["charged twice", "  "])) == ("ok", "", "  ")


def test_a_conversation_keeps_its_skill_and_credits_no_other(open_store, tmp_path):
    store = open_store(tmp_path / "s", embedder=HashingEmbedder())
    store.add(
        name="refunds", description="Refund a customer who was charged twice", body="1. Never without a ticket number."
    )
    store.add(name="yes-no-forms", description="Fill in yes or no forms, please", body="1. Tick a box.")
    model = AgentChat(lambda messages: "done")
    middleware = SkillMiddleware(store, verifier=lambda task, answer: 1.0)
    agent = create_agent(model, [], checkpointer=InMemorySaver(), middleware=[middleware])
    for turn in ("A customer was charged twice for order 17", "Yes, please do it.", "Thanks! And the other one too."):
        agent.invoke({"messages": [("user", turn)]}, {"configurable": {"thread_id": "1"}})

    assert (store.get("refunds").uses, store.get("yes-no-forms").uses) == (3, 0)
    assert all('name="refunds"' in str(seen[0].content) for seen in model.seen)
