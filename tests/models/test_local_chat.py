import asyncio
import threading
import time
from concurrent.futures import CancelledError

import pytest
import torch
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel

from skill_plugin import generators
from skill_plugin.errors import ConfigurationError, ModelError
from skill_plugin.generators import LocalGenerator
from skill_plugin.models import chat_models, local_engine
from skill_plugin.models.local_engine import LocalEngine, LocalSampling, engine_of
from skill_plugin.records import Task
from skill_plugin.settings import Settings
from tiny_models import tiny_model

FOREVER = 3000


class Ollama(BaseModel):
    num_predict: int = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "model")


def chat(folder, **options):
    return chat_models.load(f"local:{folder}", **{"dtype": "float32", "max_tokens": 12, **options})


def until(is_so):
    while not is_so():
        time.sleep(0.01)


class Batches(list):
    """The number of calls of each batch."""

    wanted = 1

    def wait_for(self, calls, model):
        """Has the next batch begin when so many calls wait."""
        until(lambda: not getattr(model, "_engine", model)._is_at_work)
        self.wanted = calls


@pytest.fixture
def batches(monkeypatch):
    sizes = Batches()
    generate, work = LocalEngine._generate, LocalEngine._work

    def noted(self, rows):
        sizes.append(len(rows))
        generate(self, rows)

    def gathered(self):
        until(lambda: len(self._waiting) >= sizes.wanted)
        work(self)

    monkeypatch.setattr(LocalEngine, "_generate", noted)
    monkeypatch.setattr(LocalEngine, "_work", gathered)
    return sizes


def test_calls_that_wait_together_run_as_one_batch_and_say_what_they_say_alone(folder, batches):
    model = chat(folder)
    questions = ["a", "a rather longer question " * 5, "2 + 2?", "b"]

    alone = [model.invoke(one).text for one in questions]
    assert batches == [1, 1, 1, 1]
    batches.wait_for(4, model)
    together = [reply.text for reply in model.batch(questions)]

    assert batches[4:] == [4]
    assert together == alone
    assert len(set(alone)) > 1


def test_a_batch_has_its_limits(folder, batches, monkeypatch):
    monkeypatch.setattr(local_engine, "MAX_BATCH", 3)
    model = chat(folder)
    batches.wait_for(7, model)
    model.batch(["a"] * 7, config={"max_concurrency": 7})
    assert batches == [3, 3, 1]

    monkeypatch.setattr(local_engine, "MAX_BATCH_TOKENS", 10)
    batches.wait_for(2, model)
    model.batch(["a"] * 2)
    assert batches[3:] == [1, 1]


def test_each_call_of_a_batch_has_its_own_settings(folder, batches):
    engine = engine_of(folder, dtype="float32")
    batches.wait_for(6, engine)
    ask = [{"role": "user", "content": "2 + 2?"}]
    wanted = [
        LocalSampling(max_tokens=5), LocalSampling(max_tokens=9), LocalSampling(temperature=1, seed=1, max_tokens=9),
        LocalSampling(temperature=1, seed=2, max_tokens=9), LocalSampling(temperature=1, seed=1, max_tokens=9),
        LocalSampling(temperature=5, top_p=1e-6, max_tokens=9),
    ]  # fmt: skip

    replies = [future.result() for future in [engine.submit(ask, one) for one in wanted]]

    short, greedy, one, two, again, nucleus = (reply.token_ids for reply in replies)
    assert batches == [6]
    assert short == greedy[:5]
    assert one == again != two
    assert nucleus == greedy


def test_a_seed_repeats_a_reply_and_without_one_it_varies(folder):
    model = chat(folder, temperature=1.0, max_tokens=20)

    assert model.invoke("a", seed=7).text == model.invoke("a", seed=7).text
    assert model.invoke("a").text != model.invoke("a").text


def test_a_reply_ends_before_a_stop_string_or_is_cut_by_its_limit(folder):
    model = chat(folder, max_tokens=30)
    whole = model.invoke("2 + 2?")
    stop = whole.text[6:9]

    stopped = model.invoke("2 + 2?", stop=["never", stop])

    assert whole.response_metadata["finish_reason"] == "length"
    assert chat_models.finish_reason(whole) == "length"
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.response_metadata["finish_reason"] == "stop"
    assert stopped.usage_metadata["output_tokens"] < 30


