"""Skills that are written for an agent: evolve tries texts on tasks, and what helps on held-out ones goes live.

The agent and the writer of skills are simulated; tasks, verifiers, search and gate are real.
"""

import tempfile
from pathlib import Path

from skill_plugin import generators
from skill_plugin.demo import business
from skill_plugin.demo.questions import stream
from skill_plugin.demo.simulated import SimulatedAnalyst, SimulatedEditor
from skill_plugin.demo.world import SYSTEM_PROMPT
from skill_plugin.graphs import EvolveSettings, create_skill_graph, evolve
from skill_plugin.store import SkillStore

with tempfile.TemporaryDirectory() as folder:
    database = Path(folder) / "business.db"
    business.build(database)
    # Questions about a business whose conventions nobody can guess. Each names its verifier; some are held out.
    tasks = [task for task in stream(database, per_family=3, heldout=3) if task.family in ("revenue", "stock-units")]
    agent, writer = SimulatedAnalyst(), generators.chat(SimulatedEditor())

    with SkillStore.open(Path(folder) / "skills", embedder="hashing") as store:
        graph = create_skill_graph(store=store, llm=agent, system_prompt=SYSTEM_PROMPT, max_generations=0).compile()

        def solved() -> int:
            asked = [
                {"task": one.input, "reference": one.reference, "verifier": one.verifier, "split": one.split}
                for one in tasks
            ]
            return sum(bool(output["passed"]) for output in graph.batch(asked))

        print(f"before: {solved()} of {len(tasks)}")
        settings = EvolveSettings(generations=4, candidates=2, rollouts=1, siblings=2)
        evolve(tasks, store=store, llm=agent, generator=writer, settings=settings, system_prompt=SYSTEM_PROMPT)
        print(f"after: {solved()} of {len(tasks)}")
        for skill in store.list(status="live"):
            decisions = [event.reason for event in store.history(skill.name) if event.kind == "promoted"]
            print(f"{skill.name}, version {skill.version}, live because of {decisions[-1]}")
            print(f"  utility {skill.utility:.2f} after {skill.uses} uses; {store.lift(skill.name).sentence}")
