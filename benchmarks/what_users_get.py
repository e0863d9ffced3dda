"""One table of whether users get what is promoted, and whether it helps them: simulated models on real stores.

    pip install --no-deps gepa==0.1.4          # for the row beside GEPA
    python benchmarks/what_users_get.py [--rows NAME ...] [--seeds N] [--data DIR] [--before FILE] [--json OUT]

Every figure comes out of `evolve`, `create_skill_graph`, `build_groups` and `search` as they are; what is simulated is the models: an
agent that does what the text it is shown says, and writers that leak, describe badly, or know nothing (benchmarks/sums.py,
families.py, conventions.py). Rows:

    vague        a text that helps and whose description says nothing: promotions, then 20 new tasks through the graph; then a
                 writer that mends the description when it is told that search did not find the text
    leak         three candidates a prompt, the answer of the task, a rule that is right 3 of 4 times, a useless one: mean advantages
                 that training would use, and whether the rule is live after one night; then with as many candidates as `evolve` asks
                 for, the answer first
    one-name     nine families whose texts all get one name: families solved through the graph after one night
    fall-back    equal versions that are rolled back, and worse ones (benchmarks/fall_back.py)
    at-once      39 easy tasks of one family, eight lineages at once: what they cost, what is reported, and a replay through the graph
    experience   MetaTool, leave one out: search with past tasks (benchmarks/experience.py)
    judges       a convention that one held-out task in twenty shows (benchmarks/judges.py)
    gepa         calls until unseen tasks are solved, beside GEPA (benchmarks/beside_gepa.py)
    retrieval    the shared retrieval sets without history: hit@1 of hybrid
    stream       six families, two nights of 500 calls, a third of the texts leak, a third describe badly: each part of `evolve` switched on
                 by itself, and then off by itself

`--data` is a folder with `retrieval/` and `tools/`, as JSON lines; rows that need it are left out without it. `--before` is the `--json`
of an earlier commit, whose figures stand beside. `--set` changes a setting of `evolve` in every row.
"""

import argparse
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
import families
import judges
import sums
from serving import Options, changed

Figures = Mapping[str, Any]


class LeftOutError(Exception):
    """A row that cannot be measured here, and why."""


class Row(NamedTuple):
    """A row of the table: its measurement, its target, whether figures reach it, and the figures in short."""

    measure: Callable[[Options], Figures]
    target: str
    reached: Callable[[Figures], bool]
    short: Callable[[Figures], str]


def gepa(options: Options) -> Figures:
    beside_gepa = _module("beside_gepa")
    rows = beside_gepa.compare(seeds=options.seeds or 5, settings=options.settings())
    return {"rows": rows, "ratios": beside_gepa.ratios(rows)}


def retrieval(options: Options) -> Figures:
    data = _data(options)
    import retrieval as sets  # noqa: PLC0415 - it brings sentence-transformers

    files = {
        "long": ("retrieval/skills.jsonl.gz", "retrieval/queries.jsonl.gz"),
        "bfcl": ("tools/bfcl_functions.jsonl.gz", "tools/bfcl_queries.jsonl.gz"),
        "metatool": ("tools/metatool_tools.jsonl.gz", "tools/metatool_queries.jsonl.gz"),
    }
    figures = {}
    for name, (skill_file, query_file) in files.items():
        skills, of_id = sets.read_skills([data / skill_file])
        queries = sets.read_queries(data / query_file, of_id)
        documents = [skill.document for skill in skills]
        groups = {skill.document.name: skill.group for skill in skills}
        with options.store() as store:
            sets.fill(store, options.encoder.signature, documents, sets.embed(options.encoder, documents))
            figures[name] = sets.measure(name, sets.ours(store, "hybrid", groups), queries)
    return figures


def fall_back(options: Options) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return _module("fall_back").measure(folder, seeds=options.seeds or 100)  # type: ignore[no-any-return]


def experience(options: Options) -> Figures:
    return _module("experience").measure(_data(options), draws=options.seeds or 3)  # type: ignore[no-any-return]


