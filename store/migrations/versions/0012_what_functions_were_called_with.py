"""A column for the arguments that a function was called with"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skillp_call", sa.Column("arguments", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("skillp_call", "arguments")
