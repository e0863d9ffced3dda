"""The worlds of benchmarks/evolution: what they read, how the replay chooses, and what their judges say."""

import gzip
import json
from random import Random

import own_tasks
import place_reader
import pytest
import sql_notes
import textworld
from bench import wrong
from worlds import written

from skill_plugin import prompts
from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.records import Generation, Rollout, Task
from skill_plugin.settings import Settings
from skill_plugin.skills.skill_md import parse

SHOPS = [
    {
        "db": "shops",
        "table": "SHOP",
        "columns": ['"Id" INTEGER', '"Town" TEXT'],
        "rows": [[1, "Oslo"], [2, "Turin"], [3, "Turin"]],
    },
    {
        "db": "shops",
        "table": "sale",
        "columns": ['"Shop_Id" INTEGER', '"Sum" REAL'],
        "rows": [[1, 5.0], [1, 7.5], [3, 2.0]],
    },
]
GOLDS = {
    "Which towns have shops?": "SELECT DISTINCT Town FROM shop",
    "List the towns of shops.": "SELECT DISTINCT Town FROM shop",
    "Which shops sold something?": "SELECT DISTINCT Shop_Id FROM sale",
}
SHOW = [
    {"action": "execute[SHOW TABLES]", "observation": "[('shop',), ('sale',)]"},
    {"action": "DESC shop", "observation": "[('Id', 'int', 'NO'), ('Town', 'text', 'YES')]"},
    {"action": "DESC sale", "observation": "[('Shop_Id', 'int', 'NO', ...[20 more characters cut]"},
    {"action": "SELECT * FROM shops", "observation": "Error executing query: Table 'shops' doesn't exist"},
]


@pytest.fixture
def data(tmp_path):
    """A folder with one database of two tables, three tasks, and what two agents did."""
    tasks = [
        {"task_id": f"t{n}", "family": "shops", "query": asked, "gold": GOLDS[asked]} for n, asked in enumerate(GOLDS)
    ]
    logs = [
        {"task_id": row["task_id"], "steps": [*SHOW, {"action": f"```sql\n{row['gold']};\n```", "observation": ""}]}
        for row in tasks
    ]
    for name, lines in (("tasks", tasks), ("databases", SHOPS), ("logs", logs)):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)
    return tmp_path


@pytest.fixture
def sql(data):
    return sql_notes.bench(0, data=data)


def answer(bench, task, text):
    return bench.llm({"task": task.input, "guidance": prompts.guidance([("s@1", "shops", text)]) if text else ""})


def test_questions_of_one_gold_query_are_in_one_split(sql):
    assert [(task.input, task.split) for task in sql.tasks] == list(
        zip(GOLDS, ("train", "train", "heldout"), strict=True)
    )


def test_a_note_on_the_schema_makes_the_replay_answer_right_and_another_does_not(sql):
    task = sql.heldout[0]
    assert sql.verifier.verify(task, answer(sql, task, sql.oracle[0])).passed
    assert not sql.verifier.verify(task, answer(sql, task, "---\nname: a\ndescription: b\n---\n\n- shops\n")).passed


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (
            "SELECT T1.Name, count(*) FROM people AS T1 JOIN pets p ON p.owner = T1.id",
            {"name", "people", "pets", "owner", "id"},
        ),
        ("select max(age) from dog where breed = 'order by size'", {"age", "dog", "breed"}),
    ],
)
def test_identifiers_are_neither_words_of_sql_nor_texts_nor_aliases(statement, names):
    assert sql_notes.identifiers(statement) == names


def test_an_unknown_identifier_counts_twice_and_luck_decides_among_equals():
    statements = ["select a, b, c from d", "select a from x", "select a from y"]
    assert sql_notes.choose(statements, frozenset("abd"), luck=str) == "select a, b, c from d"
    assert sql_notes.choose(statements, frozenset("a"), luck=str) == "select a from y"
    assert sql_notes.choose([], frozenset("a"), luck=str) == ""


