"""The demonstration: its simulated models obey text and nothing else, and its figures come from real runs."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from fakes import skill_text
from skill_plugin import Generation, Rollout, Task, generators, verifiers
from skill_plugin.demo import business, world
from skill_plugin.demo.conventions import HANDBOOK, TRUTH, Conventions, missing, understand
from skill_plugin.demo.questions import FAMILIES, TEMPLATES, stream, understand_question
from skill_plugin.demo.simulated import DESCRIPTIONS, SimulatedAnalyst, SimulatedEditor
from skill_plugin.errors import VerifierError
from skill_plugin.skills.skill_md import parse


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "business.db"
    business.build(path)
    return path


def test_the_business_is_the_same_every_time(database, tmp_path):
    business.build(tmp_path / "again.db")
    dumps = []
    for path in (database, tmp_path / "again.db"):
        connection = sqlite3.connect(path)
        dumps.append(list(connection.iterdump()))
        connection.close()

    assert dumps[0] == dumps[1]
    assert len(dumps[0]) > 2000


def test_there_are_72_questions_in_6_families_and_24_held_out(database):
    tasks = stream(database)

    assert len({task.input for task in tasks}) == 96
    for family in FAMILIES:
        splits = [task.split for task in tasks if task.family == family]
        assert (splits.count("train"), splits.count("heldout")) == (12, 4)


def test_every_reference_passes_its_verifier_and_the_guess_hardly_ever(database):
    tasks = stream(database)
    guessed = 0
    for task in tasks:
        verifier = verifiers.load(task.verifier)
        verifiers.self_check(verifier, task)
        template, slots = understand_question(task.input)
        guessed += verifier.verify(task, template.sql(slots, Conventions())).passed

    assert guessed / len(tasks) < 0.05


def test_the_judge_needs_no_reference_and_knows_no_other_questions(database):
    judge = world.judge(database)
    for task in stream(database)[:12]:
        assert judge(replace(task, reference=None, verifier=None), task.reference).passed
        assert not judge(replace(task, reference=None, verifier=None), "SELECT 'no'").passed

    with pytest.raises(VerifierError, match="SKILL_PLUGIN_MODEL"):
        judge(Task("What is the meaning of life?"), "42")


def test_every_rule_that_a_question_needs_is_needed_by_some(database):
    """A handbook rule that changed no result would make the demonstration prettier than it is."""
    for rule, sentence in HANDBOOK.items():
        without = understand("\n".join(text for text in HANDBOOK.values() if text != sentence))
        broken = [
            task
            for task in stream(database)
            if (understood := understand_question(task.input)) and rule in understood[0].needs
            and not verifiers.load(task.verifier).verify(task, understood[0].sql(understood[1], without)).passed
        ]  # fmt: skip
        assert broken, rule


def test_nothing_of_the_handbook_is_in_the_schema():
    assert understand(business.SCHEMA) == Conventions()
    assert understand("\n".join(DESCRIPTIONS.values())) == Conventions()
    assert missing("", tuple(HANDBOOK)) == list(HANDBOOK)
    assert missing("\n".join(HANDBOOK.values()), tuple(HANDBOOK)) == []


def ask(question, skill=None):
    messages = [HumanMessage(question)] if skill is None else [SystemMessage(skill), HumanMessage(question)]
    return SimulatedAnalyst().invoke(messages).text


def test_the_simulated_analyst_takes_a_text_at_its_word():
    question = "How many of the orders placed in 2024 are shipped?"

    assert "o.st = 'shipped'" in ask(question)
    assert "o.st = 35" in ask(question, HANDBOOK["orders.st"])
    assert "o.st = 40" in ask(question, "Codes of `orders.st`: shipped = 40, delivered = 35.")
    assert "x_del" not in ask(question, HANDBOOK["orders.st"])
    assert "simulated" in ask("What is the meaning of life?")


def test_the_simulated_editor_adds_one_rule_and_keeps_the_rest():
    task = stream("unused.db", per_family=2, heldout=0)[0]
    template, _ = understand_question(task.input)
    rollout = Rollout(generation=0, answer="SELECT 1", reward=0, passed=False, feedback="wrong")
    writer = generators.chat(SimulatedEditor())
    history, known = [Generation(number=0, text=None, rollouts=(rollout,))], []
    for number, rule in enumerate(template.needs, start=1):
        [revision] = writer.propose(task, history, n=1)
        document = parse(revision.text)
        known.append(HANDBOOK[rule])
        assert (document.name, document.body.splitlines()) == (template.family, known)
        history.append(Generation(number=number, text=revision.text, rollouts=(rollout,)))

    assert writer.propose(task, history, n=1)[0].text == history[-1].text


def test_the_simulated_editor_leaves_a_skill_about_something_else_alone():
    task = stream("unused.db", per_family=2, heldout=0)[0]
    rollout = Rollout(generation=0, answer="SELECT 1")
    history = [Generation(number=0, text=skill_text(), skill="sk_1@1", rollouts=(rollout,))]
    [revision] = generators.chat(SimulatedEditor()).propose(task, history, n=1)

    assert parse(revision.text).name == task.family


def test_the_truth_is_what_the_templates_take():
    for template in TEMPLATES:
        assert set(template.needs) <= set(HANDBOOK)
    assert (TRUTH.money_divisor, TRUTH.deleted_flag, TRUTH.fiscal_start) == (100, 1, 4)


def test_the_demo_learns_refuses_harm_and_begins_again_where_it_ended(tmp_path, minilm):
    """The issue's own example, as a person runs it: real MiniLM, two processes."""
    figures = tmp_path / "demo.json"
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", "demo", "--simulated", "--json", str(figures)]
    ran = subprocess.run([*command, "--home", str(tmp_path / "home")], capture_output=True, text=True, timeout=280)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("simulated") >= 3
    assert "refused" in ran.stdout
    result = json.loads(figures.read_text())
    assert set(result) == {"tasks", "solved", "harmful_refused", "seconds", "model", "generator", "simulated"}
    assert result["simulated"] is True
    assert result["tasks"] >= 60
    assert result["harmful_refused"] is True
    solved = result["solved"]
    assert solved["no_skill"] < 0.1
    assert 0.5 < solved["retrieved"] < solved["revised"]
    assert solved["restart"] > 0.9
    again = subprocess.run(
        [*command[:3], "skills", "history", "order-status", "--json", "--home", str(tmp_path / "home" / "demo")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert {"staged", "promoted", "revised", "refused"} <= {event["kind"] for event in json.loads(again.stdout)}


def test_the_demo_removes_nothing_that_it_did_not_make(tmp_path):
    mine = tmp_path / "demo" / "precious.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", "demo", "--simulated", "--home", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "no demonstration made it" in ran.stderr
    assert mine.read_text() == "mine"
