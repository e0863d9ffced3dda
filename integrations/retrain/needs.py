"""A check of what a night needs, before an hour of training: what would be missing then is missing now."""

from skill_plugin import verifiers
from skill_plugin.integrations.retrain.request import Night
from skill_plugin.integrations.retrain.trainer_process import check_launcher
from skill_plugin.models.base_models import check_model
from skill_plugin.protocols import Verifier
from skill_plugin.store import SkillStore


def check_needs(store: SkillStore, night: Night, *, task_llm: bool, verifier: Verifier | None = None) -> str:
    """Looks for the base model, the live adapter's files, the launcher, and the verifiers of all held-out tasks that may judge.

    Args:
        store: The store with histories and registry.
        night: The request.
        task_llm: Whether the gate has a task LLM.
        verifier: The operator's own verifier, for tasks that name none or that were logged with it.

    Returns:
        The tasks that another verifier judges than they were logged with, in words; empty without such tasks.

    Raises:
        ConfigurationError: something is missing; says what.
        InvalidTaskError: a held-out task names no verifier, and none is given.
    """
    check_model(night.base_model)
    check_launcher(night.launcher)
    if (live := store.checkpoints.live(night.logged_as)) is not None:
        live.verify()
    if night.judged_by(store, task_llm=task_llm) != "paired":
        return ""
    return verifiers.check_verifiers(store.tasks.list(split="heldout"), verifier)