@pytest.mark.parametrize(
    ("query", "reward", "says"),
    [
        ("SELECT DISTINCT town FROM shop", 1, "Right."),
        ("SELECT town FROM shop", 2 / 3, "3 rows, 2 were expected"),
        ("SELECT town FROM shop WHERE id = 1", 1 / 2, "missing: ('Turin',)"),
        ("SELECT city FROM shop", 0, "no such column: city"),
        ("DROP TABLE shop", 0, "not authorized"),
        ("", 0, "the query returned 0 rows"),
    ],
)
def test_the_reward_is_the_share_of_rows_in_common(sql, query, reward, says):
    verdict = sql.verifier.verify(sql.tasks[0], query)
    assert (verdict.reward, verdict.passed) == (pytest.approx(reward), reward == 1)
    assert says in verdict.feedback


def test_a_wrong_answer_is_told_what_agents_saw_and_what_was_cut_is_left_out(sql):
    lines = sql.verifier.verify(sql.tasks[0], "SELECT 1").feedback.splitlines()
    assert lines[-2:] == ["TABLES: shop, sale", "COLUMNS OF shop: Id, Town"]


def test_rules_write_what_was_seen_into_the_note_of_its_own_database(sql):
    (text,) = written(sql, sql_notes.RulesWriter())
    document = parse(text)
    assert document.name == "shops"
    assert document.body.splitlines()[-2:] == ["- shop: Id, Town", "- sale"]
    assert document.description == f"Questions such as: {sql.train[0].input}"


def test_a_wrong_skill_has_its_own_description_and_the_text_of_another():
    texts = [f"---\nname: {one}\ndescription: About {one}.\n---\n\nsays {one}\n" for one in ("a", "b")]
    assert [(one.name, one.body.strip()) for one in map(parse, wrong(texts))] == [("a", "says b"), ("b", "says a")]


