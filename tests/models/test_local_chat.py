import asyncio
import threading
import time
from concurrent.futures import CancelledError

import pytest
import torch
from langchain_core.messages import HumanMessage, SystemMessage

from skill_plugin import generators
from skill_plugin.errors import ModelError
from skill_plugin.generators import LocalGenerator
from skill_plugin.models import chat_models, local_calls, local_engine
from skill_plugin.models.local_calls import LocalSampling
from skill_plugin.models.local_engine import LocalEngine, engine_of
from skill_plugin.records import Task
from tiny_models import tiny_adapter, tiny_model

FOREVER = 3000


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
    monkeypatch.setattr(local_calls, "MAX_BATCH", 3)
    model = chat(folder)
    batches.wait_for(7, model)
    model.batch(["a"] * 7, config={"max_concurrency": 7})
    assert batches == [3, 3, 1]

    monkeypatch.setattr(local_calls, "MAX_BATCH_TOKENS", 10)
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
            scores[:, self.loaded.ends] = -torch.inf
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

    @pytest.mark.parametrize("dtype", [None, "float32"])
    async def test_a_cancelled_proposal_ends_its_generation(self, folder, tokens, dtype):
        writer = generators.local(folder, max_new_tokens=2000, seed=1, dtype=dtype)
        call = asyncio.create_task(writer.apropose(Task("2 + 2?"), [], n=3))
        await asyncio.to_thread(until, lambda: tokens)
        call.cancel()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            await call
        assert self.wait(tokens, writer._engine) < 2000


class TestOneEngine:
    """The task LLM and the generator of one model share its weights and its batches."""

    def test_a_generator_and_a_chat_model_of_one_dtype_share_the_weights(self, folder, tmp_path):
        model = chat(folder)

        assert generators.local(folder)._engine is model._engine  # which was saved in float32
        assert generators.local(folder, dtype="bfloat16")._engine is not model._engine
        adapter = tiny_adapter(tmp_path / "a", folder)
        assert generators.local(folder, adapter)._engine is not model._engine
        assert generators.local(folder, adapter)._engine.path == model._engine.path

    async def test_prompts_of_several_lineages_and_calls_run_as_one_batch(self, folder, batches):
        writer, model = generators.local(folder, max_new_tokens=8, seed=1), chat(folder)
        alone = [writer.propose(Task(one), [], n=2) for one in ("2 + 2?", "a longer task " * 9)]
        said = model.invoke("a").text
        batches.wait_for(5, model)

        first, reply, second = await asyncio.gather(
            writer.apropose(Task("2 + 2?"), [], n=2),
            model.ainvoke("a"),
            writer.apropose(Task("a longer task " * 9), [], n=2),
        )

        assert batches[3:] == [5]
        assert [[one.completion_token_ids for one in some] for some in (first, second)] == [
            [one.completion_token_ids for one in some] for some in alone
        ]
        assert reply.text == said

    def test_a_prompt_is_read_once_for_all_of_its_candidates(self, folder, monkeypatch):
        writer = generators.local(folder, max_new_tokens=6, seed=1)
        forward, sizes = writer.model.forward, []

        def noted(*given, **options):
            sizes.append(tuple(options["input_ids"].shape))
            return forward(*given, **options)

        monkeypatch.setattr(writer.model, "forward", noted)
        revisions = writer.propose(Task("2 + 2?"), [], n=4)
        tokens = revisions[0].input_tokens
        assert sizes[:2] == [(1, tokens - 1), (4, 1)]

        writer._engine._shares_prompts, sizes[:] = False, []
        again = writer.propose(Task("2 + 2?"), [], n=4)
        assert sizes[0] == (4, tokens)
        assert [one.completion_token_ids for one in again] == [one.completion_token_ids for one in revisions]
        assert again[0].logprobs == pytest.approx(revisions[0].logprobs, abs=1e-4)

    def test_a_text_that_does_not_end_does_not_hold_up_the_others(self, folder, batches, monkeypatch):
        monkeypatch.setattr(local_engine, "JOIN_TOKENS", 5)
        draw = LocalEngine._draw

        def endless(self, rows, scores):
            scores[:, self.loaded.ends] = -torch.inf
            if batches[-1:] == [1] and not late:
                late.append(engine.submit([{"role": "user", "content": "b"}], LocalSampling(max_tokens=4)))
            return draw(self, rows, scores)

        late = []
        monkeypatch.setattr(LocalEngine, "_draw", endless)
        engine = engine_of(folder, dtype="float32")
        long = engine.submit([{"role": "user", "content": "a"}], LocalSampling(max_tokens=30))
        until(lambda: late)

        assert len(late[0].result().token_ids) == 4
        assert not long.done()
        reply = long.result()
        assert batches == [1, 2]
        assert len(reply.token_ids) == len(reply.logprobs) == 30
        assert engine.submit([{"role": "user", "content": "a"}], LocalSampling(max_tokens=30)).result().token_ids == (
            reply.token_ids
        )


def test_messages_of_langchain_become_turns(folder):
    said = chat(folder, logprobs=True).invoke(
        [SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "Hi"}])]
    )
    prompt = LocalGenerator(folder).tokenizer.decode(said.response_metadata["prompt_token_ids"])

    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>")
