"""`retrain`: one night, from what was logged to a checkpoint that is live, or is not.

Each part leaves what it made where the next start finds it, so that a night that was killed is resumed.
"""

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skill_plugin.checkpoints import Checkpoint
from skill_plugin.disk import whole_folder
from skill_plugin.errors import InvalidHistoryError, ModelError, SkillPluginError
from skill_plugin.gates.checkpoints import CheckpointDecision, decide
from skill_plugin.gates.judges import draw_judges
from skill_plugin.gates.off_policy import OffPolicyEstimate, estimate
from skill_plugin.generators.vllm_server import VllmServer, asleep
from skill_plugin.integrations.retrain import trainer_process
from skill_plugin.integrations.retrain.needs import check_needs
from skill_plugin.integrations.retrain.report import RetrainReport
from skill_plugin.integrations.retrain.request import Night, nothing_in
from skill_plugin.protocols import Generator, Verifier
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.store import SkillStore
from skill_plugin.store.runs.training_runs import TrainingRun
from skill_plugin.training.data.dataset import REPORT
from skill_plugin.training.files.curves import draw
from skill_plugin.training.files.manifest import read_json, write_json
from skill_plugin.training.files.metrics import FILE as METRICS
from skill_plugin.training.plan import PLAN, TrainPlan

BY = "retrain"
STARTS = 3
"""The most starts of a run that never ends; then it is given up, so that no further night is lost to it."""

SAMPLES = 16
"""Texts of either generator that the gate looks at where no task LLM is there."""

_log = logging.getLogger(__name__)

Writer = Callable[[Checkpoint | None], Generator]
"""Makes the generator of a checkpoint; None is the base model's."""

Compare = Callable[[Sequence[Task], Generator, Generator], CheckpointDecision]
"""Runs held-out tasks under the texts of a candidate and of the live generator, in this order."""


def retrain(
    store: SkillStore,
    night: Night,
    *,
    writer: Writer,
    compare: Compare | None = None,
    verifier: Verifier | None = None,
    gate_tasks: int = 50,
    server: VllmServer | None = None,
    sleep: bool = False,
    wait: bool = False,
    tell: Callable[[str], None] | None = None,
) -> RetrainReport:
    """Runs a night: histories -> groups -> a trained adapter -> a candidate checkpoint -> the gate -> live, or kept.

    Args:
        store: The store with histories and registry.
        night: The request.
        writer: Makes generators, for the gate.
        compare: Runs tasks; None where no task LLM is there.
        verifier: The operator's own, which `compare` judges with; it is looked at before training.
        gate_tasks: Held-out tasks that judge, at most; see `judges.draw_judges`.
        server: The server of the generator; a promoted adapter is loaded into it.
        sleep: Put the server to sleep while training has its GPU.
        wait: Wait for another retrain of this namespace to end.
        tell: Is told what is going on, a line at a time.

    Raises:
        BusyError: another one runs, and `wait` is off.
        InvalidHistoryError: the store has no histories, or none that can be learned from.
        ConfigurationError: something cannot work as it is set, or is missing; see `check_needs`.
        InvalidTaskError: a held-out task names no verifier, and none is given.
        TrainingError: the trainer died.
    """
    tell = tell or (lambda _: None)
    if said := check_needs(store, night, task_llm=compare is not None, verifier=verifier):
        tell(said)
    with store.runs.alone(BY, wait=wait):
        return _Night(store, night, server, tell).pass_(writer, compare, gate_tasks=gate_tasks, sleep=sleep)