def test_a_file_that_is_not_there_or_lacks_something_is_named(data):
    with gzip.open(data / "tasks.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"task_id": "t0", "family": "shops", "query": "How many?"}\n')
    with pytest.raises(InvalidTaskError, match=r"tasks.jsonl.gz', line 1: 'gold' is missing"):
        sql_notes.bench(0, data=data)
    (data / "tasks.jsonl.gz").unlink()
    with pytest.raises(InvalidTaskError, match="cannot be read"):
        sql_notes.bench(0, data=data)


def test_tasks_of_ones_own_are_judged_by_their_verifier_or_by_the_one_for_all(tmp_path):
    file = tmp_path / "mine.jsonl"
    lines = [
        {"task": "2 + 2?", "reference": "4", "verifier": "numeric", "split": "train"},
        {"task": "Say yes.", "reference": "yes", "split": "heldout"},
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    settings = Settings.load(verifier="exact_match")
    (first, second), judge = own_tasks.of_both_splits(settings, file)

    assert judge.verify(first, "It is 4.0").passed
    assert [judge.verify(second, said).passed for said in ("yes", "It is yes")] == [True, False]
    file.write_text(json.dumps(lines[0]))
    with pytest.raises(ConfigurationError, match=r"no task of .*mine.jsonl' is of the split 'heldout'"):
        own_tasks.of_both_splits(settings, file)


def test_a_task_without_any_verifier_is_named():
    with pytest.raises(ConfigurationError, match=r"'Say yes.' names no verifier"):
        own_tasks.TasksJudge(None).verify(Task("Say yes."), "yes")


SEEN = (
    "You are in the kitchen. In one part of the room you see a stove. There is also an oven. You also see a fridge that is closed. In another "
    "part of the room you see a counter, that has nothing on it. There is also a blender. You also see an used Q-tip. "
)
KITCHEN = textworld.Game(7, "kitchen", ("fridge", "counter"), ("blender", "used Q-tip"))
ASKED = "Put the blender of the kitchen in its usual place: fridge, counter. Also there: used Q-tip."


def test_a_game_is_read_as_places_that_hold_something_and_things_that_can_be_taken():
    assert textworld.Game.of(7, SEEN, ["take blender", "take used Q-tip", "open fridge"]) == KITCHEN
    assert textworld.Game.of(7, "It is dark.", []) is None
    assert KITCHEN.asks("blender") == ASKED


class Firm:
    """A reader that says what it was given."""

    def answer(self, places, skill, thing):
        return f"{thing} | {' | '.join(places)} | {skill}"


def test_the_executor_reads_the_task_and_only_the_skill_of_the_guidance():
    text = "---\nname: a\ndescription: b\n---\n\n- put it away\n"
    said = textworld.answering(Firm())({"task": ASKED, "guidance": prompts.guidance([("s@1", "a", text)])})
    assert said == "blender | fridge | counter | - put it away"


@pytest.mark.parametrize(
    ("answer", "tries", "reward", "says"),
    [
        ("counter", 0, 1, "The score rose when the blender was put in the counter."),
        ("Fridge ", 0, 0, "The score did not change when the blender was put in the fridge."),
        ("fridge", 1, 0, "fridge. The score rose when the blender was put in the counter."),
        ("the moon", 1, 0, "There is no 'the moon' here; the places are fridge, counter."),
    ],
)
def test_the_judge_tells_what_came_out_of_what_was_tried_and_no_more(answer, tries, reward, says):
    judge = textworld.judge({ASKED: {"fridge": False, "counter": True}}, tries)
    verdict = judge(Task(ASKED), answer)
    assert (verdict.reward, verdict.passed) == (reward, reward == 1)
    assert verdict.feedback.endswith(says)


def test_rules_write_where_the_score_rose_into_the_skill_of_its_own_room():
    def shown(text, feedback):
        tried = Rollout(generation=0, answer="fridge", reward=0.0, passed=False, feedback=feedback)
        return [Generation(number=0, text=text, rollouts=(tried,))]

    def written(family, history):
        (found,) = textworld.RulesWriter().propose(Task(ASKED, family=family), history, n=1)
        return parse(found.text).body.splitlines(), found.text

    judge = textworld.judge({ASKED: {"fridge": False, "counter": True}}, tries=1)
    lines, text = written("kitchen", shown(None, judge(Task(ASKED), "fridge").feedback))
    assert lines == ["- put the blender in the counter"]

    told = (
        "The score rose when the cup was put in the cupboard. The score did not change when the cup was put in the bin."
    )
    assert written("kitchen", shown(text, told))[0] == [*lines, "- put the cup in the cupboard"]
    assert written("hall", shown(text, told))[0] == ["- put the cup in the cupboard"]


@pytest.mark.parametrize("seed", range(5))
def test_a_made_up_prompt_asks_for_places_that_it_lists(seed):
    ids, targets = place_reader.made_up(Random(seed), 4, 2)
    end, colon = place_reader.KNOWN.index("<end>"), place_reader.KNOWN.index(":")
    listed = ids[ids.index(colon) + 1 :]
    answers = [one for one in targets if one not in (-100, end)]

    assert len(ids) == len(targets)
    assert 1 <= targets.count(end) <= 4
    assert all(one in listed for one in answers)
    assert [after for one, after in zip(targets, ids[1:], strict=False) if one != -100] == [
        one for one in targets[:-1] if one != -100
    ]


def test_a_reader_says_one_of_the_places_and_the_same_again():
    reader = place_reader.PlaceReader(place_reader.Network(place_reader.ReaderSettings(width=8, heads=2, blocks=1)))
    places = ["fridge", "side table", "trash can"]
    said = {reader.answer(places, "- put the vase in the side table", "vase") for _ in range(3)}

    assert len(said) == 1
    assert said <= set(places)