def _module(name: str) -> ModuleType:
    """Imports a benchmark that measures a row of its own."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise LeftOutError(f"benchmarks/{name}.py cannot be used here: {exc}") from exc


def _data(options: Options) -> Path:
    if options.data is None:
        raise LeftOutError("it needs --data")
    return options.data


def _beats(found: Figures) -> bool:
    """Returns whether ours reaches the targets in one set-up."""
    return not found["unsolved"]["ours"] and found["calls"]["ratio"] <= 0.7 and found["writer"]["ratio"] <= 1.5


def _short_gepa(found: Figures) -> str:
    def ratio(one: Figures) -> str:
        return f"{one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"

    return "; ".join(
        f"{setup}: calls {ratio(one['calls'])}, {one['calls']['ratio_to_gepa_8']:.2f} of GEPA's with 8 validation tasks a family, "
        f"writer {ratio(one['writer'])}, unsolved {one['unsolved']['ours']}"
        for setup, one in found["ratios"].items()
    )


def _short_stream(figures: Figures) -> str:
    return "; ".join(
        f"{part} {one['solved']:.2f} ({one['ahead']:+.2f} +-{one['ahead_half_95']:.2f}), {one['calls']:.0f} calls, "
        f"{one['live']:.1f} live"
        for part, one in figures.items()
    )


ROWS: dict[str, Row] = {
    "vague": Row(
        sums.vague_description,
        "0 promotions; 20 of 20 once the writer is told",
        lambda found: found["stubborn"]["promotions"] == 0 and found["told"]["passed"] == found["told"]["of"],
        lambda found: ", ".join(
            f"{name}: {one['promotions']} promotions, {one['passed']} of {one['of']}" for name, one in found.items()
        ),
    ),
    "leak": Row(
        sums.leak,
        "the rule's advantage above the leak's in every group, and the rule live, for every seed",
        lambda found: all(
            one["rule_above_leak"]["groups"] == 1 and one["rule_live"] == one["of"] for one in found.values()
        ),
        lambda found: (
            f"rule {found['three']['advantage']['rule']:+.2f}, leak {found['three']['advantage']['leak']:+.2f}, above for "
            f"{found['three']['rule_above_leak']['seeds']} of {found['three']['of']} seeds and in "
            f"{found['three']['rule_above_leak']['groups']:.0%} of groups, live in {found['three']['rule_live']}; live in "
            f"{found['defaults']['rule_live']} with as many candidates as by default"
        ),
    ),
    "one-name": Row(
        families.one_name,
        "9 families",
        lambda found: found["families_solved"] == found["of"],
        lambda found: f"{found['families_solved']} of {found['of']} families, {found['live_skills']} live",
    ),
    "fall-back": Row(
        fall_back,
        "at most .03 of equal versions within 60 uses; every fall from .8 to .3",
        lambda found: (
            found["0.7 to 0.7"]["share"] <= 0.03 >= found["0.8 to 0.8"]["share"] and found["0.8 to 0.3"]["share"] == 1
        ),
        lambda found: ", ".join(
            f"{case}: {one['share']:.2f} within {one['uses']} uses ({one['share_within_60']:.2f} within 60)"
            for case, one in found.items()
        ),
    ),
    "at-once": Row(
        sums.at_once,
        "at most 12 candidates, 350 calls; 39 reported, 39 replayed",
        lambda found: (
            found["candidates"] <= 12
            and found["task_calls"] <= 350
            and found["reported"] == found["replayed"] == found["of"]
        ),
        lambda found: (
            f"{found['candidates']} candidates, {found['task_calls']} calls, {found['reported']} reported, "
            f"{found['replayed']} replayed of {found['of']}"
        ),
    ),
    "experience": Row(
        experience,
        "hit@1 at least .73; new skills at most .02 below",
        lambda found: found["full"]["hybrid"]["hit@1"] >= 0.73 and found["worst_new"] >= -0.02,
        lambda found: (
            f"hit@1 {found['full']['hybrid, experience=0']['hit@1']:.3f} without, {found['full']['hybrid']['hit@1']:.3f} with; "
            f"new skills {found['worst_new']:+.3f} at worst"
        ),
    ),
    "judges": Row(
        judges.rare_convention,
        "10 of 10",
        lambda found: found["learned"] == found["of"],
        lambda found: f"{found['learned']} of {found['of']} learned, {found['calls']:.0f} calls",
    ),
    "gepa": Row(
        gepa,
        "at most .7 of GEPA's calls, 1.5 of its writer calls",
        lambda found: all(map(_beats, found["ratios"].values())),
        _short_gepa,
    ),
    "retrieval": Row(
        retrieval,
        "hit@1 not below .775, .799, .616",
        lambda found: all(
            found[name]["hit@1"] >= least - 0.0005
            for name, least in (("long", 0.775), ("bfcl", 0.799), ("metatool", 0.616))
        ),
        lambda found: ", ".join(f"{name} {one['hit@1']:.3f}" for name, one in found.items()),
    ),
    "stream": Row(
        families.stream,
        "no part worse beyond its interval; siblings better beyond it",
        lambda found: (
            all(one["ahead"] + one["ahead_half_95"] >= 0 for one in found.values())
            and found["siblings"]["ahead"] > found["siblings"]["ahead_half_95"]
        ),
        _short_stream,
    ),
}


def measured(name: str, options: Options) -> dict[str, Any]:
    """Measures one row: its figures, whether they reach the target, and how long it took; or why it is left out."""
    row, began = ROWS[name], time.perf_counter()
    try:
        figures = row.measure(options)
    except LeftOutError as exc:
        return {"left_out": str(exc)}
    minutes = round((time.perf_counter() - began) / 60, 1)
    return {"figures": figures, "short": row.short(figures), "reached": row.reached(figures), "minutes": minutes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--seeds", type=int, help="runs of each row that has several; by default its own number")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = Options(seeds=arguments.seeds, data=arguments.data, changes=changed(arguments.set))
    before = json.loads(arguments.before.read_text(encoding="utf-8"))["rows"] if arguments.before else {}
    rows: dict[str, Any] = {}
    for name in arguments.rows:
        rows[name] = found = measured(name, options)
        said = f"left out: {found['left_out']}" if "left_out" in found else found["short"]
        state = "" if "left_out" in found else " (reached)" if found["reached"] else " (NOT reached)"
        print(f"{name}: {said}{state}\n    target: {ROWS[name].target}", flush=True)
        if (then := before.get(name, {}).get("short")) is not None:
            print(f"    before: {then}", flush=True)
        if arguments.json:  # after each row: some take minutes
            settings = {"seeds": arguments.seeds, "set": arguments.set}
            arguments.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
