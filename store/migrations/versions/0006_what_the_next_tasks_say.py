"""Verdicts of the next tasks: chains, purposes of rollouts, further tasks of a prompt, further skills of a rollout"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The eight newest tasks of each skill that a version passed which is or was live.
EXPERIENCE = """
INSERT INTO skillp_experience (namespace, skill_id, task_id, seq, created_at)
SELECT namespace, skill_id, task_id, 0, created_at FROM (
    SELECT passed.*, row_number() OVER (PARTITION BY skill_id ORDER BY newest DESC) AS place FROM (
        SELECT r.namespace, r.skill_id, r.task_id, max(r.created_at) AS created_at, max(r.id) AS newest
        FROM skillp_rollout r JOIN skillp_skill s ON s.id = r.skill_id AND s.namespace = r.namespace
        WHERE r.passed AND r.arm = 'skill' AND r.purpose <> 'gate' AND (r.adherence IS NULL OR r.adherence > 0)
            AND (r.version = s.live_version OR EXISTS (
                SELECT 1 FROM skillp_event e WHERE e.skill_id = r.skill_id AND e.version = r.version
                    AND e.kind IN ('added', 'promoted', 'rolled back')))
        GROUP BY r.namespace, r.skill_id, r.task_id
    ) AS passed
) AS placed
WHERE place <= 8
"""


def upgrade() -> None:
    op.add_column("skillp_task", sa.Column("chain", sa.String(), nullable=True))
    op.add_column("skillp_task", sa.Column("position", sa.Integer(), nullable=True))
    op.add_column("skillp_skill_version", sa.Column("total_reward", sa.Float(), server_default="0", nullable=False))
    op.execute("UPDATE skillp_skill_version SET total_reward = wins")
    # A win counts as a reward of 1; what the rollouts say of graded rewards is put right.
    op.execute("""
        UPDATE skillp_skill_version SET total_reward = total_reward + COALESCE((
            SELECT SUM(rollout.reward - CASE WHEN rollout.passed THEN 1.0 ELSE 0.0 END) FROM skillp_rollout AS rollout
            WHERE rollout.skill_id = skillp_skill_version.skill_id AND rollout.version = skillp_skill_version.number
            AND rollout.credited AND rollout.reward IS NOT NULL), 0.0)
        WHERE uses > 0
    """)
    op.add_column("skillp_rollout", sa.Column("purpose", sa.String(), server_default="run", nullable=False))
    # Until now a run of the gate was told by its id alone.
    op.execute("UPDATE skillp_rollout SET purpose = 'gate' WHERE run_id LIKE 'ev\\_%:gate:%' ESCAPE '\\'")
    op.create_table(
        "skillp_revision_task",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "group_id", "content_hash", name="pk_skillp_revision_task"),
    )
    op.create_table(
        "skillp_shared_use",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("adherence", sa.Float(), nullable=True),
        sa.Column("credited", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "run_id", "generation", "k", "skill_id", name="pk_skillp_shared_use"),
    )
    op.create_index("ix_skillp_shared_use_skill_id", "skillp_shared_use", ["skill_id"])
    op.add_column("skillp_namespace", sa.Column("experience", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "skillp_experience",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "skill_id", "task_id", name="pk_skillp_experience"),
    )
    op.create_index("ix_skillp_experience_namespace_seq", "skillp_experience", ["namespace", "seq"])
    op.execute(EXPERIENCE)


def downgrade() -> None:
    op.drop_index("ix_skillp_experience_namespace_seq", "skillp_experience")
    op.drop_table("skillp_experience")
    op.drop_column("skillp_namespace", "experience")
    op.drop_index("ix_skillp_shared_use_skill_id", "skillp_shared_use")
    op.drop_table("skillp_shared_use")
    op.drop_table("skillp_revision_task")
    op.drop_column("skillp_rollout", "purpose")
    op.drop_column("skillp_skill_version", "total_reward")
    op.drop_column("skillp_task", "position")
    op.drop_column("skillp_task", "chain")
