"""A column for whether a rollout's skills were in what reached the model"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skillp_rollout", sa.Column("seen", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("skillp_rollout", "seen")
