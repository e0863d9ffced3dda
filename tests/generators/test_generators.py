import pytest
from sqlalchemy import select

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, skill_text
from skill_plugin import Generation, Revision, Rollout, Task, generators, verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.prompt import PROMPT_VERSION, revise_prompt
from skill_plugin.graphs import create_skill_graph
from skill_plugin.settings import Settings
from skill_plugin.store.tables import RevisionRow
from tiny_models import tiny_adapter, tiny_model

TASK = Task("2 + 2?", reference="4")
HISTORY = [Generation(number=0, text=skill_text(), skill="sk_1@1", rollouts=(Rollout(generation=0, answer="3"),))]


def test_a_revision_keeps_the_exact_prompt_and_completion():
    model = ScriptedChat([MACHINE], model_name="writer")

    assert generators.chat(model).propose(TASK, HISTORY, n=1) == [
        Revision(
            completion=MACHINE,
            prompt=tuple(revise_prompt(TASK, HISTORY)),
            text=MACHINE,
            model="writer",
            sampling={"prompt_version": PROMPT_VERSION},
            input_tokens=10,
            output_tokens=2,
        )
    ]
    assert [message.text for message in model.seen[0]] == [m["content"] for m in revise_prompt(TASK, HISTORY)]


def test_n_candidates_are_sampled_from_one_prompt():
    model = ScriptedChat([MACHINE, "nonsense"])
    one, two = generators.chat(model).propose(TASK, HISTORY, n=2)

    assert (one.error, two.text) == (None, None)
    assert "no front matter" in two.error
    assert one.prompt == two.prompt


async def test_async_proposes_the_same():
    sync = generators.chat(ScriptedChat([MACHINE])).propose(TASK, HISTORY, n=1)

    assert await generators.chat(ScriptedChat([MACHINE])).apropose(TASK, HISTORY, n=1) == sync


def test_a_completion_alone_is_read_where_it_is_used():
    assert generators.read(Revision(completion=MACHINE), HISTORY).text == MACHINE
    assert generators.read(Revision(completion=skill_text()), HISTORY).text == skill_text()
    done = Revision(completion="x", error="refused")
    assert generators.read(done, HISTORY) is done


def test_a_chat_model_is_taken_as_a_generator():
    assert isinstance(generators.as_generator(ScriptedChat([])), generators.ChatGenerator)
    with pytest.raises(ConfigurationError, match="str is not a generator"):
        generators.as_generator("openai:gpt-5-mini")


