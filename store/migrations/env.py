"""Alembic's entry: it always works on the connection that `migrations.upgrade` hands over."""

from alembic import context

from skill_plugin.store.sql.database import VERSION_TABLE
from skill_plugin.store.tables import PREFIX, Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    include_name=lambda name, kind, _: kind != "table" or (name or "").startswith(PREFIX),
    compare_type=True,
    render_as_batch=True,  # SQLite changes a column by copying its table
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
