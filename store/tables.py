"""The SQL tables: the truth of the store. One schema for SQLite and PostgreSQL.

All tables have our prefix and metadata of their own, so that they can live in a host's database: the host's
`create_all` does not make them and its Alembic does not drop them. A namespace is part of every key that is looked up.
Rows of versions, revisions, rollouts, outcomes and events are only ever appended.
"""

import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

PREFIX = "skillp_"

# SQLite counts up only INTEGER primary keys; PostgreSQL needs more than 32 bits after years of rollouts.
Counter = BigInteger().with_variant(Integer, "sqlite")

# What is looked up by its beginning is ordered by its characters' numbers, not by a language's rules, as SQLite does it.
PrefixedText = String().with_variant(String(collation="C"), "postgresql")


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_index_key() -> str:
    return secrets.token_hex(8)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: kept in UTC without a zone, the one form that SQLite and PostgreSQL share; read with its zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return value.replace(tzinfo=UTC) if value is not None else None


class Table(SQLModel):
    """Base of our tables; never shares SQLModel's own metadata with the host."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class NamespaceRow(Table, table=True):
    """A tenant's partition. `epoch` counts the changes that an index must follow; `signature` names its vectors.

    `experience` counts the changes of what its skills have lived through.

    `index_key` is random and names its collections, because two databases with namespaces of one name may share a server.
    """

    __tablename__ = f"{PREFIX}namespace"

    name: str = Field(primary_key=True)
    signature: str | None = None
    epoch: int = 0
    experience: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    index_key: str = Field(default_factory=new_index_key, sa_column_kwargs={"server_default": ""})
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class TaskRow(Table, table=True):
    __tablename__ = f"{PREFIX}task"
    __table_args__ = (Index(None, "namespace", "content_hash"), Index(None, "namespace", "family"))

    namespace: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    family: str
    input: str
    reference: Any = Field(default=None, sa_type=JSON)
    verifier: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    split: str
    content_hash: str
    chain: str | None = None
    position: int | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SkillRow(Table, table=True):
    """`status` is live as soon as one version is; `live_version` says which.

    `low_audits` counts the audits in a row that found no lift, the last of them when there were `audited_uses`.
    """

    __tablename__ = f"{PREFIX}skill"
    __table_args__ = (UniqueConstraint("namespace", "name"), Index(None, "namespace", "status"))

    id: str = Field(primary_key=True)
    namespace: str
    name: str
    description: str
    status: str
    pinned: bool = False
    live_version: int | None = None
    utility: float | None = None
    uses: int = 0
    wins: int = 0
    low_audits: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    audited_uses: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SkillVersionRow(Table, table=True):
    """The text and its files never change, `tier` and `may_run` do; `utility`, `uses`, `wins` and `total_reward` are of its time live.

    `tree_sha256` is empty if it has no files beside its text; `checks` is what its tests said.
    """

    __tablename__ = f"{PREFIX}skill_version"
    __table_args__ = (ForeignKeyConstraint(["skill_id"], [f"{PREFIX}skill.id"]),)

    skill_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    namespace: str
    generation: int
    parent: int | None = None
    description: str
    text: str
    sha256: str
    tree_sha256: str = ""
    author: str
    may_run: bool = False
    checks: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    tier: str = Field(default="unvetted", sa_column_kwargs={"server_default": "unvetted"})
    revision_id: str | None = None
    utility: float | None = None
    uses: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    wins: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    total_reward: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class EmbeddingRow(Table, table=True):
    """The vector of one version under one embedder: little-endian float32, length 1."""

    __tablename__ = f"{PREFIX}embedding"
    __table_args__ = (
        ForeignKeyConstraint(
            ["skill_id", "number"], [f"{PREFIX}skill_version.skill_id", f"{PREFIX}skill_version.number"]
        ),
    )

    skill_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    signature: str = Field(primary_key=True)
    namespace: str
    vector: bytes = Field(sa_type=LargeBinary)


class RevisionRow(Table, table=True):
    """One generated text with everything that training needs: the exact prompt, tokens and behaviour log-probs.

    `skill_id` and `version` say which version it became; both are null for a malformed text (`error`). `source` names where
    an imported one came from.
    """

    __tablename__ = f"{PREFIX}revision"
    __table_args__ = (
        UniqueConstraint("namespace", "group_id", "candidate"),
        Index(None, "namespace", "task_id"),
        Index(None, "skill_id"),
    )

    id: str = Field(primary_key=True)
    namespace: str
    task_id: str
    run_id: str
    group_id: str
    candidate: int
    generation: int
    parent_skill_id: str | None = None
    parent_version: int | None = None
    skill_id: str | None = None
    version: int | None = None
    prompt: list[dict[str, Any]] = Field(sa_type=JSON)
    completion: str
    error: str | None = None
    prompt_token_ids: list[int] | None = Field(default=None, sa_type=JSON)
    completion_token_ids: list[int] | None = Field(default=None, sa_type=JSON)
    logprobs: list[float] | None = Field(default=None, sa_type=JSON)
    sampling: dict[str, Any] = Field(sa_type=JSON)
    model: str | None = None
    checkpoint_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    source: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class RevisionTaskRow(Table, table=True):
    """A further task that the prompt of a candidate group showed, beside the one in its revisions' `task_id`."""

    __tablename__ = f"{PREFIX}revision_task"

    namespace: str = Field(primary_key=True)
    group_id: str = Field(primary_key=True)
    content_hash: str = Field(primary_key=True)


