"""InterCode-SQL on SQLite: a skill is a note on a database's schema, and real language models logged the SQL. The executor is simulated.

It answers with one of the SELECT statements that models logged for the task, the one whose identifiers agree best with the skill (see
`choose`). The judge runs it on the database, and tells what logged agents saw of the schema when they looked. The data's folder has
`tasks.jsonl.gz`, `databases.jsonl.gz` and `logs.jsonl.gz`, JSON objects a line:

    {"task_id": ..., "family": the database, "query": the question, "gold": SQL}
    {"db": ..., "table": ..., "columns": ["\\"Name\\" TEXT", ...], "rows": [[...], ...]}
    {"task_id": ..., "steps": [{"action": ..., "observation": ...}, ...]}
"""

import ast
import gzip
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

from bench import Bench, skill_texts

from skill_plugin.errors import InvalidTaskError
from skill_plugin.generators.digest import current_text
from skill_plugin.records import Generation, Revision, Task, Verdict, sha256
from skill_plugin.skills.skill_md import SkillDocument, legal_name, parse, render
from skill_plugin.verifiers import SQLRows

Schema = dict[str, list[str]]
"""Columns by table; none where a table is only known by name."""

_SELECT = re.compile(r"\bselect\b.*?(?=;|\]\s*$|```|\Z)", re.IGNORECASE | re.DOTALL)
_SHOW = re.compile(r"\bshow\s+tables\b", re.IGNORECASE)
_DESCRIBE = re.compile(r"\bdesc(?:ribe)?\s+`?(\w+)", re.IGNORECASE)
_TEXTS = re.compile(r"'[^']*'|\"[^\"]*\"")
_ALIASES = re.compile(r"\b(?:from|join)\s+\w+\s+(?:as\s+)?(\w+)|\bas\s+(\w+)", re.IGNORECASE)
_WORD = re.compile(r"[a-z_]\w*")
_NOTED = re.compile(r"^- (\w+)(?:: (.*))?$", re.MULTILINE)
_SAID = re.compile(r"^(?:TABLES|COLUMNS OF (\w+)): (.*)$", re.MULTILINE)
SQL_WORDS = frozenset(
    "select from where group by order having limit offset join inner left right outer full cross natural on using as and or not in is "
    "null like between exists distinct count sum avg min max asc desc union all intersect except case when then else end cast lower "
    "upper round abs length substr substring concat ifnull coalesce with interval date year month day now float integer int char text "
    "decimal true false".split()
)
HOLLOW = "Look at the tables and their columns first, then write one SELECT statement."
EXAMPLES = 4
"""Questions that a description quotes."""
FULL = 400
"""Characters of a description from which on the rules quote no further question."""


def bench(seed: int, *, data: Path, databases: int | None = None, work: Path | None = None) -> Bench:
    """Returns a draw of databases as a bench. Two questions of one gold query are paraphrases, and are in one split.

    Args:
        seed: Draws databases, and which of two statements that agree equally well is taken.
        data: The folder of the three files.
        databases: Number of databases, which are the families; None is all.
        work: Where the SQLite files are written; by default a folder that goes when the bench goes.
    """
    rows, tables = read(data, "tasks"), read(data, "databases")
    schemas = _schemas(tables)
    drawn = Random(f"sql {seed}").sample(sorted(schemas), min(databases or len(schemas), len(schemas)))
    rows = [row for row in rows if row["family"] in drawn]
    logs: dict[str, list[dict[str, str]]] = {row["task_id"]: [] for row in rows}
    for episode in read(data, "logs"):
        logs.get(episode["task_id"], []).extend(episode["steps"])
    tasks = dict(zip(logs, split(rows), strict=True))
    judge = SqlJudge({tasks[at].input: seen(steps) for at, steps in logs.items()}, work)
    for name in drawn:
        judge.build(name, [table for table in tables if table["db"] == name])
    statements = {tasks[at].input: list(selects(steps)) for at, steps in logs.items()}
    shown = [task for task in tasks.values() if task.split == "train"]
    about = {name: _about([task.input for task in shown if task.family == name]) for name in drawn}
    return Bench(
        name="sql",
        model="simulated: replays logged SQL",
        tasks=list(tasks.values()),
        llm=replaying(statements, seed),
        max_concurrency=4,  # it answers at once; more would only wait for the store
        verifier=judge,
        rules=RulesWriter(),
        starting=[_skill(name, about[name], HOLLOW) for name in drawn],
        oracle=[_skill(name, about[name], note(schemas[name])) for name in drawn],
        notes={"families": len(drawn), "statements a task": round(sum(map(len, statements.values())) / len(tasks), 1)},
    )


