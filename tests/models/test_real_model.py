"""SmolLM2-135M itself, from its package: what it knows, and what a skill tells it."""

import importlib.util

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from skill_plugin.models import chat_models
from skill_plugin.models.gguf import get_model
from skill_plugin.models.named_models import PACKAGED
from skill_plugin.prompts import guidance

SMOL = PACKAGED["smollm2-135m"]
pytestmark = pytest.mark.real

# One fact a skill, which nobody can know without it, and a question in other words.
FACTS = [
    ("museum-price", "A ticket for the museum costs 32 euros.", "How much is a museum ticket?", "32"),
    ("zoo-price", "A ticket for the zoo costs 47 euros.", "What do I pay for a zoo ticket?", "47"),
    ("ferry-price", "A ticket for the ferry costs 19 euros.", "Tell me the price of a ferry ticket.", "19"),
    ("library-phone", "The phone number of the library is 178 616.", "How can I call the library?", "178 616"),
    ("bakery-phone", "The phone number of the bakery is 442 903.", "What is the bakery's phone number?", "442 903"),
    ("kettle-shelf", "The kettle is on shelf Otter.", "On which shelf is the kettle?", "Otter"),
    ("ladder-shelf", "The ladder is on shelf Falcon.", "Where do I find the ladder?", "Falcon"),
    ("drill-shelf", "The drill is on shelf Badger.", "Which shelf has the drill?", "Badger"),
]


@pytest.fixture(scope="module")
def model(request):
    """Its folder is made once for all sessions, in pytest's cache."""
    lacking = [name for name in (SMOL.module, "gguf") if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"no weights of SmolLM2 here ({lacking[0]} is missing); run: make test-real")
    home = request.config.cache.mkdir("smollm2")
    get_model(SMOL.name, home)
    return chat_models.load(f"local:{SMOL.name}", home=home, max_tokens=24)


def test_it_knows_the_capital_of_france(model):
    reply = model.invoke("What is the capital of France?")

    assert "Paris" in reply.text
    assert chat_models.finish_reason(reply) == "stop"


def test_it_answers_by_a_skill_what_it_cannot_know(model):
    """Shown as the graph shows it, under ids that do not vary: in a store they are random, and so small a model heeds even those."""
    solved = {"without": 0, "with": 0}
    for name, fact, question, value in FACTS:
        text = f"---\nname: {name}\ndescription: A fact\n---\n\n{fact}\n"
        rules = SystemMessage(guidance([(f"{name}@1", name, text)]))
        solved["without"] += value in model.invoke(question).text
        solved["with"] += value in model.invoke([rules, HumanMessage(question)]).text

    print(f"solved of {len(FACTS)}: {solved}")  # noqa: T201 - a figure that we quote
    assert solved["without"] == 0
    assert solved["with"] > len(FACTS) / 2
