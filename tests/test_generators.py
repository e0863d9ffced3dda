import pytest

from fakes import MACHINE, ScriptedChat, skill_text
from skill_plugin import Generation, Revision, Rollout, Task, generators
from skill_plugin.errors import ConfigurationError
from skill_plugin.revision_prompt import PROMPT_VERSION, revise_prompt

TASK = Task("2 + 2?", reference="4")
HISTORY = [Generation(number=0, text=skill_text(), skill="sk_1@1", rollouts=(Rollout(generation=0, answer="3"),))]


def test_a_revision_keeps_the_exact_prompt_and_completion():
    model = ScriptedChat([MACHINE], model_name="writer")

    assert generators.chat(model).propose(TASK, HISTORY, n=1) == [
        Revision(
            completion=MACHINE,
            prompt=tuple(revise_prompt(TASK, HISTORY)),
            text=MACHINE,
            model="writer",
            sampling={"prompt_version": PROMPT_VERSION},
            input_tokens=10,
            output_tokens=2,
        )
    ]
    assert [message.text for message in model.seen[0]] == [m["content"] for m in revise_prompt(TASK, HISTORY)]


def test_n_candidates_are_sampled_from_one_prompt():
    model = ScriptedChat([MACHINE, "nonsense"])
    one, two = generators.chat(model).propose(TASK, HISTORY, n=2)

    assert (one.error, two.text) == (None, None)
    assert "no front matter" in two.error
    assert one.prompt == two.prompt


async def test_async_proposes_the_same():
    sync = generators.chat(ScriptedChat([MACHINE])).propose(TASK, HISTORY, n=1)

    assert await generators.chat(ScriptedChat([MACHINE])).apropose(TASK, HISTORY, n=1) == sync


def test_a_completion_alone_is_read_where_it_is_used():
    assert generators.read(Revision(completion=MACHINE), HISTORY).text == MACHINE
    assert "same as" in generators.read(Revision(completion=skill_text()), HISTORY).error
    done = Revision(completion="x", error="refused")
    assert generators.read(done, HISTORY) is done


def test_a_chat_model_is_taken_as_a_generator():
    assert isinstance(generators.as_generator(ScriptedChat([])), generators.ChatGenerator)
    with pytest.raises(ConfigurationError, match="str is no generator"):
        generators.as_generator("openai:gpt-5-mini")
