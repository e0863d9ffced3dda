"""Small recorded lineages, good and bad, for whoever learns from them."""

from sqlalchemy import text

from fakes import skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.histories.worth import Later
from skill_plugin.store import TextWorth
from skill_plugin.store.histories.later import as_evidence
from skill_plugin.store.tables import CheckpointRow


def written(number, **fields):
    body = skill_text(body=f"Add {number}.")
    tokens = {"prompt_token_ids": (1, 2), "completion_token_ids": (3, 4), "logprobs": (-0.5, -0.5)}
    sampling = {"temperature": 1.0, "top_p": 1.0, "logprobs_mode": "raw_logprobs"}
    return Revision(**{"completion": body, "text": body, "model": "qwen", "sampling": sampling, **tokens, **fields})


def lineage(store, number, candidates, rewards, baseline=(0.0, 1.0), split="train"):
    """Generation 0 under the live skill, then candidates with their rewards."""
    task, ref = Task(f"add {number}", split=split), store.get("adding").ref
    rollouts = [
        Rollout(generation=0, answer="", skill=ref, k=k, reward=r, passed=r >= 1) for k, r in enumerate(baseline)
    ]
    rollouts.append(Rollout(generation=0, answer="", arm="control", withheld=ref, k=9, reward=0.0))
    ids = {"run_id": f"run-{number}", "group_id": f"group-{number}", "generation": 1}
    staged = store.runs.stage(task, candidates, parent=ref, **ids)
    for skill, own in zip([one.skill for one in staged if one.skill is not None], rewards, strict=True):
        for reward in own:
            k = len(rollouts)
            rollouts.append(Rollout(generation=1, answer="", skill=skill.ref, k=k, reward=reward, passed=reward == 1))
    store.runs.record(task, rollouts, run_id=ids["run_id"])


def learned(store):
    """Six lineages, of three checkpoints: two revisions can be learned from, each of the others has its reason."""
    with store.database.write() as session:
        for name, parent, status in (("c1", None, "retired"), ("c2", "c1", "live"), ("c3", "c2", "candidate")):
            session.add(
                CheckpointRow(
                    id=name, namespace="default", base_model="qwen", path="", sha256="", parent=parent, status=status
                )
            )
            session.flush()
    lineage(store, 0, [written(0, checkpoint="c2"), written(1, checkpoint="c2")], [(1.0, 1.0), (0.0, 0.0)])
    lineage(store, 1, [written(2, checkpoint="c1"), written(3, checkpoint="c1")], [(1.0, 0.0), (0.0, 1.0)])
    lineage(store, 2, [written(4, logprobs=None), written(5, prompt_token_ids=None)], [(1.0,), (0.0,)])
    lineage(store, 3, [written(6), written(7, model="llama")], [(1.0,), (1.0,)], split="heldout")
    lineage(store, 4, [written(8, checkpoint="c9"), written(9, model="llama")], [(1.0,), ()])
    store.runs.stage(
        Task("add 5"), [Revision(completion="?", error="no")], run_id="r", group_id="g", generation=1, parent=None
    )


EVOLVE = "ev_1"
NONE = (0.0,)


def rolled(store, task, skill, rewards, *, purpose="later", evolve=EVOLVE, **fields):
    """Rollouts of a text, or of no skill, as `evolve` records them beside its lineages."""
    ref = skill or "none"
    place = f"{ref}:{task.id}" if purpose == "gate" else f"{task.id}:{ref}"
    said = {"generation": 0, "answer": "", "skill": skill, "purpose": purpose, **fields}
    rollouts = [Rollout(k=k, reward=reward, passed=reward == 1, **said) for k, reward in enumerate(rewards)]
    store.runs.record(task, rollouts, run_id=f"{evolve}:{purpose}:{place}")


def noted(store, task, ref, *later, evolve=EVOLVE):
    """What siblings said of a text that was written for a task, as `evolve` notes it."""
    store.runs.evolve.log_worth(
        f"evolve {evolve}", [TextWorth(ref, "worth 1.00", as_evidence(task.content_hash, later))]
    )


def in_evolve(store, task, candidates, rewards, *, baseline=NONE, parent=None, evolve=EVOLVE):
    """A lineage of an `evolve`: generation 0 under `parent`, then candidates; their refs."""
    run_id = f"{evolve}:{task.id}"
    staged = store.runs.stage(task, candidates, run_id=run_id, group_id=f"{run_id}:1", generation=1, parent=parent)
    refs = [one.skill.ref if one.skill else None for one in staged]
    tried = [(0, parent, reward) for reward in baseline]
    tried += [(1, ref, reward) for ref, own in zip(refs, rewards, strict=True) for reward in own]
    rollouts = [
        Rollout(generation=g, answer="", skill=ref, k=k, reward=reward, passed=reward == 1)
        for k, (g, ref, reward) in enumerate(tried)
    ]
    store.runs.record(task, rollouts, run_id=run_id)
    return refs


def leaks(store, count=5):
    """Lineages in which one text holds its task's answer, one is a rule that is right 3 of 4 times, and one is of no use."""
    tasks = [Task(f"add {n} and {n + 7}", family="sums", split="train") for n in range(count)]
    for number, task in enumerate(tasks):
        texts = [written(f"{number}: the answer"), written("carefully"), written("hard")]
        answer, rule, useless = in_evolve(store, task, texts, [(1.0,) * 4, (1.0, 1.0, 1.0, 0.0), (0.0,) * 4])
        others = [one.content_hash for one in tasks if one is not task]
        for ref, rewards in ((answer, (0.0,) * 4), (rule, (1.0, 1.0, 1.0, 0.0)), (useless, (0.0,) * 4)):
            noted(store, task, ref, *(Later(other, rewards, before=NONE, none=NONE) for other in others))
    return tasks


def rows(store, table="rollout"):
    """The rows of a table, rollouts by their place in a run."""
    order = "run_id, generation, k" if table == "rollout" else "id"
    with store.database.read() as session:
        found = session.connection().execute(text(f"SELECT * FROM skillp_{table} ORDER BY {order}")).mappings().all()
    return [dict(row) for row in found]
