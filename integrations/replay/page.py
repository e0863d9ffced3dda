"""The page of a replay: one HTML file that needs nothing else.

It is built as a tree, so that no text from a trace or a model can become markup, and its policy lets a browser load nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from unicodedata import category
from xml.etree import ElementTree as ET

from skill_plugin.integrations.replay.report import (
    Outcome,
    PassedTrials,
    ReplayedFailure,
    ReplayedSkill,
    ReplayPrice,
    ReplayReport,
    many,
)

LONGEST = 4000
"""Characters of one text that are shown."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1e; --soft: #5f6368; --line: #d9dce1; --box: #f5f6f8;
  --good: #17693a; --bad: #a32b1f; --note: #7a5200; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --text: #e6e7ea; --soft: #a3a8b0; --line: #363a42; --box: #1f2229;
  --good: #6fd39a; --bad: #ff9486; --note: #f0c264; } }
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; } .soft { color: var(--soft); } .note { color: var(--note); }
article { border: 1px solid var(--line); border-radius: 8px; padding: .2rem 1rem 1rem; margin: 1rem 0; break-inside: avoid-page; }
pre { background: var(--box); border-radius: 6px; padding: .6rem .8rem; margin: .2rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  max-height: 22rem; overflow: auto; font: .86rem/1.45 ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; } th { font-weight: 600; }
.solved { color: var(--good); } .unsolved { color: var(--bad); } .label { font-weight: 600; margin-top: .6rem; }
@media print { body { max-width: none; margin: 0; } pre { max-height: none; overflow: visible; border: 1px solid var(--line); } }
"""

_TITLES: Mapping[Outcome, str] = {
    "solved": "Would have been solved",
    "unsolved": "Stayed unsolved",
    "same task only": "Passed only under a text of their own (not counted)",
    "passes anyway": "Passed this time without a skill (not counted)",
    "not tried": "Not tried to the end",
}

Node = ET.Element | str | None


def page(report: ReplayReport) -> str:
    """Returns a replay's report as one HTML document."""
    html = _tag("html", {"lang": "en"}, _head(report), _body(report))
    return f"<!DOCTYPE html>\n{ET.tostring(html, encoding='unicode', method='html')}\n"


def _tag(name: str, attributes: Mapping[str, str] | None = None, *children: Node) -> ET.Element:
    """Returns an element; texts among its children are escaped when the tree is written."""
    made = ET.Element(name, dict(attributes or {}))
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, ET.Element):
            made.append(child)
            last = child
        elif child and last is None:
            made.text = (made.text or "") + _visible(child)
        elif child and last is not None:
            last.tail = (last.tail or "") + _visible(child)
    return made


