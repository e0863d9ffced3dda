"""What an adapter's files may be, before anything loads them."""

import hashlib
import json
import shutil
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import MODULE, adapter, tensors
from skill_plugin.errors import ConfigurationError
from skill_plugin.models.adapter_files import adapter_sha256, check_adapter, verify_adapter
from tiny_models import tiny_adapter, tiny_model

WEIGHTS = "adapter_model.safetensors"

opened: list[str] | None = None


def _notes(event, args):
    if opened is not None and event == "open":
        opened.append(str(args[0]))


sys.addaudithook(_notes)  # a hook stays for the life of a process; it notes something in one test only


@pytest.fixture
def folder(tmp_path):
    return adapter(tmp_path / "a")


def header(folder, content):
    """The file with another header; the tensors stay."""
    data = folder.joinpath(WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + length])
    made = content(said) if callable(content) else content
    raw = made if isinstance(made, bytes) else json.dumps(made).encode()
    folder.joinpath(WEIGHTS).write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])


def refused(folder):
    with pytest.raises(ConfigurationError) as caught:
        check_adapter(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_peft_saves_is_an_adapter(tmp_path):
    check_adapter(tiny_adapter(tmp_path / "a", tiny_model(tmp_path / "model"), rank=3))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_other_ranks_of_single_modules_are_looked_up_as_peft_does(tmp_path, dtype):
    weights = tensors(rank=4, dtype=dtype) | tensors(rank=4, layers=2, dtype=dtype)
    for which, shape in (("A", (2, 8)), ("B", (6, 2))):
        weights[f"{MODULE.format(1)}.lora_{which}.weight"] = np.zeros(shape, dtype)
    weights[f"{MODULE.format(0)}.lora_magnitude_vector"] = np.zeros(6, dtype)
    folder = adapter(tmp_path / "a", weights=weights, rank_pattern={"layers.1.self_attn.q_proj": 2})

    check_adapter(folder)
    for pattern, fits in {
        "^model.layers.1.self_attn.q_proj": True,
        "q_proj": False,
        "1.self_attn.q_proj": True,
    }.items():
        adapter(folder, weights=weights, rank_pattern={pattern: 2})
        if fits:
            check_adapter(folder)
        else:
            assert "not the rank 2" in refused(folder)


def test_a_pickle_beside_a_good_file_is_refused_and_never_opened(folder):
    global opened  # noqa: PLW0603 - what the audit hook notes in
    folder.joinpath("adapter_model.BIN").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    opened = []
    try:
        said = refused(folder)
        seen = list(opened)
        folder.joinpath("adapter_model.BIN").unlink()
        check_adapter(folder)
        assert any(name.endswith(WEIGHTS) for name in opened)  # the hook works
    finally:
        opened = None

    assert "its .BIN file can run code and is not read; remove 'adapter_model.BIN'" in said
    assert not any(name.endswith("BIN") for name in seen)


@pytest.mark.parametrize("name", ["x.bin", "optimizer.pt", "x.pkl", "rng_state.pth"])
def test_pickled_files_of_any_name_are_refused(folder, name):
    folder.joinpath(name).write_bytes(b"")

    assert "can run code" in refused(folder)


def offsets(header_, begin, end):
    first = next(iter(header_))
    return {**header_, first: {**header_[first], "data_offsets": [begin, end]}}


def first(**change):
    return lambda said: {
        name: {**tensor, **change} if not at else tensor for at, (name, tensor) in enumerate(said.items())
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 50_000, "cannot be read"),
        (b"[]", "does not describe"),
        (b"{}", "does not describe"),
        (b'{"a": 7}', "does not describe"),
        (lambda said: offsets(said, 0, 2**60), "does not describe"),
        (lambda said: offsets(said, 8, 4), "does not describe"),
        (lambda said: offsets(said, -4, 128), "does not describe"),
        (lambda said: offsets(said, "0", 128), "does not describe"),
        (lambda said: dict([*said.items()][:1]), "does not describe"),
        (first(dtype="I64"), "not one of LoRA's"),
        (first(dtype=["F32"]), "not one of LoRA's"),
        (first(shape=[4, 9]), "not one of LoRA's"),
        (first(shape=[4, True]), "not one of LoRA's"),
        (first(shape=[-4, -8]), "not one of LoRA's"),
        (first(shape=[8, 4]), r"has the shape [8, 4], not the rank 4"),
        (first(shape=[32]), "not the rank 4"),
        (lambda said: {name.replace("lora_", "other_"): tensor for name, tensor in said.items()}, "not one of LoRA's"),
    ],
)
def test_a_header_that_does_not_fit_is_one_line(folder, content, says):
    header(folder, content)

    assert says in refused(folder)


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 10_000])
def test_a_header_that_claims_more_than_there_is_is_not_read(folder, length):
    data = folder.joinpath(WEIGHTS).read_bytes()
    folder.joinpath(WEIGHTS).write_bytes(length.to_bytes(8, "little") + data[8:])

    assert f"claims {length} bytes, the file has {len(data)}" in refused(folder)