def test_logprobs_are_those_of_the_distribution_that_was_sampled_from(folder):
    check = LocalGenerator(folder)
    for given in ({}, {"temperature": 0.7, "seed": 1}, {"temperature": 1.5, "top_p": 0.6, "seed": 2}):
        said = chat(folder, logprobs=True, **given).invoke("2 + 2?").response_metadata
        prompt, ids = said["prompt_token_ids"], said["token_ids"]
        with torch.inference_mode():
            logits = check.model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        expected = []
        for row, token in zip((logits / given.get("temperature", 1)).softmax(-1), ids, strict=True):
            mass, order = row.sort(descending=True)
            kept = order[mass.cumsum(0) - mass < given.get("top_p", 1)]
            assert token in kept
            expected.append(float((row[token] / row[kept].sum()).log()))

        assert [one["logprob"] for one in said["logprobs"]["content"]] == pytest.approx(expected, abs=1e-3)
        assert "logprobs" not in chat(folder, **given).invoke("2 + 2?").response_metadata


def test_tokens_are_drawn_as_often_as_their_logprobs_say(folder):
    engine = engine_of(folder, dtype="float32")
    one = LocalSampling(temperature=1, max_tokens=1)
    replies = [engine.submit([{"role": "user", "content": "a"}], one) for _ in range(640)]
    drawn = [(future.result().token_ids[0], future.result().logprobs[0]) for future in replies]
    likely = {token: torch.tensor(logprob).exp() for token, logprob in drawn}

    for token in sorted(likely, key=likely.get)[-3:]:
        p = likely[token]
        share = sum(one == token for one, _ in drawn) / len(drawn)
        assert abs(share - p) < 5 * (p * (1 - p) / len(drawn)) ** 0.5


def test_a_prompt_that_does_not_fit_is_one_line(folder):
    with pytest.raises(
        ModelError, match=r"the prompt is \d+ tokens long and the context of .* 4096; use a model"
    ) as caught:
        chat(folder).invoke("word " * 5000)
    assert "\n" not in str(caught.value)


def test_a_model_that_fails_tells_every_caller(folder, monkeypatch, batches):
    monkeypatch.setattr(LocalEngine, "_draw", lambda *_: 1 / 0)
    model = chat(folder)
    batches.wait_for(2, model)
    replies = model.batch(["a", "b"], return_exceptions=True)

    assert batches == [2]
    assert ["ZeroDivisionError" in str(one) for one in replies if isinstance(one, ModelError)] == [True, True]


class TestInterrupts:
    """A reply of 3,000 tokens takes many seconds; its end is heard at the next token."""

    @pytest.fixture
    def tokens(self, monkeypatch):
        """Counts tokens, none of which ends a text."""
        drawn = []
        draw = LocalEngine._draw

        def count(self, rows, scores):
            drawn.append(len(rows))
            scores[:, self._loaded.ends] = -torch.inf
            return draw(self, rows, scores)

        monkeypatch.setattr(LocalEngine, "_draw", count)
        return drawn

    def wait(self, tokens, engine):
        """Waits until the engine rests; returns how many tokens it drew."""
        until(lambda: not engine._is_at_work)
        return len(tokens)

    async def test_a_cancelled_task_ends_its_call(self, folder, tokens):
        model = chat(folder, max_tokens=FOREVER)
        call = asyncio.create_task(model.ainvoke("a"))
        await asyncio.to_thread(until, lambda: tokens)
        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        assert self.wait(tokens, model._engine) < FOREVER

    async def test_the_other_calls_of_the_batch_go_on(self, folder, tokens, batches):
        model = chat(folder, max_tokens=40)
        batches.wait_for(2, model)
        kept, ended = (asyncio.create_task(model.ainvoke(one)) for one in "ab")
        await asyncio.to_thread(until, lambda: tokens)
        ended.cancel()

        assert (await kept).usage_metadata["output_tokens"] == 40
        assert batches == [2]

    def test_an_interrupted_model_ends_all_calls_and_can_be_loaded_again(self, folder, tokens):
        model = chat(folder, max_tokens=FOREVER)
        said = []

        def ask():
            with pytest.raises(ModelError) as caught:
                model.invoke("a")
            said.append(str(caught.value))

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: tokens)
        local_engine.interrupt_all()
        thread.join()

        assert "was interrupted; load it again" in said[0]
        assert self.wait(tokens, model._engine) < FOREVER
        with pytest.raises(ModelError, match="was interrupted"):
            model.invoke("a")
        assert chat(folder, max_tokens=1).invoke("a").usage_metadata["output_tokens"] == 1

    def test_a_call_that_ctrl_c_ended_leaves_nothing_that_runs(self, folder, tokens, monkeypatch):
        model = chat(folder, max_tokens=FOREVER)

        def interrupted(self, timeout=None):
            until(lambda: tokens)
            raise KeyboardInterrupt

        monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.invoke("a")
        assert self.wait(tokens, model._engine) < FOREVER

    async def test_a_cancelled_proposal_ends_its_generation(self, folder):
        writer = generators.local(folder, max_new_tokens=2000, seed=1)
        drawn, sample = [], writer._sample

        def noted(*given):
            drawn.append(None)
            result = sample(*given)
            drawn.append(len(result[0][0]))
            return result

        writer._sample = noted
        call = asyncio.create_task(writer.apropose(Task("2 + 2?"), [], n=1))
        await asyncio.to_thread(until, lambda: drawn)
        call.cancel()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            await call
        await asyncio.to_thread(until, lambda: len(drawn) == 2)
        assert drawn[1] < 2000


