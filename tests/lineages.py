"""Small recorded lineages, good and bad, for whoever learns from them."""

from fakes import skill_text
from skill_plugin import Revision, Rollout, Task
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
    staged = store.stage(task, candidates, parent=ref, **ids)
    for skill, own in zip([one.skill for one in staged if one.skill is not None], rewards, strict=True):
        for reward in own:
            k = len(rollouts)
            rollouts.append(Rollout(generation=1, answer="", skill=skill.ref, k=k, reward=reward, passed=reward == 1))
    store.record(task, rollouts, run_id=ids["run_id"])


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
    store.stage(
        Task("add 5"), [Revision(completion="?", error="no")], run_id="r", group_id="g", generation=1, parent=None
    )