def read(data: Path, name: str) -> list[dict[str, Any]]:
    """Reads one of the folder's files.

    Raises:
        InvalidTaskError: it is not there, or does not hold JSON objects with what is read of them.
    """
    path, keys = Path(data, f"{name}.jsonl.gz"), _KEYS[name]
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    except (OSError, EOFError, ValueError) as exc:
        raise InvalidTaskError(
            f"{str(path)!r} cannot be read: {exc}; give --data the folder of InterCode-SQL's files"
        ) from exc
    for number, row in enumerate(rows, 1):
        if missing := [key for key in keys if key not in row]:
            raise InvalidTaskError(
                f"{str(path)!r}, line {number}: {missing[0]!r} is missing; a line has {', '.join(keys)}"
            )
    return rows


_KEYS = {
    "tasks": ("task_id", "family", "query", "gold"),
    "databases": ("db", "table", "columns", "rows"),
    "logs": ("task_id", "steps"),
}


def split(rows: Sequence[Mapping[str, str]]) -> list[Task]:
    """Returns the tasks: each database's gold queries are in turn for training and held out, with all who ask for them."""
    golds: dict[str, dict[str, int]] = {}
    for row in rows:
        known = golds.setdefault(row["family"], {})
        known.setdefault(row["gold"], len(known))
    return [
        Task(
            row["query"],
            family=row["family"],
            reference=row["gold"],
            split="heldout" if golds[row["family"]][row["gold"]] % 2 else "train",
        )
        for row in rows
    ]


