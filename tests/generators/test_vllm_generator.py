"""What a vLLM server's replies become, and what its absence does; a stub speaks vLLM 0.32's protocol. `test_vllm.py` has the real one."""

import asyncio
import logging
import sys
import threading
import time

import pytest

from fakes import MACHINE
from skill_plugin import Revision, Task, generators
from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError
from skill_plugin.generators.prompt import PROMPT_VERSION, revise_prompt
from stub_llm import HALF, HANG, RESET, Reply, choice, completion, fails, says, stub_llm, wrote

TASK = Task("2 + 2?", reference="4")
UNKNOWN = fails(404, "The model `a` does not exist.")
LOADED = Reply(b"Success: LoRA adapter 'a' added successfully.")
ALREADY = fails(400, "The lora adapter 'a' has already been loaded.")


def first_token(*likeliest):
    """The reply to the question how log-probabilities are meant."""
    content = [{"logprob": likeliest[0], "top_logprobs": [{"logprob": one} for one in likeliest]}]
    return wrote({**choice(), "logprobs": {"content": content}})


def models(**folders):
    return Reply(
        {"data": [{"id": "base", "root": "base"}, *({"id": id_, "root": root} for id_, root in folders.items())]}
    )


def writer(server, *adapter, **options):
    return generators.vllm(server.url, "base", *adapter, **{"patience": 0, **options})


def paths(server):
    return [path.removeprefix("/v1") for path in server.paths]


def test_a_revision_carries_what_training_needs():
    with stub_llm(wrote(choice(index=1, text="nonsense", ids=[7], logprobs=[-3.0]), choice())) as server:
        one, two = writer(server, max_tokens=50, seed=4).propose(TASK, [], n=2)

    prompt = revise_prompt(TASK, [])
    assert one == Revision(
        completion=MACHINE,
        prompt=tuple(prompt),
        text=MACHINE,
        model="base",
        sampling={
            "temperature": 1.0, "top_p": 1.0, "max_tokens": 50, "seed": 4, "logprobs_mode": "raw_logprobs",
            "prompt_version": PROMPT_VERSION,
        },
        prompt_token_ids=(1, 2, 3),
        completion_token_ids=(8, 9),
        logprobs=(-0.5, -0.25),
        finish_reason="stop",
        input_tokens=3,
        output_tokens=2,
    )  # fmt: skip
    assert (two.completion_token_ids, two.logprobs, two.output_tokens) == ((7,), (-3.0,), 1)
    assert "no front matter" in two.error
    assert server.calls == [
        {
            "model": "base", "messages": prompt, "n": 2, "logprobs": True, "return_token_ids": True,
            "temperature": 1.0, "top_p": 1.0, "max_tokens": 50, "seed": 4,
            "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        }
    ]  # fmt: skip


async def test_async_proposes_the_same():
    with stub_llm(wrote()) as server:
        assert await writer(server).apropose(TASK, [], n=1) == writer(server).propose(TASK, [], n=1)


def test_a_cut_completion_is_a_failed_revision_with_its_tokens():
    with stub_llm(wrote(choice(why="length"))) as server:
        [revision] = writer(server).propose(TASK, [], n=1)

    assert (revision.text, revision.completion_token_ids, revision.logprobs) == (None, (8, 9), (-0.5, -0.25))
    assert "cut off by its token limit" in revision.error


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (wrote(choice(logprobs=[-0.5])), "2 token ids and 1 log-probabilities"),
        (wrote(choice(ids=[], logprobs=[])), "0 token ids and 0"),
        (wrote(choice(logprobs=[-0.5, -9999.0])), "which cannot be"),
        (wrote(choice(logprobs=[-0.5, 12.0])), "--logprobs-mode"),
        (wrote(choice(logprobs=[-0.5, float("nan")])), "which cannot be"),
        (wrote(choice(ids=None)), "cannot be read"),
        (wrote(choice(logprobs=None)), "cannot be read"),
        (wrote(prompt_token_ids=None), "cannot be read"),
        (wrote(choice(ids=["8", "9"])), "cannot be read"),
        (wrote(choice(), choice(index=1)), "2 completions for 1"),
        (wrote(choice(why="abort")), "finish_reason 'abort'"),
        (says(MACHINE), "vLLM's"),
        (completion(choices=None), "cannot be read"),
        (Reply(b"<html>"), "cannot be read"),
        (fails(400, "maximum context length is 4096"), "400: maximum context length"),
        (fails(401), "VLLM_API_KEY"),
        (fails(404, "The model `base` does not exist."), "ends in /v1"),
        (Reply({"detail": "Not Found"}, 404), "404: Not Found"),
        (fails(500, "engine died\nTraceback"), "500: engine died"),
    ],
)
def test_what_cannot_be_trained_on_is_one_clear_error(reply, said):
    with stub_llm(reply) as server, pytest.raises(ModelError, match=said) as caught:
        writer(server).propose(TASK, [], n=1)

    assert len(server.calls) == 1
    assert "\n" not in str(caught.value)


