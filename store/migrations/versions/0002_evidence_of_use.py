"""Evidence of use: withheld skills, adherence, the utility of versions, audits, vectors of tasks; a key for the index"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "skillp_task_embedding",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "task_id", "signature", name="pk_skillp_task_embedding"),
    )

    op.add_column("skillp_namespace", sa.Column("index_key", sa.String(), server_default="", nullable=False))
    namespace = sa.table("skillp_namespace", sa.column("name", sa.String()), sa.column("index_key", sa.String()))
    for name in op.get_bind().execute(sa.select(namespace.c.name)).scalars().all():
        key = secrets.token_hex(8)
        op.execute(sa.update(namespace).where(namespace.c.name == name).values(index_key=key))

    op.add_column("skillp_rollout", sa.Column("withheld_skill_id", sa.String(), nullable=True))
    op.add_column("skillp_rollout", sa.Column("withheld_version", sa.Integer(), nullable=True))
    op.add_column("skillp_rollout", sa.Column("adherence", sa.Float(), nullable=True))
    op.drop_index("ix_skillp_rollout_skill_id_version", "skillp_rollout")
    op.create_index("ix_skillp_rollout_skill_id_id", "skillp_rollout", ["skill_id", "id"])
    op.create_index("ix_skillp_rollout_withheld_skill_id_id", "skillp_rollout", ["withheld_skill_id", "id"])

    op.add_column("skillp_skill", sa.Column("low_audits", sa.Integer(), server_default="0", nullable=False))
    op.add_column("skillp_skill", sa.Column("audited_uses", sa.Integer(), server_default="0", nullable=False))

    op.add_column("skillp_skill_version", sa.Column("utility", sa.Float(), nullable=True))
    op.add_column("skillp_skill_version", sa.Column("uses", sa.Integer(), server_default="0", nullable=False))
    op.add_column("skillp_skill_version", sa.Column("wins", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    for column in ("wins", "uses", "utility"):
        op.drop_column("skillp_skill_version", column)
    for column in ("audited_uses", "low_audits"):
        op.drop_column("skillp_skill", column)
    op.drop_index("ix_skillp_rollout_withheld_skill_id_id", "skillp_rollout")
    op.drop_index("ix_skillp_rollout_skill_id_id", "skillp_rollout")
    op.create_index("ix_skillp_rollout_skill_id_version", "skillp_rollout", ["skill_id", "version"])
    for column in ("adherence", "withheld_version", "withheld_skill_id"):
        op.drop_column("skillp_rollout", column)
    op.drop_column("skillp_namespace", "index_key")
    op.drop_table("skillp_task_embedding")
