"""Gain of search from what skills have lived through, and its cost for new ones: MetaTool, leave one out.

    python benchmarks/experience.py --data DIR [--draws 3] [--json OUT]

DIR, or its folder `tools`, has `metatool_tools.jsonl.gz` (199 plugins: `id`, `name`, `description`) and
`metatool_queries.jsonl.gz` (636 requests: `query`, `gold`, `family`). Every plugin is a live skill of a real store. Every
request is searched for and recorded, as an agent does: one rollout that passed under its plugin's skill. Then each request is
asked again in a store that has not seen it: its rollout is taken out, what its skill has lived through is derived from the
others, and afterwards the rollout is put back. Real MiniLM, `store.search(query, k=20, min_score=-1)`, exact search.

`full`: all skills have their history, so hybrid without and with experience, and SAGE's four strategies: Same Scenario
(`same-family`; here a family is a plugin, so it is told the answer and only shows who has any history), Query N-gram
(`query-ngram`), Query Embedding (`query-embedding`) and Skill Embedding (`dense`). `half`: half of the skills that are asked
for have one, drawn anew each time; the requests of those that have none show what experience costs new skills.

Targets: hit@1 with full history at least .73; with half, new skills at most .02 under hybrid without experience.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from retrieval import Labelled, Query, places, read_queries, read_skills
from rich.progress import track
from sqlmodel import col, delete, select

from skill_plugin import Rollout, Task
from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.store import SkillStore
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.experience_rows import ExperienceRow
from skill_plugin.store.tables import RolloutRow

FILES = "metatool_tools.jsonl.gz", "metatool_queries.jsonl.gz"
PLACES = 20

BOTH: Mapping[str, dict[str, Any]] = {
    "hybrid, experience=0": {"experience": 0.0},
    "hybrid": {},
}
ALL: Mapping[str, dict[str, Any]] = {
    **BOTH,
    "same-family": {"strategy": "same-family"},
    "query-ngram": {"strategy": "query-ngram"},
    "query-embedding": {"strategy": "query-embedding"},
    "dense": {"strategy": "dense"},
}

Figures = dict[str, dict[str, float]]


class Remembering:
    """An embedder that asks the model once for each text, whatever store asks."""

    def __init__(self, embedder: MiniLMEmbedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Sequence[float]] = {}

    @property
    def signature(self) -> str:
        return self._embedder.signature

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return [self._known[text] for text in texts]


class Library:
    """A store of all skills, with what its requests did."""

    def __init__(self, store: SkillStore, skills: Sequence[Labelled]) -> None:
        self.store = store
        self._names = {skill.document.name: skill.group for skill in skills}
        self._refs: dict[str, str] = {}
        for skill in skills:
            document = skill.document
            added = store.add(name=document.name, description=document.description, body=document.body)
            self._refs.setdefault(skill.group, added.ref)

    def record(self, query: Query) -> None:
        """Asks for the request, and records that it passed under the right skill."""
        self.store.search(query.text)
        [gold] = query.gold
        rollout = Rollout(generation=0, answer="", skill=self._refs[gold], reward=1.0, passed=True)
        self.store.runs.record(Task(query.text, family=gold), [rollout], run_id=query.text)

    @contextmanager
    def without(self, query: Query) -> Iterator[None]:
        """Runs its block as if the request had not been served yet."""
        [gold] = query.gold
        skill_id = self._refs[gold].split("@")[0]
        with self.store.database.write() as session:
            rows = session.exec(select(RolloutRow).where(RolloutRow.run_id == query.text)).all()
            kept = [row.model_dump() for row in rows]
            for row in rows:
                session.delete(row)
            session.flush()
            self._derive(session, skill_id)
        yield
        with self.store.database.write() as session:
            session.add_all(RolloutRow(**row) for row in kept)
            session.flush()
            self._derive(session, skill_id)

    def _derive(self, session: Any, skill_id: str) -> None:
        session.exec(delete(ExperienceRow).where(col(ExperienceRow.skill_id) == skill_id))
        experience_rows.count_up(session, self.store.namespace)
        vectors = self.store._partition.vectors  # noqa: SLF001 - as the store's own `promote` does
        experience_rows.note_promotion(session, self.store.namespace, skill_id, 1, vectors)

    def ask(self, query: Query, options: Mapping[str, Any]) -> int:
        """Returns the place of the right skill, from 1; 0 if it is not among the first twenty."""
        [gold] = query.gold
        family = {"family": gold} if options.get("strategy") == "same-family" else {}
        hits = self.store.search(query.text, k=PLACES, min_score=-1, **options, **family)
        found = places({self._names[name] for name in (hit.name, *hit.why["copies"])} for hit in hits)
        return next((at for at, groups in enumerate(found, start=1) if gold in groups), 0)


def data_files(folder: Path) -> tuple[Path, Path]:
    where = folder if (folder / FILES[0]).is_file() else folder / "tools"
    return where / FILES[0], where / FILES[1]


def measure(data: Path, *, draws: int = 3) -> dict[str, Any]:
    """Measures all figures.

    Args:
        data: The folder with the two files, or one above it.
        draws: The number of draws of the skills that have a history in `half`.

    Returns:
        `full`: `{name: {"hit@1": x, "mrr": x}}`. `half`: a row a draw, `{"known": {...}, "new": {...}}` with such figures
        for the requests of skills with and without a history. `worst_new`: the lowest difference in hit@1 that experience
        makes to new skills, over the draws.
    """
    tools, requests = data_files(data)
    skills, groups = read_skills([tools])
    queries = list({query.text: query for query in read_queries(requests, groups)}.values())
    embedder = Remembering(MiniLMEmbedder())
    embedder.embed([skill.document.embedded_text for skill in skills])
    asked_for = sorted({gold for query in queries for gold in query.gold})
    half = []
    for draw in range(draws):
        drawn = np.random.default_rng(draw).choice(asked_for, len(asked_for) // 2, replace=False)
        known = frozenset(map(str, drawn))
        ranks = leave_one_out(embedder, skills, queries, BOTH, has_history=known.issuperset)
        half.append(
            {
                "known": scores(ranks, [known.issuperset(query.gold) for query in queries]),
                "new": scores(ranks, [known.isdisjoint(query.gold) for query in queries]),
            }
        )
    names = list(BOTH)
    lost = [row["new"][names[1]]["hit@1"] - row["new"][names[0]]["hit@1"] for row in half]
    ranks = leave_one_out(embedder, skills, queries, ALL, has_history=lambda _: True)
    return {
        "full": scores(ranks, [True] * len(queries)),
        "half": half,
        "worst_new": round(min(lost, default=0.0), 4),
    }


def leave_one_out(
    embedder: Remembering,
    skills: Sequence[Labelled],
    queries: Sequence[Query],
    ways: Mapping[str, Mapping[str, Any]],
    *,
    has_history: Callable[[frozenset[str]], bool],
) -> dict[str, list[int]]:
    """Finds the place of the right skill by way and request."""
    ranks: dict[str, list[int]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder, SkillStore.open(folder, embedder=embedder, chroma=False) as store:
        library = Library(store, skills)
        for query in track([query for query in queries if has_history(query.gold)], "recording"):
            library.record(query)
        for query in track(queries, "asking"):
            if not has_history(query.gold):
                for name, options in ways.items():
                    ranks[name].append(library.ask(query, options))
                continue
            with library.without(query):
                for name, options in ways.items():
                    ranks[name].append(library.ask(query, options))
    return ranks


def scores(ranks: Mapping[str, Sequence[int]], counts: Sequence[bool]) -> Figures:
    figures = {}
    for name, all_of_them in ranks.items():
        some = [rank for rank, counted in zip(all_of_them, counts, strict=True) if counted]
        figures[name] = {
            "hit@1": round(sum(rank == 1 for rank in some) / len(some), 4),
            "mrr": round(sum(1 / rank for rank in some if rank) / len(some), 4),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    figures = measure(arguments.data, draws=arguments.draws)
    for title, rows in [("full", figures["full"])] + [
        (f"half {draw}, {whose}", row[whose])
        for draw, row in enumerate(figures["half"], start=1)
        for whose in ("known", "new")
    ]:
        for name, row in rows.items():
            print(f"{title:16}{name:24}" + "".join(f"{key} {value:.3f}  " for key, value in row.items()))
    print(f"worst for new skills: {figures['worst_new']:+.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