class RolloutRow(Table, table=True):
    """`credited` says whether it moved the skill's utility. A control rollout names the version that was withheld.

    `purpose` is `Rollout.purpose`: what it was run for. `tools` are the names of `Rollout.tools` with spaces between them.
    """

    __tablename__ = f"{PREFIX}rollout"
    __table_args__ = (
        UniqueConstraint("namespace", "run_id", "generation", "k"),
        Index(None, "skill_id", "id"),
        Index(None, "withheld_skill_id", "id"),
        Index(None, "namespace", "task_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    namespace: str
    task_id: str
    skill_id: str | None = None
    version: int | None = None
    withheld_skill_id: str | None = None
    withheld_version: int | None = None
    arm: str
    run_id: str
    generation: int
    k: int
    thread_id: str | None = None
    model: str | None = None
    answer: str
    chosen: bool = False
    reward: float | None = None
    passed: bool | None = None
    feedback: str = ""
    verifier_hash: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    error: str | None = None
    adherence: float | None = None
    credited: bool = False
    purpose: str = Field(default="run", sa_column_kwargs={"server_default": "run"})
    seen: bool | None = None
    tools: str = Field(default="", sa_column_kwargs={"server_default": ""})
    source: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SharedUseRow(Table, table=True):
    """A further skill that was in the prompt of a rollout, beside the one in the rollout's own row."""

    __tablename__ = f"{PREFIX}shared_use"
    __table_args__ = (Index(None, "skill_id"),)

    namespace: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    generation: int = Field(primary_key=True)
    k: int = Field(primary_key=True)
    skill_id: str = Field(primary_key=True)
    version: int
    adherence: float | None = None
    credited: bool = False


class TaskEmbeddingRow(Table, table=True):
    """The vector of a task's input: of recent tasks, and of those that skills have passed."""

    __tablename__ = f"{PREFIX}task_embedding"

    namespace: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    signature: str = Field(primary_key=True)
    vector: bytes = Field(sa_type=LargeBinary)


class OutcomeRow(Table, table=True):
    """Feedback that came after the run; `digest` is unique, so the same is kept once. Of one `source` the newest counts."""

    __tablename__ = f"{PREFIX}outcome"
    __table_args__ = (UniqueConstraint("namespace", "run_id", "digest"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    namespace: str
    run_id: str
    digest: str
    reward: float
    feedback: str = ""
    source: str = Field(default="", sa_column_kwargs={"server_default": ""})
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class EventRow(Table, table=True):
    __tablename__ = f"{PREFIX}event"
    __table_args__ = (Index(None, "skill_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    namespace: str
    skill_id: str
    version: int | None = None
    kind: str
    by: str
    reason: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class CheckpointRow(Table, table=True):
    """A trained LoRA adapter of the generator."""

    __tablename__ = f"{PREFIX}checkpoint"

    namespace: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    base_model: str
    base_revision: str | None = None
    path: str
    sha256: str
    parent: str | None = None
    metrics: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    gate: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    status: str
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class CheckpointEventRow(Table, table=True):
    __tablename__ = f"{PREFIX}checkpoint_event"
    __table_args__ = (Index(None, "namespace"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    namespace: str
    checkpoint_id: str
    kind: str
    by: str
    reason: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class TrainingRunRow(Table, table=True):
    __tablename__ = f"{PREFIX}training_run"

    namespace: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    config: dict[str, Any] = Field(sa_type=JSON)
    data_from: datetime | None = Field(default=None, sa_type=UtcDateTime)
    data_to: datetime | None = Field(default=None, sa_type=UtcDateTime)
    data_hash: str | None = None
    seeds: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    progress: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    outcome: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class EvolveRunRow(Table, table=True):
    """One `evolve` over a set of tasks. `digest` is of tasks and settings: the same again resumes where this one ended."""

    __tablename__ = f"{PREFIX}evolve_run"
    __table_args__ = (Index(None, "namespace", "digest"),)

    namespace: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    digest: str
    config: dict[str, Any] = Field(sa_type=JSON)
    progress: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    outcome: str | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
