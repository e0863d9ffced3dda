"""Histories: runs of evolve, and where imported rows came from"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "skillp_evolve_run",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id", name="pk_skillp_evolve_run"),
    )
    op.create_index("ix_skillp_evolve_run_namespace_digest", "skillp_evolve_run", ["namespace", "digest"])
    op.add_column("skillp_revision", sa.Column("source", sa.String(), nullable=True))
    op.add_column("skillp_rollout", sa.Column("source", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("skillp_rollout", "source")
    op.drop_column("skillp_revision", "source")
    op.drop_index("ix_skillp_evolve_run_namespace_digest", "skillp_evolve_run")
    op.drop_table("skillp_evolve_run")
