"""Columns and a table for evidence: who reported an outcome, and the key that signs what is exported"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skillp_outcome", sa.Column("source", sa.String(), server_default="", nullable=False))
    op.create_table(
        "skillp_key",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name="pk_skillp_key"),
    )


def downgrade() -> None:
    op.drop_table("skillp_key")
    op.drop_column("skillp_outcome", "source")
