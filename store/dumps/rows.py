"""What a row of a dump must be. A file may come from anybody, so a row is held to what the store itself would write."""

import base64
import binascii
import hashlib
import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union, get_args, get_origin

from sqlmodel import Session, select

from skill_plugin import embedders
from skill_plugin.checkpoints import CheckpointStatus
from skill_plugin.errors import SkillPluginError, StoreError
from skill_plugin.records import Arm, Author, Purpose, Split, Tier, sha256
from skill_plugin.skills import skill_md
from skill_plugin.skills.trees import check_path
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.namespaces import check_namespace
from skill_plugin.store.runs.calls import CallRow
from skill_plugin.store.skills.tables import BlobRow, VersionFileRow
from skill_plugin.store.skills.versions import MAX_VERSION, STATUSES
from skill_plugin.store.tables import (
    CheckpointRow,
    EmbeddingRow,
    NamespaceRow,
    OutcomeRow,
    RolloutRow,
    SharedUseRow,
    SkillRow,
    SkillVersionRow,
    Table,
    TaskEmbeddingRow,
    TaskRow,
)
from skill_plugin.store.vectors import is_unit

SKILL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""An id stands in a prompt, and between a name and a number."""

_SKILLS = ("skill_id", "parent_skill_id", "withheld_skill_id")


def _anything(_: Any) -> bool:
    return True


def _choice(*choices: str) -> Callable[[Any], bool]:
    return lambda value: value in choices


def _share(value: float | None) -> bool:
    return value is None or 0 <= value <= 1


def _count(value: int) -> bool:
    return 0 <= value < 2**31


def _number(value: int | None) -> bool:
    return value is None or 1 <= value <= MAX_VERSION


def _object(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


_ALLOWED: dict[type[Table], dict[str, Callable[[Any], bool]]] = {
    TaskRow: {"split": _choice(*get_args(Split))},
    SkillRow: {
        "id": lambda value: SKILL_ID.fullmatch(value) is not None,
        "status": _choice(*STATUSES),
        "live_version": _number,
        "utility": _share,
        "uses": _count,
        "wins": _count,
        "low_audits": _count,
        "audited_uses": _count,
    },
    SkillVersionRow: {
        "number": _number,
        "parent": _number,
        "generation": _count,
        "author": _choice(*get_args(Author)),
        "tier": _choice(*get_args(Tier)),
        "utility": _share,
        "uses": _count,
        "wins": _count,
        "total_reward": lambda value: value >= 0,
    },
    RolloutRow: {
        "arm": _choice(*get_args(Arm)),
        "purpose": _choice(*get_args(Purpose)),
        "reward": _share,
        "adherence": _share,
    },
    SharedUseRow: {"adherence": _share},
    VersionFileRow: {"number": _number},
    CallRow: {"number": _number, "k": _count, "tool_calls": _count, "seconds": lambda value: value >= 0},
    OutcomeRow: {"reward": _share},
    CheckpointRow: {"status": _choice(*get_args(CheckpointStatus))},
    ItemRow: {"value": _object, "texts": lambda value: all(isinstance(text, str) for text in value)},
}
"""What a column may hold beyond what its type says."""

_VECTORS = (EmbeddingRow, TaskEmbeddingRow, ItemVectorRow)


@dataclass
class RowCheck:
    """The check of one file's rows, in their order.

    Args:
        session: Of the database that takes them in.
        namespace: The only one that they may name; None for any.
    """

    session: Session
    namespace: str | None
    _owners: dict[str, str | None] = field(default_factory=dict)
    _lengths: dict[str, int] = field(default_factory=dict)

    def typed(self, table: type[Table], row: Any, left_out: str | None) -> dict[str, Any]:
        """Returns a row's values in the types of its columns, if it is one that this store may take in.

        Args:
            table: Its table.
            row: Its JSON values.
            left_out: The column that each database fills by itself.

        Raises:
            StoreError: a value is not one that the store writes, or the row belongs to another namespace.
            ValueError: it has other columns than the table.
        """
        name = table.__tablename__
        fields = table.model_fields
        if not isinstance(row, Mapping) or set(row) != set(fields) - {left_out}:
            raise ValueError(f"a row of {name} has other columns")
        made = {}
        for key, value in row.items():
            try:
                made[key] = _value(fields[key].annotation, value)
                if not _ALLOWED.get(table, {}).get(key, _anything)(made[key]):
                    raise ValueError
            except (TypeError, ValueError, binascii.Error, OverflowError) as exc:
                raise StoreError(f"a row of {name} has {value!r:.80} as its {key}, which no store writes") from exc
        try:
            self._check(table, made)
        except StoreError:
            raise
        except SkillPluginError as exc:
            raise StoreError(str(exc)) from exc
        return made

    def _check(self, table: type[Table], row: Mapping[str, Any]) -> None:
        of = check_namespace(row["name"] if table is NamespaceRow else row["namespace"])
        if self.namespace not in (None, of):
            raise StoreError(
                f"it holds rows of namespace {of!r}, and the open one is {self.namespace!r}; open that one with --namespace, "
                "or take in all of them with --all"
            )
        if table is SkillRow:
            skill_md.check_name(row["name"])
            skill_md.check_description(row["description"])
            self._owners.setdefault(row["id"], self._owner(row["id"]) or of)
        if table is SkillVersionRow:
            if sha256(row["text"]) != row["sha256"]:
                raise StoreError(f"the text of {row['skill_id']}@{row['number']} is not the one that its sha-256 is of")
            skill_md.parse(row["text"])
        if table is BlobRow and (hashlib.sha256(row["data"]).hexdigest(), len(row["data"])) != (
            row["sha256"],
            row["size"],
        ):
            raise StoreError(f"the content {row['sha256']:.80} of a file is not the one that its sha-256 is of")
        if table is VersionFileRow:
            check_path(row["path"])
        if table in _VECTORS:
            self._check_vector(row["signature"], row["vector"])
        for key in _SKILLS:
            if (skill_id := row.get(key)) is not None and self._owner(skill_id) not in (None, of):
                raise StoreError(f"a row of {table.__tablename__} in namespace {of!r} names a skill of another one")

    def _owner(self, skill_id: str) -> str | None:
        """Returns the namespace of a skill that the database or the file has; None for one that neither has."""
        if skill_id not in self._owners:
            known = self.session.get(SkillRow, skill_id)
            if known is None:
                return None
            self._owners[skill_id] = known.namespace
        return self._owners[skill_id]

    def _known_vector(self, signature: str) -> bytes | None:
        statement = select(EmbeddingRow.vector).where(EmbeddingRow.signature == signature).limit(1)
        return self.session.exec(statement).first()

    def _check_vector(self, signature: str, vector: bytes) -> None:
        if signature not in self._lengths:
            known = embedders.dimension(signature) or len(self._known_vector(signature) or vector) // 4
            self._lengths[signature] = known
        wanted = self._lengths[signature]
        if not is_unit(vector, wanted):
            raise StoreError(
                f"a vector of {signature!r} is not {wanted} finite numbers of length 1; have the other store's doctor repair it "
                "(skill-plugin doctor --fix), and export again"
            )


def _value(annotation: Any, value: Any) -> Any:
    """Converts a JSON value to a column's type. The field's own: what a column says of it differs between releases of SQLModel."""
    union = get_origin(annotation) in (Union, types.UnionType)
    kinds = get_args(annotation) if union else (annotation,)
    kind = next(one for one in kinds if one is not type(None))
    if kind is Any or (value is None and type(None) in kinds):
        return value
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is bytes:
        return base64.b64decode(value, validate=True)
    wanted = get_origin(kind) or kind
    right = (int, float) if wanted is float else wanted
    if not isinstance(value, right) or isinstance(value, bool) != (wanted is bool):
        raise TypeError
    if wanted is float and not math.isfinite(value):
        raise ValueError
    return value