@pytest.mark.parametrize("size", [0, 4, 8])
def test_a_file_that_was_cut_short(folder, size):
    folder.joinpath(WEIGHTS).write_bytes(folder.joinpath(WEIGHTS).read_bytes()[:size])

    refused(folder)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"r": 8}, "not the rank 8"),
        ({"r": 0}, "gives no rank"),
        ({"r": True}, "gives no rank"),
        ({"r": None}, "gives no rank"),
        ({"rank_pattern": {"q_proj": "4"}}, "gives no rank"),
        ({"rank_pattern": ["q_proj"]}, "gives no rank"),
        ({"rank_pattern": {"(a+)+$": 4}}, "not a plain module name"),
        ({"rank_pattern": {"q_proj\\": 4}}, "cannot be read"),
        ({"peft_type": "IA3"}, "not of a LoRA adapter"),
        ({"padding": "x" * 1_000_000}, "is larger than"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(folder, config, says):
    adapter(folder, **config)

    assert says in refused(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_configuration_that_is_none(folder, text):
    folder.joinpath("adapter_config.json").write_text(text)

    refused(folder)


def test_what_is_missing_is_named(folder, tmp_path):
    assert "there is no adapter folder" in refused(tmp_path / "nowhere")
    for name in ("adapter_config.json", WEIGHTS):
        copy = shutil.copytree(folder, tmp_path / f"without-{name}")
        copy.joinpath(name).unlink()
        assert f"it has no {name}" in refused(copy)


@settings(deadline=None)
@given(st.data())
def test_no_damage_of_the_header_is_anything_but_our_own_error(tmp_path_factory, data):
    folder = adapter(tmp_path_factory.mktemp("damaged") / "a")
    whole = bytearray(folder.joinpath(WEIGHTS).read_bytes())
    length = int.from_bytes(whole[:8], "little")
    at = data.draw(st.integers(0, 7 + length))
    whole[at] ^= data.draw(st.integers(1, 255))
    folder.joinpath(WEIGHTS).write_bytes(bytes(whole))

    with suppress(ConfigurationError):  # and no other error
        check_adapter(folder)


def test_the_hash_is_of_the_weights_and_the_configuration_alone(folder, tmp_path):
    digest = adapter_sha256(folder)
    parts = [hashlib.sha256(folder.joinpath(name).read_bytes()).digest() for name in (WEIGHTS, "adapter_config.json")]
    assert digest == hashlib.sha256(b"".join(parts)).hexdigest()

    folder.joinpath("README.md").write_text("words")
    verify_adapter(folder, digest)
    for other in (adapter(tmp_path / "b", seed=1), adapter(tmp_path / "c", lora_alpha=2)):
        assert adapter_sha256(other) != digest
        with pytest.raises(ConfigurationError, match="has changed since it was registered"):
            verify_adapter(other, digest)
