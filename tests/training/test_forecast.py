import pytest
from safetensors.torch import load_file

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.training import forecast as module
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.forecast import forecast
from skill_plugin.training.job import run
from skill_plugin.training.plan import PLAN, TrainPlan
from tiny_models import tiny_adapter, tiny_model
from training_runs import edit_groups, make_run


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


def told(folder):
    return forecast(Groups(folder / "data" / "train"), TrainPlan.from_json(read_json(folder / PLAN)), folder)


@pytest.mark.parametrize("further", [False, True])
def test_it_is_what_the_run_then_does(further, base, tmp_path):
    plan = {"parent": str(tiny_adapter(tmp_path / "parent", base))} if further else {}
    folder = make_run(tmp_path / "run", base, groups=5, epochs=2, groups_per_step=2, sft_epochs=1, plan=plan)

    found = told(folder)
    done = run(folder)

    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert found.steps == done.steps
    assert found.trained_parameters == sum(one.numel() for one in adapter.values())
    assert (found.groups, found.refused_groups, found.problem) == (5, {}, None)
    assert (found.device, found.dtype) == ("cpu", "float32")


def test_what_will_not_fit_says_so_before_anything_is_loaded(base, tmp_path, monkeypatch):
    folder = make_run(tmp_path, base)
    monkeypatch.setattr(module.memory, "free_memory", lambda _: 1000)

    assert told(folder).problem.startswith("training needs about 0.0")

    monkeypatch.undo()
    monkeypatch.setattr(module, "needed_bytes", lambda _: 10**18)
    assert "GB free and this needs 1000000000.00 GB" in told(folder).problem


def test_groups_of_another_vocabulary_are_refused(base, tmp_path):
    folder = make_run(tmp_path, base)

    def strange(groups):
        for group in groups:
            group["prompt_token_ids"][0] = 10**6

    edit_groups(folder / "data" / "train", strange)

    with pytest.raises(InvalidHistoryError, match="there is no group to learn from: token 1000000 is not one of the"):
        told(folder)