class TestSettings:
    """One string names the back-end, as in `skill-plugin run --generator`."""

    URL = "http://localhost:1/v1"

    @pytest.mark.parametrize("setting", ["generator_url", "base_url"])
    @pytest.mark.parametrize(
        ("name", "model", "checkpoint"),
        [("vllm:org/base", "org/base", None), ("vllm:base@night-3", "base", "night-3")],
    )
    def test_a_model_or_an_adapter_of_a_vllm_server(self, setting, name, model, checkpoint):
        found = generators.from_settings(Settings.load(generator=name, model_timeout=7, **{setting: f"{self.URL}/"}))

        assert isinstance(found, generators.VllmGenerator)
        assert (found.base_url, found.model, found.checkpoint, found.timeout) == (self.URL, model, checkpoint, 7)

    def test_a_model_in_this_process(self, tmp_path):
        base = tiny_model(tmp_path / "model")
        adapter = tiny_adapter(tmp_path / "night-3", base)

        for name, checkpoint in ((f"local:{base}", None), (f"local:{base}@{adapter}", "night-3")):
            found = generators.from_settings(Settings.load(generator=name))
            assert isinstance(found, generators.LocalGenerator)
            assert (found.path, found.checkpoint) == (str(base), checkpoint)

    def test_anything_else_is_a_chat_model_with_its_own_server_or_that_of_the_task_llm(self):
        given = {"model": "small", "generator": "large", "base_url": self.URL}
        for more, url in (({}, self.URL), ({"generator_url": "http://localhost:2/v1"}, "http://localhost:2/v1")):
            found = generators.from_settings(Settings.load(**given, **more))
            assert isinstance(found, generators.ChatGenerator)
            assert (found.model.model_name, found.model.openai_api_base) == ("large", url)
        assert generators.from_settings(Settings.load(model="small", base_url=self.URL)).model.model_name == "small"
        assert generators.from_settings(Settings.load()) is None

    @pytest.mark.parametrize("name", ["vllm:", "vllm:@night", "vllm:base@", "local:", "local:@folder"])
    def test_a_string_that_names_no_model(self, name):
        with pytest.raises(ConfigurationError, match=f"the generator '{name}' names no model; use vllm:MODEL"):
            generators.from_settings(Settings.load(generator=name, base_url=self.URL))

    def test_a_back_end_of_ones_own_is_an_entry(self, monkeypatch):
        class Echo:
            def __init__(self, name, settings):
                self.name = name

            def make(self, checkpoint):
                return Writer(f"{self.name.model} {self.name.fixed_adapter}")

        class Writer:
            def __init__(self, says):
                self.says = says

            def propose(self, task, history, *, n):
                return [Revision(completion=self.says)] * n

        monkeypatch.setitem(generators.BACKENDS, "echo", Echo)
        for name, says in (
            ("echo:hello", "hello None"),
            ("echo:hello@a", "hello a"),
            ("echo:hello@live", "hello None"),
        ):
            found = generators.from_settings(Settings.load(generator=name), lambda: None)
            assert found.propose(TASK, [], n=1)[0].completion == says

    def test_the_settings_of_sampling_are_every_kinds(self, tmp_path, monkeypatch):
        base = tiny_model(tmp_path / "model")
        monkeypatch.setenv("SKILL_PLUGIN_GENERATOR_TOP_P", "0.9")
        given = {"generator_max_tokens": 7, "generator_temperature": 0.5, "base_url": self.URL}
        for name in ("vllm:base", f"local:{base}"):
            sampling = generators.from_settings(Settings.load(generator=name, **given)).sampling
            assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)
        chat = generators.from_settings(Settings.load(generator="large", **given)).model
        assert (chat.max_tokens, chat.temperature, chat.top_p) == (7, 0.5, 0.9)
        [revision] = generators.from_settings(
            Settings.load(generator=f"local:{base}", generator_dtype="float32", **given)
        ).propose(TASK, [], n=1)
        assert revision.output_tokens <= 7
        assert revision.sampling["top_p"] == 0.9

    def test_the_task_llms_limits_are_not_the_generators(self):
        given = {"model": "small", "base_url": self.URL, "task_max_tokens": 5, "task_temperature": 0.1}
        chat = generators.from_settings(Settings.load(**given)).model
        assert (chat.max_tokens, chat.temperature) == (None, None)

    @pytest.mark.parametrize(
        ("name", "setting", "said"),
        [
            ("vllm:base", {"generator_dtype": "bfloat16"}, "'vllm:base' is not one; start vLLM with --dtype"),
            ("large", {"generator_dtype": "bfloat16"}, "'large' is not one; leave it out of the settings"),
            ("vllm:base", {"generator_temperature": 0}, "temperature is 0"),
        ],
    )
    def test_what_a_generator_cannot_have_is_one_line(self, name, setting, said):
        with pytest.raises(ConfigurationError, match=said):
            generators.from_settings(Settings.load(generator=name, base_url=self.URL, **setting))

    def test_a_vllm_server_needs_a_url(self):
        with pytest.raises(ConfigurationError, match="needs its server's URL; set generator_url"):
            generators.from_settings(Settings.load(generator="vllm:base"))


def test_what_a_generator_logged_for_training_is_in_the_store(store, skill, tmp_path):
    writer = generators.local(tiny_model(tmp_path / "model"), max_new_tokens=20, seed=1)
    graph = create_skill_graph(
        store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=writer, max_generations=1
    ).compile()

    graph.invoke(ASK)

    with store.database.read() as session:
        [logged] = [row for row in session.execute(select(RevisionRow)).scalars() if row.model == writer.path]
    assert logged.prompt_token_ids == writer.encode(logged.prompt)
    assert len(logged.completion_token_ids) == len(logged.logprobs) == logged.output_tokens
    assert logged.sampling["logprobs_mode"] == "processed_logprobs"