class TestLogprobsMode:
    """vLLM does not say whether its log-probabilities are those of the distribution that was sampled from."""

    @pytest.mark.parametrize(
        ("hot", "mode"),
        [((-7.0, -0.1, -4.0, -4.0, -4.1), "raw_logprobs"), ((-3.0, -0.4, -2.35, -2.35, -2.4), "processed_logprobs")],
    )
    def test_it_is_found_out_once_where_it_matters(self, hot, mode):
        with stub_llm(first_token(-9.0, -0.1, -4.0, -4.0, -4.1), first_token(*hot), wrote()) as server:
            generator = writer(server, temperature=0.7)
            found = [generator.propose(TASK, [], n=1)[0].sampling["logprobs_mode"] for _ in range(2)]

        assert found == [mode, mode]
        assert [(call["temperature"], call["max_tokens"]) for call in server.calls] == [
            (1.0, 1), (2.0, 1), (0.7, 1024), (0.7, 1024),
        ]  # fmt: skip


class TestAdapters:
    def test_a_checkpoint_is_asked_for_by_name(self):
        with stub_llm(wrote()) as server:
            [revision] = writer(server, "a").propose(TASK, [], n=1)

        assert (revision.model, revision.checkpoint, server.calls[0]["model"]) == ("base", "a", "a")

    def test_one_that_the_server_does_not_know_is_loaded_where_its_folder_is_known(self):
        with stub_llm(UNKNOWN, LOADED, wrote()) as server:
            [revision] = writer(server, None, "/adapters/a").propose(TASK, [], n=1)

        assert revision.checkpoint == "a"
        assert paths(server) == ["/chat/completions", "/load_lora_adapter", "/chat/completions"]
        assert server.calls[1] == {"lora_name": "a", "lora_path": "/adapters/a"}

    def test_a_server_that_goes_away_after_it_loaded_one_is_given_it_again(self):
        with stub_llm(UNKNOWN, LOADED, UNKNOWN, LOADED, wrote()) as server:
            assert len(writer(server, None, "/adapters/a").propose(TASK, [], n=1)) == 1

    def test_a_server_that_never_knows_what_it_loaded_is_an_error(self):
        with stub_llm(*[UNKNOWN, LOADED] * 3, UNKNOWN) as server, pytest.raises(ModelError, match="404"):
            writer(server, None, "/adapters/a").propose(TASK, [], n=1)

    def test_one_without_a_folder_is_an_error(self):
        with stub_llm(UNKNOWN) as server, pytest.raises(ModelError, match=r"with 'a' \(404: The model `a`"):
            writer(server, "a").propose(TASK, [], n=1)

        assert len(server.calls) == 1

    def test_loading_again_does_nothing(self):
        with stub_llm(LOADED, ALREADY, models(a="/adapters/a")) as server:
            generator = writer(server)
            generator.load_adapter("a", "/adapters/a")
            generator.load_adapter("a", "/adapters/a")

        assert paths(server) == ["/load_lora_adapter", "/load_lora_adapter", "/models"]

    def test_a_name_that_is_another_folders_is_an_error(self):
        with stub_llm(ALREADY, models(a="/adapters/old")) as server, pytest.raises(ModelError, match="/adapters/old"):
            writer(server).load_adapter("a", "/adapters/a")

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Reply({"detail": "Not Found"}, 404), "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
            (fails(500, "rank 64 is greater than 16"), "rank 64"),
        ],
    )
    def test_a_server_that_cannot_load_says_why(self, reply, said):
        with stub_llm(reply) as server, pytest.raises(ModelError, match=said):
            writer(server).load_adapter("a", "/adapters/a")

    def test_unloading_what_is_not_loaded_does_nothing(self):
        with stub_llm(LOADED, fails(404, "The lora adapter 'a' cannot be found."), Reply({}, 404)) as server:
            generator = writer(server)
            generator.unload_adapter("a")
            generator.unload_adapter("a")
            with pytest.raises(ModelError, match="did not unload"):
                generator.unload_adapter("a")


