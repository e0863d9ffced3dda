"""Tables for the files of a skill and for calls of its functions; for each version the hash of its files, and its functions' checks"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skillp_skill_version", sa.Column("tree_sha256", sa.String(), server_default="", nullable=False))
    op.add_column("skillp_skill_version", sa.Column("may_run", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("skillp_skill_version", sa.Column("checks", sa.JSON(), server_default="{}", nullable=False))
    op.create_table(
        "skillp_blob",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "sha256", name="pk_skillp_blob"),
    )
    op.create_table(
        "skillp_version_file",
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("is_executable", sa.Boolean(), nullable=False),
        sa.Column("is_text", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["skill_id", "number"],
            ["skillp_skill_version.skill_id", "skillp_skill_version.number"],
            name="fk_skillp_version_file_skill_id_number",
        ),
        sa.ForeignKeyConstraint(
            ["namespace", "sha256"],
            ["skillp_blob.namespace", "skillp_blob.sha256"],
            name="fk_skillp_version_file_namespace_sha256",
        ),
        sa.PrimaryKeyConstraint("skill_id", "number", "path", name="pk_skillp_version_file"),
    )
    op.create_index("ix_skillp_version_file_namespace_sha256", "skillp_version_file", ["namespace", "sha256"])
    op.create_table(
        "skillp_call",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("tool_calls", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "run_id", "k", name="pk_skillp_call"),
    )
    op.create_index("ix_skillp_call_skill_id_number", "skillp_call", ["skill_id", "number"])


def downgrade() -> None:
    op.drop_index("ix_skillp_call_skill_id_number", "skillp_call")
    op.drop_table("skillp_call")
    op.drop_index("ix_skillp_version_file_namespace_sha256", "skillp_version_file")
    op.drop_table("skillp_version_file")
    op.drop_table("skillp_blob")
    op.drop_column("skillp_skill_version", "checks")
    op.drop_column("skillp_skill_version", "may_run")
    op.drop_column("skillp_skill_version", "tree_sha256")
