"""What skills would have repaired: an agent's recorded failures through a capped evolve, and one page that says so.

The agent and the writer of skills are simulated; traces, verifiers, search, gate and cap are real. On the command line it is
`skill-plugin replay traces.jsonl --agent my_package.agents:agent --generator openai:gpt-5-mini`.
"""

import json
import tempfile
from pathlib import Path

from skill_plugin import generators, verifiers
from skill_plugin.demo import business
from skill_plugin.demo.questions import stream
from skill_plugin.demo.simulated import SimulatedAnalyst, SimulatedEditor
from skill_plugin.demo.world import SYSTEM_PROMPT
from skill_plugin.integrations.replay.job import ReplaySettings, replay
from skill_plugin.integrations.replay.page import page
from skill_plugin.integrations.replay.traces import Traces
from skill_plugin.store import SkillStore

agent, writer = SimulatedAnalyst(), generators.chat(SimulatedEditor())
with tempfile.TemporaryDirectory() as folder:
    database, traces = Path(folder) / "business.db", Path(folder) / "traces.jsonl"
    business.build(database)
    judge = verifiers.sql_rows(str(database))

    # A night of the agent, as a log has it: what was asked, what it answered, how it was judged.
    with traces.open("w") as log:
        for task in (
            one for one in stream(database, per_family=6, heldout=0) if one.family in ("revenue", "stock-units")
        ):
            answer = agent.invoke([("system", SYSTEM_PROMPT), ("user", task.input)]).text
            verdict = judge.verify(task, answer)
            row = {"task": task.input, "family": task.family, "reference": task.reference, "output": answer}
            log.write(json.dumps({**row, "reward": verdict.reward, "feedback": verdict.feedback}) + "\n")

    with SkillStore.open(Path(folder) / "scratch", embedder="hashing", chroma=False) as store:
        report = replay(
            Traces.read(traces),
            store=store,
            llm=agent,
            generator=writer,
            verifier=judge,
            settings=ReplaySettings(max_calls=150),
            system_prompt=SYSTEM_PROMPT,
        )

print(report.headline)
print(report.proof)
for skill in report.skills:
    print(f"{skill.name}: {skill.reason}")
print(f"{report.price.calls} model calls of at most {report.price.cap}")
Path("replay.html").write_text(page(report), encoding="utf-8")