class TestNames:
    def test_settings_give_the_task_llm_its_limits_and_nobody_else(self, folder):
        settings = Settings.load(
            model=f"local:{folder}", task_max_tokens=3, task_temperature=0.5, base_url="http://a/v1"
        )

        task_llm, other = chat_models.from_settings(settings), chat_models.from_settings(settings, f"local:{folder}")

        assert (task_llm.max_tokens, task_llm.temperature) == (3, 0.5)
        assert (other.max_tokens, other.temperature) == (512, 0)
        assert chat_models.name_of(task_llm) == str(folder)
        assert task_llm._engine is other._engine

    def test_other_providers_get_them_by_the_names_that_they_have(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        settings = Settings.load(model="openai:gpt-4o-mini", task_max_tokens=3, task_temperature=0.5)

        model = chat_models.from_settings(settings)

        assert (model.max_tokens, model.temperature) == (3, 0.5)
        assert chat_models._spelt("max_tokens", Ollama, "task") == "num_predict"
        with pytest.raises(ConfigurationError, match="Ollama takes no temperature; leave task_temperature out"):
            chat_models._spelt("temperature", Ollama, "task")

    def test_a_short_name_is_looked_up_in_the_home(self, home):
        tiny_model(home / "models" / "mine")

        model = chat_models.from_settings(Settings.load(home=home, model="local:mine"))

        assert model._engine.path == str(home / "models" / "mine")
        assert chat_models.name_of(model) == "mine"

    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("local:", {}, "names no model"),
            ("local:./nowhere", {}, "there is no model folder"),
            ("local:smollm2-135m", {}, "run: skill-plugin models get smollm2-135m"),
            ("local:x", {"temperature": -1}, "temperature is -1"),
            ("local:x", {"max_tokens": "many"}, "cannot have max_tokens='many'"),
            ("local:x", {"top_k": 3}, "cannot have top_k=3"),
        ],
    )
    def test_what_cannot_work_is_one_line(self, name, options, said):
        with pytest.raises(ConfigurationError, match=said) as caught:
            chat_models.load(name, **options)
        assert "\n" not in str(caught.value)

    def test_a_call_with_what_a_local_model_does_not_take(self, folder):
        with pytest.raises(ConfigurationError, match="cannot be called with 'tools'; it takes temperature"):
            chat(folder).invoke("a", tools=[])
        with pytest.raises(ConfigurationError, match="cannot call its 1 tools; use an agent without tools"):
            chat(folder).bind_tools([{"name": "a"}])


def test_messages_of_langchain_become_turns(folder):
    said = chat(folder, logprobs=True).invoke(
        [SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "Hi"}])]
    )
    prompt = LocalGenerator(folder).tokenizer.decode(said.response_metadata["prompt_token_ids"])

    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>")