class TestAwayServers:
    @pytest.mark.parametrize("fault", [RESET, HALF, fails(502), fails(503), fails(429)], ids=lambda fault: fault.kind)
    def test_a_fault_that_passes_is_waited_out(self, fault):
        with stub_llm(fault, fault, wrote()) as server:
            [revision] = writer(server, patience=20).propose(TASK, [], n=1)

        assert (revision.text, len(server.calls)) == (MACHINE, 3)

    def test_a_server_that_is_killed_is_waited_for_until_it_is_back_and_its_adapter_with_it(self):
        with stub_llm(wrote()) as server:
            generator, port = writer(server, "a", "/adapters/a", patience=20), server.server_port
            generator.propose(TASK, [], n=1)
        found = []
        waiting = threading.Thread(target=lambda: found.extend(generator.propose(TASK, [], n=1)))
        waiting.start()
        time.sleep(0.4)
        assert waiting.is_alive()

        with stub_llm(UNKNOWN, LOADED, wrote(), port=port) as server:
            waiting.join(20)

        assert [revision.checkpoint for revision in found] == ["a"]
        assert paths(server) == ["/chat/completions", "/load_lora_adapter", "/chat/completions"]

    def test_patience_ends(self):
        with stub_llm(RESET) as server, pytest.raises(ModelError, match=r"waited for 0\.3 s"):
            writer(server, patience=0.3).propose(TASK, [], n=1)

    def test_a_busy_server_says_when_to_come_back(self):
        with stub_llm(fails(429, retry_after="1"), wrote()) as server:
            began = time.monotonic()
            writer(server, patience=200).propose(TASK, [], n=1)

        assert time.monotonic() - began >= 1

    def test_one_that_asks_for_more_patience_than_there_is_fails_at_once(self):
        with stub_llm(fails(429, "slow down", retry_after="600")) as server:
            with pytest.raises(ModelError, match="429: slow down"):
                writer(server, patience=5).propose(TASK, [], n=1)
            assert len(server.calls) == 1

    def test_a_server_that_hangs_is_not_asked_again(self):
        with stub_llm(HANG) as server:
            with pytest.raises(ModelError, match="ReadTimeout"):
                writer(server, patience=5, timeout=0.2).propose(TASK, [], n=1)
            assert len(server.calls) == 1

    async def test_waiting_does_not_hold_up_the_event_loop(self):
        with stub_llm(RESET, wrote()) as server:
            proposing = asyncio.create_task(writer(server, patience=20).apropose(TASK, [], n=1))
            await asyncio.sleep(0.05)
            assert not proposing.done()
            assert len(await proposing) == 1


@pytest.mark.parametrize("name", ["VLLM_API_KEY", "OPENAI_API_KEY"])
def test_the_servers_key_comes_from_the_environment_and_is_in_no_log_and_no_error(monkeypatch, caplog, name):
    monkeypatch.setenv(name, "sk-secret")
    caplog.set_level(logging.DEBUG)

    with stub_llm(wrote(), fails(400)) as server:
        generator = writer(server)
        [revision] = generator.propose(TASK, [], n=1)
        with pytest.raises(ModelError) as caught:
            generator.propose(TASK, [], n=1)

    assert server.keys == ["Bearer sk-secret"] * 2
    assert "sk-secret" not in f"{caplog.text}{caught.value!r}{vars(generator)}{revision}"


def test_without_a_key_none_is_sent(monkeypatch):
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with stub_llm(wrote()) as server:
        writer(server).propose(TASK, [], n=1)

    assert server.keys == [None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0}, "temperature is 0; give a number above 0"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p is 1.5; give a number above 0 and at most 1"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": -1}, "seed"),
    ],
)
def test_sampling_that_cannot_work_is_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        generators.vllm("http://localhost:1/v1", "base", **options)


def test_a_url_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="'localhost:8000' is not a server"):
        generators.vllm("localhost:8000", "base")


def test_without_httpx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'skill-plugin\[vllm\]'"):
        generators.vllm("http://localhost:1/v1", "base")
