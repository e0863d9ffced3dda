"""The adapter that comes with a model: its files are what was committed, and a generator's name leads to it."""

import json

import pytest

from skill_plugin.checkpoints import id_of_adapter
from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.backends import GeneratorName
from skill_plugin.models.adapter_files import adapter_sha256
from skill_plugin.models.starters import STARTERS, starter_folder


@pytest.mark.parametrize("model", STARTERS)
def test_a_starter_is_small_and_has_a_card(model):
    folder = starter_folder(f"/models/{model}")

    assert adapter_sha256(folder) == STARTERS[model]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000_000
    assert "license:" in (folder / "README.md").read_text()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == model


def test_other_models_have_none():
    with pytest.raises(ConfigurationError, match="no starter comes with the model 'other', only with smollm2-135m"):
        starter_folder("other")


def test_it_is_logged_under_the_id_that_the_registry_gives_it():
    name = GeneratorName.parse("local:smollm2-135m@starter")

    assert (name.model, name.fixed_adapter) == ("smollm2-135m", "starter")
    assert id_of_adapter(STARTERS["smollm2-135m"]).startswith("ckpt_")