def _head(report: ReplayReport) -> ET.Element:
    return _tag(
        "head",
        None,
        _tag("meta", {"charset": "utf-8"}),
        _tag("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        _tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        _tag("title", None, report.headline),
        _tag("style", None, STYLE),
    )


def _body(report: ReplayReport) -> ET.Element:
    source = report.source
    read = (
        f"{source['failures']} of the {source['tasks']} tasks in {source['path']} failed when they were recorded; "
        f"{len(report.failures)} of these were replayed."
    )
    return _tag(
        "body",
        None,
        _tag("h1", None, report.headline),
        _line(report.proof) if report.proof else None,
        _line(read, "soft"),
        _line(_paid(report.price), "soft"),
        *(_line(said, "note") for said in report.caveats),
        *_skills(report),
        *(node for outcome, title in _TITLES.items() for node in _failures(report, outcome, title)),
        *_refused(report),
        *_how(report),
        *_facts("Price", _price(report.price)),
        *_facts("Traces", _flat(source)),
        *_facts("Settings", report.settings),
        _line("Nothing of yours was changed: the skills were made in a store of their own.", "soft"),
    )


def _skills(report: ReplayReport) -> list[Node]:
    accepted = [one for one in report.skills if one.accepted]
    others = [one for one in report.skills if not one.accepted]
    nodes: list[Node] = [_tag("h2", None, "Skills that would be live")]
    nodes += [_skill(one) for one in accepted] or [_line("None: the gate accepted no text.")]
    if others:
        nodes += [
            _tag("h2", None, "Texts that solved the task they were written from, and nothing else is known of them"),
            *map(_skill, others),
        ]
    return nodes


def _skill(skill: ReplayedSkill) -> ET.Element:
    counted = f"{many(skill.solved, 'failure')} solved, {skill.solved_unseen} of them never shown to its writer"
    return _tag(
        "article",
        None,
        _tag("h3", {"class": "solved"} if skill.accepted else None, skill.name),
        _line(f"{counted}. It was written from {many(skill.written_from, 'failure')}."),
        _text("The text", skill.text),
        *_gate(skill),
    )


def _gate(skill: ReplayedSkill) -> list[Node]:
    decision = skill.decision
    if decision is None:
        return [_line(f"The gate was not asked: {skill.reason or 'no held-out task could judge it'}.", "note")]
    rows: dict[str, Any] = {
        "the gate's reason": skill.reason,
        "held-out tasks compared": decision.tasks,
        "repaired": decision.repairs,
        "regressed": decision.regressions,
        "mean reward without it": f"{decision.before:.2f}",
        "mean reward with it": f"{decision.after:.2f}",
        "search shows it for tasks of its kind": f"{decision.found} of {decision.of_kind}",
    }
    if decision.train_repairs:
        rows["failures repaired that are not held out"] = decision.train_repairs
    return [_line("Proof of the gate", "label"), _table(rows)]


def _failures(report: ReplayReport, outcome: Outcome, title: str) -> list[Node]:
    found = report.having(outcome)
    names = {skill.ref: skill.name for skill in report.skills}
    return [_tag("h2", None, f"{title}: {len(found)}"), *(_failure(one, names) for one in found)] if found else []


def _failure(one: ReplayedFailure, names: Mapping[str, str]) -> ET.Element:
    said = [one.where, f"family {one.family}"]
    said += ["held out from every writer"] if one.heldout else []
    if one.unseen is not None and not one.heldout:
        said.append("never shown to the writer of the skill" if one.unseen else "shown to the writer of the skill")
    name = names.get(one.skill or "", one.skill or "")
    style = one.outcome if one.outcome in ("solved", "unsolved") else ""
    return _tag(
        "article",
        None,
        _line("; ".join(said), "soft"),
        _text("Task", one.task),
        _text(f"Recorded answer (reward {_number(one.reward)})", one.recorded, one.feedback),
        _trials("Without a skill", one.before),
        _trials(f"With the skill {name}", one.after, style) if one.skill else None,
        _line("No skill was found for it.") if one.outcome == "unsolved" and not one.skill else None,
        _line(f"Why: {one.reason}", "note") if one.reason else None,
    )


def _trials(title: str, trials: PassedTrials | None, style: str = "") -> Node:
    if trials is None:
        return _line(f"{title}: not run", "soft")
    return _text(
        f"{title}: {trials.passed} of {many(trials.trials, 'run')} passed", trials.answer, trials.feedback, style
    )


def _refused(report: ReplayReport) -> list[Node]:
    if not report.refused:
        return []
    rows = [_tag("tr", None, _tag("td", None, one["name"]), _tag("td", None, one["reason"])) for one in report.refused]
    return [_tag("h2", None, "Texts that the gate refused"), _tag("table", None, *rows)]


def _how(report: ReplayReport) -> list[Node]:
    counted = (
        "A failure is a task with a recorded run that was judged and did not pass. It counts as solved if, with today's agent, it does "
        "not pass without a skill, and all its runs pass with the skill that search would show for it."
    )
    gate = (
        "Only a skill that the gate accepted is shown: held-out tasks have to get better by it, and more than get worse. Those are "
        f"failures that no writer of skills has seen, and {many(report.guards, 'task')} that passed when they were recorded."
    )
    return [_tag("h2", None, "How this was measured"), _line(counted), _line(gate)]


def _price(price: ReplayPrice) -> dict[str, Any]:
    tokens = (
        f"{price.input_tokens} in, {price.output_tokens} out"
        if price.input_tokens + price.output_tokens
        else "not reported"
    )
    return {
        "model calls": f"{price.calls} of at most {price.cap}",
        "runs of the agent": price.runs,
        "texts written": price.texts,
        "calls of a judge": price.judge_calls,
        "tokens": tokens,
        "seconds": f"{price.seconds:g}",
    }


def _paid(price: ReplayPrice) -> str:
    tokens = price.input_tokens + price.output_tokens
    return f"It took {many(price.calls, 'model call')}{f' and {tokens} tokens' if tokens else ''}."


def _flat(source: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for key, value in source.items():
        if isinstance(value, Mapping):
            rows |= {f"{key}: {reason}": count for reason, count in value.items()}
        else:
            rows[key] = value
    return rows


def _facts(title: str, rows: Mapping[str, Any]) -> list[Node]:
    return [_tag("h2", None, title), _table({key.replace("_", " "): value for key, value in rows.items()})]


def _table(rows: Mapping[str, Any]) -> ET.Element:
    return _tag("table", None, *_rows(rows.items()))


def _rows(pairs: Iterable[tuple[str, Any]]) -> list[ET.Element]:
    return [
        _tag("tr", None, _tag("th", {"scope": "row"}, key), _tag("td", None, _cut(str(value)))) for key, value in pairs
    ]


def _line(text: str, style: str = "") -> ET.Element:
    return _tag("p", {"class": style} if style else None, text)


def _text(title: str, text: str, feedback: str = "", style: str = "") -> ET.Element:
    return _tag(
        "div",
        None,
        _line(title, f"label {style}".strip()),
        _tag("pre", None, _cut(text) or "(nothing)"),
        _line(_cut(feedback), "soft") if feedback else None,
    )


def _cut(text: str) -> str:
    """Returns a text that is not longer than a page bears."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n... ({len(text) - LONGEST} characters more)"


def _visible(text: str) -> str:
    """Returns a text without characters that HTML cannot hold, or that are not seen and can turn a line around."""
    return "".join(char for char in text if char in "\n\t" or category(char)[0] != "C")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
