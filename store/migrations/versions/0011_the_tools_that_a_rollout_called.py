"""A column for the tools that the agent called in a rollout, in order"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skillp_rollout", sa.Column("tools", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("skillp_rollout", "tools")