class _Night:
    def __init__(self, store: SkillStore, night: Night, server: VllmServer | None, tell: Callable[[str], None]) -> None:
        self._store, self._night, self._server, self._tell = store, night, server, tell
        self._result = RetrainReport()
        self._ended = False

    def pass_(self, writer: Writer, compare: Compare | None, *, gate_tasks: int, sleep: bool) -> RetrainReport:
        store, result = self._store, self._result
        with self._timed("rollback"):
            back = store.checkpoints.check_live(by=BY)
            result.rolled_back = back.id if back else None
        run = self._begin()
        if not result.resumed and (why := self._night.nothing_new(store, run.data_from)) is not None:
            return self._end(run, "nothing new", why)
        folder = self._night.home / "training" / run.id
        result.run_id, result.folder = run.id, str(folder)
        try:
            with self._timed("groups"):
                report = self._groups(run, folder)
            if (nothing := nothing_in(report, store.namespace, run.data_from)) is not None:
                self._end(run, *nothing)
                if nothing[0] == "failed":
                    raise InvalidHistoryError(nothing[1])
                return result
            with self._timed("training"), self._resting(sleep=sleep):
                trainer_process.train(folder, launcher=self._night.launcher, tell=self._tell)
            result.trained = read_json(folder / "result.json")
            if result.trained["outcome"] != "trained":
                return self._end(run, "failed", result.trained["reason"])
            candidate = self._register(run, folder)
            if candidate.status == "live":
                return self._promoted(run, candidate)
            with self._timed("gate"):
                decision = self._judge(candidate, folder, writer, compare, gate_tasks)
            self._conclude(run, candidate, decision)
        except SkillPluginError as exc:
            if not self._ended:  # it is resumed: what was wrong may be right tomorrow; see STARTS
                store.runs.training.save(run.id, {**run.progress, "error": str(exc)})
            raise
        return result

    def _begin(self) -> TrainingRun:
        """Resumes the unfinished run of the same settings, else begins a new one."""
        night, store = self._night, self._store
        live = store.checkpoints.live(night.logged_as)
        plan = night.plan(live)
        config = {**plan.to_json(), "logged_as": night.logged_as, "max_age": night.max_age}
        for old in store.runs.training.list():
            if old.outcome is not None:
                continue
            starts = old.progress.get("starts", 1)
            if live is not None and live.metrics.get("run") == old.id:
                pass  # killed between promoting and saying so: it has changed the parent of the next run, and only has to end
            elif night.new or _deciding(old.config) != _deciding(config) or starts >= STARTS:
                why = "a new run was wanted" if night.new else f"begun with other settings, or started {starts} times"
                store.runs.training.save(old.id, old.progress, outcome=f"given up: {why}")
                continue
            self._result.resumed = True
            store.runs.training.save(old.id, {**old.progress, "starts": starts + 1})
            self._tell(f"resuming {old.id}, which was begun {old.created_at:%Y-%m-%d %H:%M} UTC")
            return replace(old, progress={**old.progress, "starts": starts + 1})
        run_id = f"tr_{datetime.now(UTC):%Y%m%d}_{secrets.token_hex(3)}"
        seeds = {"order": plan.train.seed, "adapter": plan.train.seed}
        return store.runs.training.begin(
            run_id, config, data_from=night.window(store), data_to=datetime.now(UTC), seeds=seeds
        )

    def _groups(self, run: TrainingRun, folder: Path) -> dict[str, Any]:
        """Builds the groups, unless an earlier start has; returns their report. The plan is written last."""
        if not (folder / PLAN).exists():
            night = self._night
            self._tell("reading histories" + (f" since {run.data_from:%Y-%m-%d %H:%M} UTC" if run.data_from else ""))
            plan = TrainPlan.from_json({key: run.config[key] for key in TrainPlan.__dataclass_fields__})
            report = night.groups(self._store, folder / "data", since=run.data_from, plan=plan)
            window = {
                "since": run.data_from and run.data_from.isoformat(),
                "until": run.data_to and run.data_to.isoformat(),
            }
            data = {"namespace": self._store.namespace, **window, "groups": report.groups}
            write_json(folder / PLAN, replace(plan, data=data).to_json())
        self._result.learned_from = read_json(folder / "data" / REPORT)
        return self._result.learned_from

    def _register(self, run: TrainingRun, folder: Path) -> Checkpoint:
        """Puts the adapter where it stays, and into the registry as a candidate."""
        place = self._night.home / "adapters" / run.id
        if not place.exists():
            with whole_folder(place) as unfinished:
                shutil.copytree(folder / "adapter", unfinished, dirs_exist_ok=True)
        shutil.rmtree(folder / "adapter", ignore_errors=True)  # one copy is enough, night after night
        manifest, trained = read_json(folder / "manifest.json"), self._result.trained
        candidate = self._store.checkpoints.register(
            place,
            base_model=self._night.logged_as,
            base_revision=manifest["base_revision"],
            parent=run.config["parent_checkpoint"],
            metrics={"run": run.id, "steps": trained["step"], "skipped": trained["skipped"], "last": trained["last"]},
            by=BY,
        )
        self._result.checkpoint = candidate.id
        return candidate

    def _judge(
        self, candidate: Checkpoint, folder: Path, writer: Writer, compare: Compare | None, gate_tasks: int
    ) -> CheckpointDecision:
        """Judges the candidate by held-out tasks where they can be run, else by the logs."""
        store, wanted = self._store, self._night.gate
        self._await_server(candidate)
        live = store.checkpoints.live(self._night.logged_as)
        heldout = [] if wanted == "off-policy" else store.tasks.list(split="heldout")
        tasks = draw_judges(heldout, gate_tasks, store.tasks.times_judged_checkpoints(), candidate.id)
        note = ""
        if compare is not None and tasks:
            self._tell(
                f"the gate: at most {len(tasks)} of {len(heldout)} held-out tasks under the texts of {candidate.id} and of the live generator"
            )
            decision = compare(tasks, writer(candidate), writer(live))
            if decision.kind == "paired" or wanted == "paired":
                return decision
            note = f"held-out tasks could not judge: {decision.reason}"
        self._tell("the gate: what the logs say")
        samples = [self._sample(writer(one)) for one in (candidate, live)]
        return decide(estimate=_estimate(folder), candidate=samples[0], live=samples[1], note=note)

    def _await_server(self, candidate: Checkpoint) -> None:
        """Waits for a server that is away, once for all texts: either way of judging needs some."""
        if self._server is None:
            return
        try:
            self._server.served()
        except ModelError as exc:
            raise ModelError(
                f"{candidate.id} is trained but not judged: {exc}; the same command resumes from here"
            ) from exc

    def _sample(self, generator: Generator) -> list[Revision]:
        """Samples texts to look at: whether they are skills, how long they are, what is in them."""
        store = self._store
        tasks = store.tasks.list(split="heldout", limit=SAMPLES) or store.tasks.list(split="train", limit=SAMPLES)
        history = [Generation(number=0, text=None)]
        # A prompt is not made of held-out tasks; nothing that is written here is kept.
        return [one for task in tasks for one in generator.propose(replace(task, split="train"), history, n=1)]

    def _promoted(self, run: TrainingRun, live: Checkpoint) -> RetrainReport:
        """Ends a run whose earlier start promoted its checkpoint, and was killed before it could say so."""
        promotion = self._store.checkpoints.events(live.id)[-1]
        self._result.gate = dict(promotion.evidence) or None
        self._end(run, "promoted", promotion.reason)
        self._serve(live)
        return self._result

    def _conclude(self, run: TrainingRun, candidate: Checkpoint, decision: CheckpointDecision) -> None:
        result, evidence = self._result, decision.to_json()
        result.gate = evidence
        self._draw(run, evidence)
        if decision.promote and self._night.promote:
            self._store.checkpoints.promote(candidate.id, by=BY, reason=decision.reason, gate=evidence)
            self._end(run, "promoted", decision.reason)
            self._serve(candidate)
        else:
            self._store.checkpoints.keep(candidate.id, by=BY, reason=decision.reason, gate=evidence)
            asked = "" if self._night.promote or not decision.promote else "the gate said yes, none is promoted: "
            self._end(run, "kept", asked + decision.reason)

    def _draw(self, run: TrainingRun, evidence: Mapping[str, Any]) -> None:
        """Draws the run's curves once more, with what the gate decided."""
        folder = Path(self._result.folder)
        title = f"{run.id}, begun {run.created_at:%Y-%m-%d}, {Path(self._night.base_model).name}"
        try:
            draw(folder / METRICS, folder / "curves.png", title=title, gate=evidence)
        except (OSError, SkillPluginError) as exc:  # no night is lost for a picture
            _log.warning("the curves of %s were not drawn: %s", run.id, exc)

    def _serve(self, checkpoint: Checkpoint) -> None:
        """Loads the adapter into the server. It is live whether or not that works: a generator loads what it misses."""
        if self._server is None:
            return
        try:
            self._server.load_adapter(checkpoint.id, checkpoint.path)
            self._result.serving.append(f"{self._server.base_url} serves {checkpoint.id}")
        except ModelError as exc:
            self._result.serving.append(f"not loaded yet: {exc}")
            _log.warning("%s is live but not loaded: %s", checkpoint.id, exc)

    def _end(self, run: TrainingRun, outcome: Any, reason: str) -> RetrainReport:
        result = self._result
        result.outcome, result.reason = outcome, reason
        live = self._store.checkpoints.live()
        result.live = live.id if live else None
        kept = outcome if outcome in ("promoted", "kept") else f"{outcome}: {reason}"
        ended = {"ended_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self._store.runs.training.save(run.id, {**run.progress, **_plain(result), **ended}, outcome=kept)
        self._ended = True
        return result

    @contextmanager
    def _resting(self, *, sleep: bool) -> Iterator[None]:
        """Lets the server give the GPU's memory to the trainer while the block runs."""
        if not sleep or self._server is None:
            yield
            return
        if self._server.is_sleeping():  # a night that was killed could not wake it
            self._server.wake_up()
        with asleep(self._server):
            yield

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._result.seconds[name] = round(time.monotonic() - began, 3)


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's settings that decide its result; budgets may change from start to start."""
    train = {key: value for key, value in config["train"].items() if key not in ("max_minutes", "snapshot_steps")}
    return {**config, "train": {key: list(v) if isinstance(v, tuple) else v for key, v in train.items()}}


def _plain(result: RetrainReport) -> dict[str, Any]:
    return {key: value for key, value in result.to_json().items() if key not in ("seconds", "outcome")}


def _estimate(folder: Path) -> OffPolicyEstimate | None:
    """Estimates the gain from the revisions that were held back, scored before training and after."""
    before, after = (read_json(folder / f"validation-{when}.json") for when in ("before", "after"))
    if not after:
        return None
    return estimate(
        [one["logprob"] for one in after],
        [one["logprob"] for one in before],
        [one["behaviour"] for one in after],
        [one["reward"] for one in after],
        [one["group"] for one in after],
        tasks=[one["task"] for one in after],
    )
