"""A column for each version's trust tier, in place of the skill's `trust`, which nothing read"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_VERSION = sa.table(
    "skillp_skill_version",
    *(sa.column(name) for name in ("skill_id", "number", "author", "tier")),
)
_SKILL = sa.table("skillp_skill", *(sa.column(name) for name in ("id", "trust")))
_EVENT = sa.table("skillp_event", *(sa.column(name) for name in ("id", "skill_id", "version", "kind", "by")))


def upgrade() -> None:
    op.add_column("skillp_skill_version", sa.Column("tier", sa.String(), server_default="unvetted", nullable=False))
    for skill_id, number in sorted(_tested()):
        of_version = (_VERSION.c.skill_id == skill_id) & (_VERSION.c.number == number)
        op.execute(sa.update(_VERSION).where(of_version).values(tier="tested"))
    op.drop_column("skillp_skill", "trust")


def downgrade() -> None:
    op.add_column("skillp_skill", sa.Column("trust", sa.String(), server_default="unvetted", nullable=False))
    by_hand = sa.select(_VERSION.c.skill_id).where(_VERSION.c.number == 1, _VERSION.c.author == "human")
    op.execute(sa.update(_SKILL).where(_SKILL.c.id.in_(by_hand)).values(trust="reviewed"))
    op.drop_column("skillp_skill_version", "tier")


def _tested() -> set[tuple[str, int]]:
    """Returns the versions that a person wrote, or that a person or a gate let through, and that nothing was found against since."""
    connection = op.get_bind()
    by_hand = sa.select(_VERSION.c.skill_id, _VERSION.c.number).where(_VERSION.c.author == "human")
    tested: set[tuple[str, int]] = {(row.skill_id, row.number) for row in connection.execute(by_hand)}
    live: dict[str, int] = {}
    for row in _events(connection):
        skill_id, number, kind = row.skill_id, row.version, row.kind
        this = (skill_id, number)
        if kind in ("promoted", "released"):
            tested.add(this)
        elif kind in ("held", "quarantined"):
            tested.discard(this)
        if kind == "rolled back" and skill_id in live:  # what is left behind was worse
            tested.discard((skill_id, live[skill_id]))
        if kind in ("added", "promoted", "rolled back"):
            live[skill_id] = number
    return tested


def _events(connection: sa.Connection) -> sa.CursorResult[Any]:
    kinds = ("added", "promoted", "rolled back", "held", "released", "quarantined")
    statement = sa.select(_EVENT.c.skill_id, _EVENT.c.version, _EVENT.c.kind).where(
        _EVENT.c.kind.in_(kinds), _EVENT.c.version.is_not(None)
    )
    return connection.execute(statement.order_by(_EVENT.c.id))
