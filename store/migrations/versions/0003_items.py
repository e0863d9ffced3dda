"""Items: named values of an agent's own, and their vectors"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    path = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "skillp_item",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("path", path, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("texts", sa.JSON(), nullable=False),
        sa.Column("ttl_minutes", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "path", "key", name="pk_skillp_item"),
    )
    op.create_index("ix_skillp_item_namespace_updated_at", "skillp_item", ["namespace", "updated_at"])
    op.create_index("ix_skillp_item_namespace_expires_at", "skillp_item", ["namespace", "expires_at"])
    op.create_table(
        "skillp_item_vector",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("path", path, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "path", "key"],
            ["skillp_item.namespace", "skillp_item.path", "skillp_item.key"],
            name="fk_skillp_item_vector_namespace_path_key",
        ),
        sa.PrimaryKeyConstraint("namespace", "path", "key", "number", "signature", name="pk_skillp_item_vector"),
    )


def downgrade() -> None:
    op.drop_table("skillp_item_vector")
    op.drop_index("ix_skillp_item_namespace_expires_at", "skillp_item")
    op.drop_index("ix_skillp_item_namespace_updated_at", "skillp_item")
    op.drop_table("skillp_item")