def selects(steps: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yields the distinct SELECT statements of a task's logged steps, whatever stood around them."""
    found = (_SELECT.search(step["action"]) for step in steps)
    return iter(dict.fromkeys(one[0].strip() for one in found if one))


def identifiers(statement: str) -> frozenset[str]:
    """Returns a statement's names of tables and columns, in lower case: its words without SQL's own, texts and aliases."""
    bare = _TEXTS.sub(" ", statement)
    aliases = {name.lower() for pair in _ALIASES.findall(bare) for name in pair if name}
    return frozenset(_WORD.findall(bare.lower())) - SQL_WORDS - aliases


def choose(statements: Sequence[str], words: frozenset[str], luck: Callable[[str], str]) -> str:
    """Returns the statement that agrees best with the words of a skill: an unknown identifier counts twice against a known one.

    `luck` decides among equals, as it does without a skill among statements of equally many identifiers.
    """

    def agreement(statement: str) -> int:
        names = identifiers(statement)
        return len(names & words) - 2 * len(names - words)

    return max(statements, key=lambda one: (agreement(one), luck(one)), default="")


def replaying(statements: Mapping[str, Sequence[str]], seed: int) -> Callable[[Any], str]:
    """Returns the simulated executor. `statements` are those of each task's text."""

    def replay(given: Any) -> str:
        words = frozenset(_WORD.findall(skill_texts(given["guidance"]).lower()))
        return choose(statements[given["task"]], words, lambda one: sha256(f"{seed}\n{given['task']}\n{one}"))

    return replay


def seen(steps: Sequence[Mapping[str, str]]) -> Schema:
    """Returns what logged agents saw of a schema: the answers to SHOW TABLES and DESCRIBE; one that was cut or failed is left out."""
    found: Schema = {}
    for step in steps:
        show, describe = _SHOW.search(step["action"]), _DESCRIBE.search(step["action"])
        if (show is None) == (describe is None):
            continue
        try:
            names = [str(row[0]) for row in ast.literal_eval(step["observation"])]
        except (ValueError, SyntaxError, TypeError, IndexError, KeyError):
            continue
        if describe is not None and names:
            found[describe[1].lower()] = names
        for name in names if show else ():
            found.setdefault(name.lower(), [])
    return found


def note(schema: Schema) -> str:
    """Returns a skill's body that says all of a schema."""
    lines = (f"- {table}: {', '.join(columns)}" if columns else f"- {table}" for table, columns in schema.items())
    return "\n".join(["Use these tables and columns alone:", "", *lines])


class SqlJudge:
    """Rewards the share of rows in common with the gold query's (intersection over union), and tells what agents saw of the schema.

    Args:
        sights: What was seen on a task, by its input.
        folder: Where the databases are written; by default a temporary folder.
    """

    def __init__(self, sights: Mapping[str, Schema], folder: Path | None = None) -> None:
        self._sights = sights
        self._folder = folder or Path(mkdtemp(prefix="sql-notes-"))
        if folder is None:
            finalize(self, rmtree, self._folder, ignore_errors=True)
        self._judges: dict[str, SQLRows] = {}

    def build(self, name: str, tables: Sequence[Mapping[str, Any]]) -> None:
        """Writes a database; `tables` are rows of the databases file."""
        path = self._folder / f"{name}.sqlite"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            for table in tables:
                title, places = table["table"].replace('"', '""'), ", ".join("?" * len(table["columns"]))
                connection.execute(f'CREATE TABLE "{title}" ({", ".join(table["columns"])})')
                connection.executemany(f'INSERT INTO "{title}" VALUES ({places})', table["rows"])  # noqa: S608 - quoted
        self._judges[name] = SQLRows(str(path), partial=True)

    def verify(self, task: Task, answer: str) -> Verdict:
        verdict = self._judges[task.family].verify(task, answer)
        if verdict.passed:
            return replace(verdict, feedback="Right.")
        sights = self._sights.get(task.input, {})
        lines = [verdict.feedback]
        if sights:
            lines += ["Agents that looked at the database saw:", f"TABLES: {', '.join(sights)}"]
        lines += [f"COLUMNS OF {table}: {', '.join(columns)}" for table, columns in sights.items() if columns]
        return replace(verdict, feedback="\n".join(lines))


@dataclass(frozen=True)
class RulesWriter:
    """A generator without a model: it adds what the feedback says of the schema to the database's note."""

    name: str = "rules"

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        called, schema, description = legal_name(task.family), dict[str, list[str]](), _about([])
        current = current_text(history)
        # Under another name it is that of another database, which search found.
        if current is not None and (document := parse(current)).name == called:
            description = document.description
            schema = {table: _names(columns) for table, columns in _NOTED.findall(document.body)}
        for said in chain.from_iterable(one.feedback.splitlines() for step in history for one in step.rollouts):
            for table, names in _SAID.findall(said):
                if table:
                    schema[table] = _names(names)
                for name in () if table else _names(names):
                    schema.setdefault(name, [])
        for asked in (task.input, *(one.task for one in history if one.task is not None)):
            if asked not in description and len(description) < FULL:
                description += f" {asked[:FULL]}"
        text = render(SkillDocument(called, description, note(schema) if schema else HOLLOW))
        return [Revision(completion=text, text=text, model=self.name) for _ in range(n)]


def _names(listed: str) -> list[str]:
    return [name for name in listed.split(", ") if name]


def _schemas(tables: Sequence[Mapping[str, Any]]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for table in tables:
        names = [column.rpartition(" ")[0].strip('"') for column in table["columns"]]
        found.setdefault(table["db"], {})[table["table"].lower()] = names
    return found


def _about(questions: Sequence[str]) -> str:
    """Returns a description that quotes the first questions, as a person who does not know the schema would write it."""
    return " ".join(["Questions such as:", *dict.fromkeys(questions[:EXAMPLES])])[:1000]


def _skill(family: str, description: str, body: str) -> str:
    return render(SkillDocument(legal_name(family), description, body))
