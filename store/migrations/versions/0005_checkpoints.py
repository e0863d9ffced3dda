"""Checkpoints: their events; an adapter and a training run may have one name in two namespaces"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEYED_BY_ID = ("skillp_checkpoint", "skillp_training_run")


def upgrade() -> None:
    op.create_table(
        "skillp_checkpoint_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("checkpoint_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_skillp_checkpoint_event"),
    )
    op.create_index("ix_skillp_checkpoint_event_namespace", "skillp_checkpoint_event", ["namespace"])
    for table in KEYED_BY_ID:
        op.drop_index(f"ix_{table}_namespace", table)  # the new key begins with the namespace
        _key(table, ["namespace", "id"])


def downgrade() -> None:
    for table in KEYED_BY_ID:
        _key(table, ["id"])
        op.create_index(f"ix_{table}_namespace", table, ["namespace"])
    op.drop_index("ix_skillp_checkpoint_event_namespace", "skillp_checkpoint_event")
    op.drop_table("skillp_checkpoint_event")


def _key(table: str, columns: list[str]) -> None:
    """Gives a table another key; SQLite does so by copying it, within the same transaction."""
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(f"pk_{table}", type_="primary")
        batch.create_primary_key(f"pk_{table}", columns)
