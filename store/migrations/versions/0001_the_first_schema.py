"""The first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "skillp_checkpoint",
    "skillp_event",
    "skillp_index_change",
    "skillp_namespace",
    "skillp_outcome",
    "skillp_revision",
    "skillp_rollout",
    "skillp_skill",
    "skillp_task",
    "skillp_training_run",
    "skillp_skill_version",
    "skillp_embedding",
)


def upgrade() -> None:
    op.create_table(
        "skillp_checkpoint",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("base_revision", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("gate", sa.JSON(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_checkpoint"),
    )
    op.create_index("ix_skillp_checkpoint_namespace", "skillp_checkpoint", ["namespace"])

    op.create_table(
        "skillp_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_event"),
    )
    op.create_index("ix_skillp_event_skill_id", "skillp_event", ["skill_id"])

    op.create_table(
        "skillp_index_change",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_skillp_index_change"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_skillp_index_change_namespace_seq", "skillp_index_change", ["namespace", "seq"])

    op.create_table(
        "skillp_namespace",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_skillp_namespace"),
    )
    op.create_table(
        "skillp_outcome",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("reward", sa.Float(), nullable=False),
        sa.Column("feedback", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_outcome"),
        sa.UniqueConstraint("namespace", "run_id", "digest", name="uq_skillp_outcome_namespace_run_id_digest"),
    )
    op.create_table(
        "skillp_revision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("parent_skill_id", sa.String(), nullable=True),
        sa.Column("parent_version", sa.Integer(), nullable=True),
        sa.Column("skill_id", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("completion", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("prompt_token_ids", sa.JSON(), nullable=True),
        sa.Column("completion_token_ids", sa.JSON(), nullable=True),
        sa.Column("logprobs", sa.JSON(), nullable=True),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("checkpoint_id", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_revision"),
        sa.UniqueConstraint(
            "namespace", "group_id", "candidate", name="uq_skillp_revision_namespace_group_id_candidate"
        ),
    )
    op.create_index("ix_skillp_revision_namespace_task_id", "skillp_revision", ["namespace", "task_id"])
    op.create_index("ix_skillp_revision_skill_id", "skillp_revision", ["skill_id"])

    op.create_table(
        "skillp_rollout",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("reward", sa.Float(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("feedback", sa.String(), nullable=False),
        sa.Column("verifier_hash", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("latency_s", sa.Float(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("credited", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_rollout"),
        sa.UniqueConstraint(
            "namespace", "run_id", "generation", "k", name="uq_skillp_rollout_namespace_run_id_generation_k"
        ),
    )
    op.create_index("ix_skillp_rollout_namespace_task_id", "skillp_rollout", ["namespace", "task_id"])
    op.create_index("ix_skillp_rollout_skill_id_version", "skillp_rollout", ["skill_id", "version"])

    op.create_table(
        "skillp_skill",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("trust", sa.String(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("live_version", sa.Integer(), nullable=True),
        sa.Column("utility", sa.Float(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("wins", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_skill"),
        sa.UniqueConstraint("namespace", "name", name="uq_skillp_skill_namespace_name"),
    )
    op.create_index("ix_skillp_skill_namespace_status", "skillp_skill", ["namespace", "status"])

    op.create_table(
        "skillp_task",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("input", sa.String(), nullable=False),
        sa.Column("reference", sa.JSON(), nullable=False),
        sa.Column("verifier", sa.JSON(), nullable=True),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id", name="pk_skillp_task"),
    )
    op.create_index("ix_skillp_task_namespace_content_hash", "skillp_task", ["namespace", "content_hash"])
    op.create_index("ix_skillp_task_namespace_family", "skillp_task", ["namespace", "family"])

    op.create_table(
        "skillp_training_run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("data_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data_hash", sa.String(), nullable=True),
        sa.Column("seeds", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_training_run"),
    )
    op.create_index("ix_skillp_training_run_namespace", "skillp_training_run", ["namespace"])

    op.create_table(
        "skillp_skill_version",
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("revision_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["skill_id"], ["skillp_skill.id"], name="fk_skillp_skill_version_skill_id"),
        sa.PrimaryKeyConstraint("skill_id", "number", name="pk_skillp_skill_version"),
    )
    op.create_table(
        "skillp_embedding",
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["skill_id", "number"],
            ["skillp_skill_version.skill_id", "skillp_skill_version.number"],
            name="fk_skillp_embedding_skill_id_number",
        ),
        sa.PrimaryKeyConstraint("skill_id", "number", "signature", name="pk_skillp_embedding"),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
