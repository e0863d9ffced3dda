"""Imitation of pairs: the same loss as by hand, on the answer's tokens alone, and a run that has nothing else."""

import json

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM, AutoTokenizer

from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.training.__main__ import main
from skill_plugin.training.data.pairs import Pairs
from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.files.metrics import read_metrics
from skill_plugin.training.job import run
from skill_plugin.training.model.chat_tokens import ChatTokens
from skill_plugin.training.pairs import Pair, train_on_pairs, write_run
from skill_plugin.training.plan import TrainPlan
from skill_plugin.training.trainer import _Learner
from tiny_models import tiny_model, tiny_tokenizer
from training_runs import adapter_bytes

PAIRS = [
    Pair(
        messages=({"role": "system", "content": "Write."}, {"role": "user", "content": f"Add {n}."}),
        completion=f"{n} more",
    )
    for n in range(4)
]
SLOW = {"rank": 4, "alpha": 8, "groups_per_step": 2, "gradient_checkpointing": False, "learning_rate": 2e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


def test_the_loss_is_of_the_answer_with_its_end_token_under_the_bases_own_template(base, tmp_path):
    write_run(tmp_path, PAIRS[:2], base_model=str(base), **SLOW)
    plan = TrainPlan.from_json(read_json(tmp_path / "plan.json"))
    values = _Learner(tmp_path, plan, "of the tests", Accelerator(mixed_precision="no")).gradients(0, {})

    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    losses = []
    for pair in PAIRS[:2]:
        turns = [dict(one) for one in pair.messages]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        answer = [*tokenizer.encode(pair.completion, add_special_tokens=False), tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        losses += torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none").tolist()
    assert values["tokens"] == len(losses)
    assert values["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_run_of_pairs_alone_makes_an_adapter_that_has_learned_them(base, tmp_path):
    told = []
    result = train_on_pairs(
        tmp_path / "run", PAIRS, base_model=str(base), on_step=lambda done: told.append(done.step), **SLOW, sft_epochs=6
    )

    assert (result.outcome, result.step, result.steps, told) == ("trained", 12, 12, list(range(1, 13)))
    losses = [row["loss"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert losses[-1] < 0.7 * losses[0]
    assert read_json(tmp_path / "run" / "manifest.json")["data"]["pairs"]
    assert len(adapter_bytes(tmp_path / "run")) > 1000


def test_texts_of_one_prompt_are_one_group_and_have_the_loss_of_pairs_apart(base, tmp_path):
    first, second = PAIRS[:2]
    other = Pair(messages=first.messages, completion="another answer")

    def values(name, pairs):
        write_run(tmp_path / name, pairs, base_model=str(base), **SLOW)
        plan = TrainPlan.from_json(read_json(tmp_path / name / "plan.json"))
        learner = _Learner(tmp_path / name, plan, "of the tests", Accelerator(mixed_precision="no"))
        return learner.gradients(0, {})

    write_run(tmp_path / "run", [first, other, second], base_model=str(base), **SLOW)
    groups = list(Pairs(tmp_path / "run" / "data", ChatTokens(str(base))))
    assert [len(group.candidates) for group in groups] == [2, 1]
    together, one, two = values("together", [first, other]), values("one", [first]), values("two", [other])
    assert together["tokens"] == one["tokens"] + two["tokens"]
    assert together["loss"] * together["tokens"] == pytest.approx(
        one["loss"] * one["tokens"] + two["loss"] * two["tokens"], rel=1e-5
    )


def test_the_folder_trains_by_the_command_and_to_the_same_bytes(base, tmp_path, capsys):
    train_on_pairs(tmp_path / "here", PAIRS, base_model=str(base), **SLOW)
    write_run(tmp_path / "there", PAIRS, base_model=str(base), **SLOW)

    assert main([str(tmp_path / "there")]) == 0
    assert "trained: 4 of 4 steps" in capsys.readouterr().out
    assert adapter_bytes(tmp_path / "here") == adapter_bytes(tmp_path / "there")


def test_a_folder_is_of_one_set_of_pairs_and_settings(base, tmp_path):
    assert write_run(tmp_path, PAIRS, base_model=str(base), **SLOW) == 4
    assert write_run(tmp_path, PAIRS, base_model=str(base), **SLOW) == 4
    with pytest.raises(ConfigurationError, match="begun with other pairs; use a new folder"):
        write_run(tmp_path, PAIRS[:3], base_model=str(base), **SLOW)
    with pytest.raises(ConfigurationError, match="begun with other settings"):
        write_run(tmp_path, PAIRS, base_model=str(base), **SLOW | {"rank": 2})


def test_pairs_that_were_changed_do_not_resume_a_run(base, tmp_path):
    write_run(tmp_path, PAIRS, base_model=str(base), **SLOW, max_steps=1)
    run(tmp_path)
    (tmp_path / "result.json").unlink()
    lines = (tmp_path / "data" / "pairs.jsonl").read_text(encoding="utf-8")
    (tmp_path / "data" / "pairs.jsonl").write_text(lines.replace("more", "less"), encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"was begun otherwise: data.pairs is"):
        run(tmp_path)


def test_a_pair_that_this_model_cannot_learn_is_left_out_with_its_reason(base, tmp_path):
    bad = [
        Pair(messages=({"role": "user", "content": "a"},), completion="over <|im_end|> and on"),
        Pair(messages=({"role": "user", "content": "word " * 3000},), completion="b"),
    ]
    result = train_on_pairs(tmp_path / "run", [*bad, *PAIRS], base_model=str(base), **SLOW, max_steps=1)

    assert result.outcome == "trained"
    assert "a special token of the base model" in result.refused_groups["pair 0"]
    assert "the base model takes 4096" in result.refused_groups["pair 1"]
    with pytest.raises(InvalidHistoryError, match=r"there is no group to learn from: .* a special token"):
        train_on_pairs(tmp_path / "none", bad[:1], base_model=str(base), **SLOW)


def test_what_is_wrong_with_pairs_is_said_in_a_line(base, tmp_path):
    with pytest.raises(InvalidHistoryError, match="there are no pairs"):
        write_run(tmp_path / "a", [], base_model=str(base))
    with pytest.raises(InvalidHistoryError, match="completion is ' '; give a text"):
        Pair(messages=PAIRS[0].messages, completion=" ")
    with pytest.raises(InvalidHistoryError, match="not a list of roles with texts"):
        Pair(messages=({"role": "user"},), completion="a")
    with pytest.raises(ConfigurationError, match="no training setting 'epoch'"):
        write_run(tmp_path / "a", PAIRS, base_model=str(base), epoch=1)
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"messages": 3}) + "\n", encoding="utf-8")
    with pytest.raises(InvalidHistoryError, match=r"pair 0 in .* is not a pair"):
        Pairs(tmp_path, ChatTokens(base))[0]
    with pytest.raises(ConfigurationError, match="has no chat template, so it cannot learn from messages"):
        ChatTokens(tiny_model(tmp_path / "plain", chat_template=None))


def test_the_end_token_is_the_one_that_the_template_ends_an_answer_with(tmp_path):
    """Gemma's tokenizer says another one (`<eos>`) than its turns end with; both are in its generation settings."""
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    folder = tiny_model(tmp_path / "two", tokenizer=tokenizer)
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**read_json(path), "eos_token_id": ends}), encoding="utf-8")

    assert ChatTokens(folder).end == ends[1]
