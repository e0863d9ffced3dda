"""A real vLLM server with SmolLM2-135M and its starter, as a user serves the two; see `test_vllm.py` for all that needs no real weights."""

import pytest

from skill_plugin import Generation, Rollout, generators
from skill_plugin.demo.facts import FactWorld, judge
from skill_plugin.models.gguf import get_model
from skill_plugin.models.starters import starter_folder
from vllm_servers import TOLERANCE, served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "model").symlink_to(get_model(MODEL, request.config.cache.mkdir("smollm2")))
    with served(folder) as server:
        yield server


@pytest.mark.parametrize("adapter", [None, starter_folder(MODEL)], ids=["raw", "starter"])
def test_texts_of_a_served_adapter_have_the_logprobs_that_its_weights_give(server, adapter, capsys):
    [fact] = FactWorld(seed=5, facts=1).draw()
    task = fact.tasks("train")[0]
    verdict = judge(task, "I do not know.")
    failed = Rollout(generation=0, answer="I do not know.", reward=0.0, passed=False, feedback=verdict.feedback)
    local = generators.local(server.folder / "model", adapter, dtype="float32")
    writer = generators.vllm(server.url, "tiny", adapter_path=adapter, max_tokens=60, timeout=600.0, seed=1)

    revisions = writer.propose(task, [Generation(number=0, text=None, rollouts=(failed,))], n=2)

    differences = [
        abs(logged - computed)
        for one in revisions
        for logged, computed in zip(
            one.logprobs, local.logprobs(one.prompt_token_ids, one.completion_token_ids), strict=True
        )
    ]
    said = f"{'starter' if adapter else 'raw'}: largest difference over {len(differences)} tokens {max(differences):.2e} nats"
    with capsys.disabled():
        print(f"\n{said}")  # noqa: T201 - the figure
    assert max(differences) < TOLERANCE
    if adapter is not None:
        assert any(
            one.text is not None for one in revisions
        )  # .96 of the starter's first texts are skills, of the raw model's none
