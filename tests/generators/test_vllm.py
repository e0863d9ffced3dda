"""A real vLLM server on this machine's processor, with a tiny random model and adapters for it.

`make test-vllm` runs this, in an environment of its own: vLLM brings its own torch.
"""

import threading
import time

import pytest

from skill_plugin import Generation, Rollout, Task, generators
from skill_plugin.errors import ModelError
from skill_plugin.generators.prompt import PROMPT_VERSION, revise_prompt
from tiny_models import tiny_adapter, tiny_model
from vllm_servers import TOLERANCE, served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

TASK = Task("2 + 2?", reference="4")
HISTORY = [Generation(number=0, text=None, rollouts=(Rollout(generation=0, answer="5", reward=0.0, feedback="No."),))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    base = tiny_model(folder / "model")
    tiny_adapter(folder / "a", base, seed=1)
    tiny_adapter(folder / "b", base, seed=2)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with served(folder) as server:
        yield server


def writer(server, checkpoint=None, **options):
    options.setdefault("max_tokens", 100)
    options.setdefault("timeout", 600.0)  # the first call warms the server up, which a busy machine takes minutes for
    path = server.folder / checkpoint if checkpoint else None
    return generators.vllm(server.url, "tiny", adapter_path=path, **options)


def largest_difference(revisions, local):
    """Between the log-probabilities that were logged and those that a forward pass gives, in nats."""
    return max(
        abs(logged - computed)
        for revision in revisions
        for logged, computed in zip(
            revision.logprobs, local.logprobs(revision.prompt_token_ids, revision.completion_token_ids), strict=True
        )
    )


@pytest.mark.parametrize("checkpoint", [None, "a", "b"])
def test_candidates_of_one_call_bring_what_training_needs_and_their_logprobs_are_right(server, checkpoint, capsys):
    local = generators.local(server.folder / "model", server.folder / checkpoint if checkpoint else None)

    revisions = writer(server, checkpoint, seed=7).propose(TASK, HISTORY, n=4)

    prompt = revise_prompt(TASK, HISTORY)
    assert len({revision.completion for revision in revisions}) == 4
    for revision in revisions:
        assert revision.prompt == tuple(prompt)
        assert list(revision.prompt_token_ids) == local.encode(prompt)
        assert len(revision.completion_token_ids) == len(revision.logprobs) == revision.output_tokens
        text = local.tokenizer.decode(revision.completion_token_ids, skip_special_tokens=True)
        assert revision.completion in {text, text.rstrip("\ufffd")}  # vLLM keeps back half a letter at the cut
        assert (revision.model, revision.checkpoint) == ("tiny", checkpoint)
        assert revision.sampling == {
            "temperature": 1.0, "top_p": 1.0, "max_tokens": 100, "seed": 7, "logprobs_mode": "raw_logprobs",
            "prompt_version": PROMPT_VERSION,
        }  # fmt: skip
        cut = revision.completion_token_ids[-1] != local.tokenizer.eos_token_id
        assert cut == ("cut off" in (revision.error or "")) == (revision.output_tokens == 100)
    difference = largest_difference(revisions, local)
    tokens = sum(revision.output_tokens for revision in revisions)
    with capsys.disabled():
        print(f"\n{checkpoint or 'base'}: largest difference over {tokens} tokens {difference:.2e} nats")  # noqa: T201 - the figure
    assert difference < TOLERANCE


def test_two_adapters_give_the_same_tokens_other_logprobs(server):
    """So a call by name did reach the adapter of that name."""
    local = {name: generators.local(server.folder / "model", server.folder / name) for name in "ab"}

    for name, other in ("ab", "ba"):
        revisions = writer(server, name).propose(TASK, HISTORY, n=2)
        assert largest_difference(revisions, local[name]) < TOLERANCE
        assert largest_difference(revisions, local[other]) > 100 * TOLERANCE


def test_a_seed_gives_the_same_candidates_again(server):
    first, again = (writer(server, seed=3).propose(TASK, HISTORY, n=2) for _ in range(2))

    assert [revision.completion_token_ids for revision in first] == [
        revision.completion_token_ids for revision in again
    ]


def test_at_another_temperature_vllm_returns_raw_logprobs_and_they_are_logged_as_such(server):
    local = generators.local(server.folder / "model")

    revisions = writer(server, temperature=0.5, top_p=0.9).propose(TASK, HISTORY, n=2)

    assert {revision.sampling["logprobs_mode"] for revision in revisions} == {"raw_logprobs"}
    assert largest_difference(revisions, local) < TOLERANCE


def test_adapters_are_loaded_and_unloaded_while_the_server_runs(server):
    generator = writer(server)
    generator.load_adapter("c", server.folder / "a")
    generator.load_adapter("c", server.folder / "a")
    with pytest.raises(ModelError, match="as 'c' already"):
        generator.load_adapter("c", server.folder / "b")
    named = generators.vllm(server.url, "tiny", "c", max_tokens=5)
    assert named.propose(TASK, HISTORY, n=1)[0].checkpoint == "c"

    generator.unload_adapter("c")
    generator.unload_adapter("c")

    with pytest.raises(ModelError, match="404"):
        named.propose(TASK, HISTORY, n=1)
    with pytest.raises(ModelError, match="did not load the adapter 'd'"):
        generator.load_adapter("d", server.folder / "nowhere")


def test_a_prompt_that_is_too_long_is_one_clear_error(server):
    with pytest.raises(ModelError, match=r"400: .*maximum context length") as caught:
        writer(server).propose(Task("x y " * 3000), [], n=1)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_killed_in_mid_run_is_waited_for_and_its_adapters_come_back(server, capsys):
    # Without a seed: vLLM 0.32 on a processor dies of a seeded prompt that is prefilled in parts, as of so many it is.
    generator, other = writer(server, "a", patience=600, max_tokens=1000), writer(server, "b", patience=600)
    found = []
    thread = threading.Thread(target=lambda: found.extend(generator.propose(TASK, HISTORY, n=64)))
    thread.start()
    time.sleep(1)
    assert thread.is_alive()
    assert found == []

    server.kill()
    began = time.monotonic()
    server.start()
    after = other.propose(TASK, HISTORY, n=2)
    thread.join(300)

    with capsys.disabled():
        print(f"\nwaited {time.monotonic() - began:.0f} s for a killed server")  # noqa: T201 - the figure
    assert len(found) == 64
    for name, revisions in (("a", found[:4]), ("b", after)):
        assert {revision.checkpoint for revision in revisions} == {name}
        local = generators.local(server.folder / "model", server.folder / name)
        assert largest_difference(revisions, local) < TOLERANCE


def test_a_server_of_processed_logprobs_is_found_out(folder):
    with served(folder, "--logprobs-mode", "processed_logprobs") as server:
        cool = writer(server, temperature=0.5, top_p=0.9, max_tokens=20).propose(TASK, HISTORY, n=2)
        plain = writer(server).propose(TASK, HISTORY, n=2)

    local = generators.local(folder / "model")
    assert {revision.sampling["logprobs_mode"] for revision in cool} == {"processed_logprobs"}
    assert largest_difference(cool, local) > 0.1
    assert {revision.sampling["logprobs_mode"] for revision in plain} == {"raw_logprobs"}
    assert largest_difference(plain, local) < TOLERANCE
