"""Functions of skills in a made shop: what they save, and how many of those that the loop proposes go live. Models are SIMULATED.

    python benchmarks/functions.py [--seeds 5] [--parts shown loop staging]

`shown`: nine tools, eight scenarios of three tasks (the shape of AppWorld); a scenario is completed if its three tasks are. A scripted
task LLM follows what it is shown: without a skill it makes a detour before a call in 40 % of its steps and slips in 5 %, with the
right text in 8 % and 1.5 %; a function does all calls in one step. These rates are assumed; steps and tokens of the calls themselves
follow from the scenarios. Everything else is real: store, search, graph, verifier, sandbox, tools of LangChain, calls in the store.
SAGE (arXiv:2512.17102) measured -26 % steps and -59 % tokens on AppWorld.

`loop`: `evolve` on eight tasks of each scenario, a simulated generator that writes a wrong text in 3 of 10 times, and where it is asked
for a function a sound one in 6 of 10, one with a bug in 3, one with a test that tests nothing in 1.

`staging`: the 20 bugs and ten vacuous tests of benchmarks/skill_tests.py as candidates of `evolve`.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import skill_tests
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from serving import interval
from shop import SCENARIOS, TOOL_TEXT, Scenario, Shop, tools_of

from skill_plugin.functions import FunctionPackage, runner
from skill_plugin.graphs import EvolveSettings, create_skill_graph, evolve
from skill_plugin.graphs.staging import check_version
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import (
    FunctionCall,
    SkillStore,
    allow_functions,
    checks_of,
    files_of,
    may_run,
    record_calls,
)

NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Frida", "Gero", "Hanna", "Ivo", "Jule", "Kurt", "Lena")
DETOUR = {"none": 0.40, "text": 0.08}
SLIP = {"none": 0.05, "text": 0.015}
EXACT = {"name": "exact_match"}


class Model(BaseChatModel):
    """Says what it is told to say; its tokens are a quarter of the characters that go in and out, the tools' forms included."""

    say: list[Any]
    forms: str = TOOL_TEXT

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        del stop, run_manager
        said: AIMessage = self.say.pop()
        read = len(self.forms) + sum(
            len(str(one.content)) + len(str(getattr(one, "tool_calls", ""))) for one in messages
        )
        wrote = len(str(said.content)) + len(str(said.tool_calls))
        usage = {"input_tokens": read // 4, "output_tokens": wrote // 4 + 1, "total_tokens": read // 4 + wrote // 4 + 1}
        reply = AIMessage(said.content, tool_calls=said.tool_calls, usage_metadata=usage)  # type: ignore[arg-type]
        return ChatResult(generations=[ChatGeneration(message=reply, generation_info={"model_name": "scripted"})])


class Agent:
    """The simulated task LLM with its tools. `steps` counts its model calls by run."""

    def __init__(self, store: SkillStore, seed: int) -> None:
        self.store, self.seed = store, seed
        self.steps: Counter[str] = Counter()
        self._drawn = itertools.count()

    def __call__(self, given: Any, config: RunnableConfig) -> str:
        metadata = config.get("metadata") or {}
        run_id, ref = metadata["skill_plugin_run_id"], metadata.get("skill_plugin_skill")
        scenario, customer = read_task(given["task"])
        draw, shop = Random(f"{self.seed} {given['task']} {next(self._drawn)}"), Shop()  # noqa: S311
        tools, messages = tools_of(shop), list(given["messages"])
        package = offered(self.store, ref) if ref and f"Call {scenario.name}(" in given["guidance"] else None
        forms = TOOL_TEXT + (str(package.functions) if package else "")
        shown = "text" if scenario.steps in given["guidance"] else "none"

        def step(text: str, name: str = "", arguments: dict[str, Any] | None = None) -> None:
            self.steps[run_id] += 1
            calls = [{"name": name, "args": arguments, "id": f"call{len(messages)}"}] if name else []
            messages.append(Model(say=[AIMessage(text, tool_calls=calls)], forms=forms).invoke(messages, config))

        def use(name: str, arguments: dict[str, Any]) -> Any:
            while draw.random() < DETOUR[shown]:
                other = draw.choice(["list_orders", "list_charges"])
                step("", other, {"customer": "c-anna"})
                answered(tools[other].invoke({"customer": "c-anna"}, config))
            step("", name, arguments)
            if draw.random() < SLIP[shown]:
                arguments = {key: f"{value}?" if isinstance(value, str) else value for key, value in arguments.items()}
            return answered(tools[name].invoke(arguments, config))

        def answered(answer: Any) -> Any:
            messages.append(ToolMessage(str(answer), tool_call_id=messages[-1].tool_calls[0]["id"]))
            return answer

        if package is not None:
            step("", scenario.name, {"customer": customer})
            argument = customer if draw.random() >= SLIP["text"] else f"{customer}?"
            called = {name: partial(tool.invoke, config=config) for name, tool in tools.items()}
            result = runner().run(package, scenario.name, {"customer": argument}, called)
            call = FunctionCall(
                skill=ref,
                function=scenario.name,
                ok=result.ok,
                error=result.error,
                seconds=result.seconds,
                tool_calls=len(result.tool_uses),
            )
            record_calls(self.store, run_id, [call])
            answered(result.shown)
        elif shown == "text" or draw.random() < 0.75:  # without the steps it leaves some out in a quarter of the cases
            scenario.run(shop, customer, use)
        step(shop.written)
        return shop.written


def offered(store: SkillStore, ref: str) -> FunctionPackage | None:
    """Returns the functions of a version, if an operator allowed it and its tests pass: the one place that stands for an agent's glue."""
    checks = checks_of(store, ref)
    if not checks.get("passed") or checks.get("failures") or not may_run(store, ref):
        return None
    skill = store.get(ref)
    return FunctionPackage.read(files_of(store, ref), parse(skill.text).extra["allowed-tools"].split())


def read_task(text: str) -> tuple[Scenario, str]:
    return next((one, name) for one in SCENARIOS for name in NAMES if one.asks.format(name) == text)


def task(scenario: Scenario, name: str, split: Any = "heldout") -> Task:
    shop = Shop()
    scenario.run(shop, name)
    return Task(scenario.asks.format(name), family=scenario.name, reference=shop.written, verifier=EXACT, split=split)


def shown(seed: int, kind: str) -> tuple[float, float, float]:
    """Returns scenario goal completion, steps and tokens of a task for one seed."""
    with tempfile.TemporaryDirectory() as home, SkillStore.open(home) as store:
        for one in SCENARIOS if kind != "none" else ():
            files = one.files() if kind == "function" else None
            skill = store.add_text(one.text(with_function=kind == "function"), files=files)
            if kind == "function" and check_version(store, skill.ref).tested:
                allow_functions(store, skill.ref, reason="its tests pass")
        agent = Agent(store, seed)
        graph = create_skill_graph(store=store, llm=RunnableLambda(agent)).compile()
        tokens, done = 0, Counter[str]()
        for one in SCENARIOS:
            for name in NAMES[:3]:
                asked = task(one, name)
                run = graph.invoke({"task": asked.input, "family": asked.family, "reference": asked.reference,
                                    "verifier": asked.verifier, "split": "heldout"})  # fmt: skip
                [rollout] = store.runs.rollouts(run["run_id"])
                tokens += (rollout.input_tokens or 0) + (rollout.output_tokens or 0)
                done[one.name] += bool(rollout.passed)
        count = 3 * len(SCENARIOS)
        return (
            sum(done[one.name] == 3 for one in SCENARIOS) / len(SCENARIOS),
            agent.steps.total() / count,
            tokens / count,
        )


class Writer:
    """The simulated generator. `proposed` are its functions, by what they are."""

    def __init__(self, seed: int) -> None:
        self._draw, self.proposed = Random(seed), Counter[str]()  # noqa: S311

    def propose(self, asked: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        scenario, current = read_task(asked.input)[0], history[-1]
        return [next(self._written(scenario, current)) for _ in range(n)]

    def _written(self, scenario: Scenario, current: Generation) -> Iterator[Revision]:
        is_another = current.text is not None and parse(current.text).name != scenario.name.replace("_", "-")
        if is_another or not current.chain:
            text = scenario.text(right=self._draw.random() < 0.7)
            yield Revision(completion=text, text=text)
        kind = self._draw.choices(("sound", "bug", "vacuous"), (6, 3, 1))[0]
        self.proposed[kind] += 1
        files = scenario.files(has_bug=kind == "bug", is_vacuous=kind == "vacuous")
        written = "".join(f"=== file: {path}\n{text}" for path, text in files.items())
        call = f"=== add: end\n## Function\n\n{scenario.call}\n"
        yield Revision(completion=f"=== replace: ## Steps\n{scenario.steps}\n{call}{written}=== end")


def loop(seed: int) -> dict[str, Any]:
    """Returns what functions were proposed, and what is live after one `evolve`."""
    with tempfile.TemporaryDirectory() as home, SkillStore.open(home) as store:
        writer = Writer(seed)
        tasks = [task(one, name, "train") for one in SCENARIOS for name in NAMES[3:7]]
        tasks += [task(one, name) for one in SCENARIOS for name in NAMES[7:]]
        settings = EvolveSettings(generations=4, candidates=2, rollouts=4, concurrency=1, allow_functions=True,
                                  stop_when_solved=False, credit="sage")  # fmt: skip
        report = evolve(tasks, store=store, llm=RunnableLambda(Agent(store, seed)), generator=writer, settings=settings)
        skills = store.list()
        tested = {one.name for one in skills for version in store.versions(one.name)
                  if checks_of(store, f"{one.name}@{version.number}").get("passed")}  # fmt: skip
        live = [skill for skill in store.list("live") if skill.files and offered(store, skill.ref)]
        return {
            "proposed": dict(writer.proposed),
            "scenarios with one whose test counts": len(tested),
            "live": len(live),
            "live skills": len(store.list("live")),
            "tasks solved at the end": f"{report.solved_after} of {report.tasks}",
        }


class Fixed:
    """Writes these files, in turn."""

    def __init__(self, text: str, files: Sequence[dict[str, bytes]]) -> None:
        self._text, self._files = text, files

    def propose(self, asked: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        del asked, history
        read = [{path: data.decode() for path, data in files.items()} for files in self._files[:n]]
        return [
            Revision(completion="", text=self._text.replace("Pay.", f"Pay {at}."), files=one)
            for at, one in enumerate(read)
        ]


def staging() -> None:
    """Prints how many bugs `evolve` stops before a rollout, and how many vacuous tests it names."""
    text = f"---\nname: payments\ndescription: Pay.\nallowed-tools: {' '.join(skill_tests.ALLOWED)}\n---\n\nPay.\n"
    mutants = [skill_tests.mutant(*bug) for bug in skill_tests.BUGS]
    tests = "\n\n\n".join([skill_tests.TESTS, *skill_tests.VACUOUS])
    with tempfile.TemporaryDirectory() as home, SkillStore.open(home) as store:
        store.add_text(text, files=skill_tests.files())
        tried: list[str] = []
        candidates = [*mutants, skill_tests.files(tests=tests)]
        settings = EvolveSettings(generations=1, candidates=len(candidates), rollouts=1, adaptive=False, controls=0)
        evolve(
            [
                Task(
                    "Pay.",
                    reference="paid",
                    verifier=EXACT,
                    split="train",
                )
            ],
            store=store,
            llm=lambda given: tried.append(given["guidance"]) or "no",
            generator=Fixed(text, candidates),
            settings=settings,
        )
        versions = store.versions("payments")
        named = {name for one in versions for name in checks_of(store, f"payments@{one.number}").get("vacuous", ())}
        stopped = len(candidates) - (len(versions) - 1)
        print(
            f"seeded bugs stopped before a rollout and the gate: {stopped} of {len(mutants)}; texts that were tried: {len(tried)}"
        )
        print(f"vacuous tests named: {len(named)} of {len(skill_tests.VACUOUS)}")


def cell(values: Sequence[float]) -> str:
    mean, half = interval(values)
    return f"{mean:.3g} +- {half:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", default=["shown", "loop", "staging"])
    options = parser.parse_args()
    began = time.monotonic()
    if "shown" in options.parts:
        print(
            "simulated task LLM; mean of seeds with its 95 % interval\nskill      scenarios done   steps a task   tokens a task"
        )
        means: dict[str, list[float]] = {}
        for kind in ("none", "text", "function"):
            columns = list(zip(*(shown(seed, kind) for seed in range(options.seeds)), strict=True))
            means[kind] = [statistics.fmean(one) for one in columns]
            print(f"{kind:10} {cell(columns[0]):16} {cell(columns[1]):14} {cell(columns[2])}", flush=True)
        for kind in ("none", "text"):
            steps, tokens = (means["function"][at] / means[kind][at] - 1 for at in (1, 2))
            print(f"text + function against {kind}: {steps:+.0%} steps, {tokens:+.0%} tokens (target -25 % and -40 %)")
    if "loop" in options.parts:
        for seed in range(options.seeds):
            print(f"seed {seed}, {len(SCENARIOS)} scenarios: {loop(seed)}", flush=True)
    if "staging" in options.parts:
        staging()
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
