"""The registry of checkpoints: what was trained, which one serves, and which ones were replaced.

A checkpoint is a candidate until it is promoted, live until another one is or it is rolled back, and retired from then on; a
retired one may be promoted again. At most one is live in a namespace; with none it is the base model that writes. No row is
deleted, only files by `prune`, and every change is one transaction with an event. An adapter's files are read before the transaction begins.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from sqlmodel import col, select

from skill_plugin.checkpoints import (
    KEPT,
    LIVE,
    MARGIN,
    MIN_DECISIONS,
    Acceptance,
    Checkpoint,
    CheckpointEvent,
    CheckpointStatus,
    id_of_adapter,
)
from skill_plugin.errors import CheckpointNotFoundError, ConfigurationError, StoreError, StoreUnavailableError
from skill_plugin.histories.eligibility import BASE
from skill_plugin.models.adapter_files import adapter_sha256, check_adapter
from skill_plugin.store.checkpoints import checkpoint_rows, pruning
from skill_plugin.store.checkpoints.pruning import PruneDecision
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.partition import Part
from skill_plugin.store.sql.json_values import plain_json
from skill_plugin.store.tables import CheckpointRow


class Checkpoints(Part):
    """The namespace's checkpoints."""

    def register(
        self,
        path: str | Path,
        *,
        base_model: str,
        base_revision: str | None = None,
        parent: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        by: str = "human",
    ) -> Checkpoint:
        """Takes in an adapter as a candidate. One that exists is returned as it is; if its folder is gone, this is
        its folder from now on.

        Args:
            path: Its folder, with safetensors as PEFT saves them. It stays where it is.
            base_model: The model that it was trained on, as that model's revisions name it.
            base_revision: The revision of that model.
            parent: The checkpoint that its training began from; None is the base model.
            metrics: The metrics of its training, in JSON.
            by: Who registers it.

        Raises:
            ConfigurationError: the folder holds no adapter that may be loaded, or an argument cannot work.
            CheckpointNotFoundError: the parent is not one of this namespace.
        """
        if not isinstance(base_model, str) or not base_model:
            raise ConfigurationError(f"a checkpoint's base model is {base_model!r}; name the model it was trained on")
        kept = plain_json(metrics or {}, "a checkpoint's metrics")
        folder = Path(path).expanduser().absolute()
        check_adapter(folder)
        digest = adapter_sha256(folder)
        own_id = id_of_adapter(digest)
        with self._partition.read() as session:
            known = session.get(CheckpointRow, (self._namespace, own_id))
        moved = known is not None and known.path != str(folder) and not checkpoint_rows.is_whole(known)
        crashpoint("checkpoint.before")
        with self._partition.write() as session:
            row = session.get(CheckpointRow, (self._namespace, own_id))
            if row is None:
                if parent is not None:
                    checkpoint_rows.find(session, self._namespace, parent)
                row = CheckpointRow(
                    namespace=self._namespace,
                    id=own_id,
                    base_model=base_model,
                    base_revision=base_revision,
                    path=str(folder),
                    sha256=digest,
                    parent=parent,
                    metrics=kept,
                    status="candidate",
                )
                session.add(row)
                session.flush()
                crashpoint("checkpoint.middle")
                checkpoint_rows.log(session, row, "registered", by=by)
            elif moved:
                row.path = str(folder)
                session.add(row)
            registered = checkpoint_rows.view(row)
        crashpoint("checkpoint.after")
        return registered

    def get(self, checkpoint_id: str) -> Checkpoint:
        """Returns a checkpoint. Raises `CheckpointNotFoundError` if this namespace has none of this id."""
        with self._partition.read() as session:
            return checkpoint_rows.view(checkpoint_rows.find(session, self._namespace, checkpoint_id))

    def list(self, status: str | None = None) -> list[Checkpoint]:
        """Returns the namespace's checkpoints, or those of one status; newest first."""
        if status not in (None, *get_args(CheckpointStatus)):
            raise ConfigurationError(f"{status!r} is not a status; use one of {', '.join(get_args(CheckpointStatus))}")
        mine = select(CheckpointRow).where(CheckpointRow.namespace == self._namespace)
        if status is not None:
            mine = mine.where(CheckpointRow.status == status)
        with self._partition.read() as session:
            rows = session.exec(mine.order_by(col(CheckpointRow.created_at).desc(), col(CheckpointRow.id)))
            return [checkpoint_rows.view(row) for row in rows]

    def live(self, base_model: str | None = None) -> Checkpoint | None:
        """Returns the checkpoint that serves; None is the base model.

        Args:
            base_model: Return only a checkpoint that was trained on this model.
        """
        with self._partition.read() as session:
            row = checkpoint_rows.live_row(session, self._namespace)
            return checkpoint_rows.view(row) if row is not None and base_model in (None, row.base_model) else None

    def promote(self, checkpoint_id: str, *, by: str, reason: str, gate: Mapping[str, Any] | None = None) -> Checkpoint:
        """Makes a checkpoint live in place of the one that is, which is retired, whatever base model that was trained on.
        Changes nothing for one that is live already.

        Args:
            checkpoint_id: The checkpoint, a candidate or a retired one.
            by: Who decided it.
            reason: Why.
            gate: The gate's findings, in JSON.

        Raises:
            CheckpointNotFoundError: this namespace has no checkpoint of this id.
            ConfigurationError: its files are missing, changed or not to be loaded.
        """
        found = plain_json(gate, "a gate's evidence") if gate is not None else None
        self.get(checkpoint_id).verify()
        crashpoint("checkpoint.before")
        with self._partition.write() as session:
            row = checkpoint_rows.find(session, self._namespace, checkpoint_id)
            if row.status != LIVE:
                before = checkpoint_rows.live_row(session, self._namespace)
                evidence = {"instead_of": before.id if before else None, "gate": found}
                if before is not None:
                    checkpoint_rows.change(session, before, "retired")
                    checkpoint_rows.log(session, before, "retired", by=by, reason=reason, evidence={"for": row.id})
                crashpoint("checkpoint.middle")
                checkpoint_rows.change(session, row, LIVE, gate=found)
                checkpoint_rows.log(session, row, "promoted", by=by, reason=reason, evidence=evidence)
            promoted = checkpoint_rows.view(row)
        crashpoint("checkpoint.after")
        return promoted

    def keep(self, checkpoint_id: str, *, by: str, reason: str, gate: Mapping[str, Any] | None = None) -> Checkpoint:
        """Notes that the gate said no: the checkpoint stays a candidate, or retired, and what is live stays live.

        Raises:
            CheckpointNotFoundError: this namespace has no checkpoint of this id.
            StoreError: it is live.
        """
        found = plain_json(gate, "a gate's evidence") if gate is not None else None
        with self._partition.write() as session:
            row = checkpoint_rows.find(session, self._namespace, checkpoint_id)
            if row.status == LIVE:
                raise StoreError(f"{row.id} is live; go back with: skill-plugin checkpoints rollback")
            checkpoint_rows.change(session, row, row.status, gate=found)
            checkpoint_rows.log(session, row, "kept", by=by, reason=reason, evidence={"gate": found})
            return checkpoint_rows.view(row)

    def rollback(self, *, by: str, reason: str, to: str | None = None) -> Checkpoint | None:
        """Retires the live checkpoint and makes an earlier one live again; returns that, None is the base model.

        Args:
            by: Who decided it.
            reason: Why.
            to: A checkpoint that was live before, or `base model`; by default what was live before the live one.

        Raises:
            CheckpointNotFoundError: nothing is live and `to` is not given, or no checkpoint has this id.
            StoreError: `to` was never live.
            ConfigurationError: the files of the earlier one are missing, changed or not to be loaded.
        """
        live = self.live()
        if to is None and live is None:
            raise CheckpointNotFoundError(f"no checkpoint is live in namespace {self._namespace!r}; the base model is")
        if to is not None or live is None:
            return self._go_back(None if to == BASE else to, by=by, reason=reason)
        with self._partition.read() as session:
            before = checkpoint_rows.before(session, self._namespace, live.id)
        return self._go_back(before, by=by, reason=reason, only_from=live.id)

    def events(self, checkpoint_id: str | None = None) -> Sequence[CheckpointEvent]:
        """Returns the events of one checkpoint, or of all in the namespace; oldest first."""
        with self._partition.read() as session:
            if checkpoint_id is not None:
                checkpoint_rows.find(session, self._namespace, checkpoint_id)
            rows = checkpoint_rows.events(session, self._namespace)
            return [
                CheckpointEvent(
                    checkpoint_id=row.checkpoint_id,
                    kind=row.kind,
                    by=row.by,
                    reason=row.reason,
                    evidence=row.evidence,
                    at=row.at,
                )
                for row in rows
                if checkpoint_id in (None, row.checkpoint_id)
            ]

    def prune(
        self, folder: str | Path, *, keep: int = KEPT, by: str = "human", dry_run: bool = False
    ) -> Sequence[PruneDecision]:
        """Deletes the folders of checkpoints that were refused or superseded; their rows and events stay, as history.

        What is live, what a rollback goes to, what an unfinished night trains further and what no gate has refused stays, and
        so does what another namespace has too, and what is not in `folder`.

        Args:
            folder: Only folders in this one are deleted; `adapters` in the home folder is where `retrain` puts them.
            keep: The newest of the others, which stay.
            by: Who asks; it is kept with the event.
            dry_run: Decide only.

        Returns:
            A decision for every checkpoint whose folder exists, newest first.

        Raises:
            ConfigurationError: `keep` is not a number from 0.
            StoreUnavailableError: a folder cannot be deleted.
        """
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
            raise ConfigurationError(f"keep is {keep!r}; give a whole number from 0")
        if dry_run:
            with self._partition.read() as session:
                return pruning.decide(session, self._namespace, Path(folder), keep=keep)
        with self._partition.write() as session:  # nobody makes one of them live meanwhile
            decisions = pruning.decide(session, self._namespace, Path(folder), keep=keep)
            for one in decisions:
                if one.action == "delete":
                    _delete(Path(one.path))
                    row = checkpoint_rows.find(session, self._namespace, one.id)
                    evidence = {"path": one.path, "bytes": one.bytes}
                    checkpoint_rows.log(session, row, "pruned", by=by, reason=one.reason, evidence=evidence)
        return decisions

    def acceptance(self, checkpoint_id: str | None) -> Acceptance:
        """Counts the texts of a checkpoint (None is the base model) that a gate decided on, and those that went live.

        A version that a gate refused and later promoted is accepted; what a person decided does not count.
        """
        with self._partition.read() as session:
            found = checkpoint_rows.decisions(session, self._namespace)
        return checkpoint_rows.total(decided for (one, _), decided in found.items() if one == checkpoint_id)

    def check_live(self, *, by: str, margin: float = MARGIN, min_decisions: int = MIN_DECISIONS) -> Checkpoint | None:
        """Rolls the live checkpoint back if the gate takes clearly less of what it writes than of what its predecessor wrote.

        Clearly: the 95 % interval (Wilson's) of its acceptance rate ends below the predecessor's rate, which is higher by
        `margin` or more. The predecessor is what `rollback_checkpoint` goes back to; if that is the base model, what counts
        is what it wrote under the names that the live checkpoint's revisions have, not what other models wrote.

        Args:
            by: Who asks; it is kept with the event.
            margin: Share of decided revisions, from 0.
            min_decisions: On either side; with fewer nothing is done.

        Returns:
            The checkpoint that was rolled back, retired now; None if it stays.
        """
        with self._partition.read() as session:
            live = checkpoint_rows.live_row(session, self._namespace)
            if live is None:
                return None
            before = checkpoint_rows.before(session, self._namespace, live.id)
            found = checkpoint_rows.decisions(session, self._namespace)
        models = {model for (one, model) in found if one == live.id}
        now = checkpoint_rows.total(decided for (one, _), decided in found.items() if one == live.id)
        earlier = checkpoint_rows.total(
            decided
            for (one, model), decided in found.items()
            if one == before and (before is not None or model in models)
        )
        if not now.is_worse_than(earlier, margin=margin, min_decisions=min_decisions):
            return None
        reason = (
            f"the gate took {now.accepted} of {now.decided} revisions (at most {now.interval[1]:.0%}), "
            f"{earlier.accepted} of {earlier.decided} of {before or 'the base model'} ({earlier.rate:.0%})"
        )
        self._go_back(before, by=by, reason=reason, only_from=live.id)
        return self.get(live.id)

    def _go_back(self, wanted: str | None, *, by: str, reason: str, only_from: str | None = None) -> Checkpoint | None:
        """Makes a checkpoint live again, None is the base model; with `only_from` only if that is still live."""
        if wanted is not None:
            self.get(wanted).verify()
        crashpoint("checkpoint.before")
        with self._partition.write() as session:
            live = checkpoint_rows.live_row(session, self._namespace)
            if only_from is not None and (live is None or live.id != only_from):
                raise StoreError(f"{only_from} is not live any more, another process has changed that; look again")
            row = None if wanted is None else checkpoint_rows.find(session, self._namespace, wanted)
            if row is not None and not checkpoint_rows.was_live(session, row):
                raise StoreError(f"{row.id} was never live; make it so with: skill-plugin checkpoints promote {row.id}")
            if live is not None and (row is None or live.id != row.id):
                checkpoint_rows.change(session, live, "retired")
                checkpoint_rows.log(session, live, "rolled_back", by=by, reason=reason, evidence={"to": wanted})
            crashpoint("checkpoint.middle")
            if row is not None and row.status != LIVE:
                checkpoint_rows.change(session, row, LIVE)
                back_from = live.id if live else None
                checkpoint_rows.log(session, row, "promoted", by=by, reason=reason, evidence={"back_from": back_from})
            now = checkpoint_rows.view(row) if row is not None else None
        crashpoint("checkpoint.after")
        return now


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as exc:
        raise StoreUnavailableError(f"{folder} cannot be deleted: {exc.strerror}; see who owns it") from exc
