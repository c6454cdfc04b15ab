"""Run by alembic. It works on the connection and in the transaction it is handed, so that a
migration which breaks off leaves the database as it was; it sets up no logging."""

from __future__ import annotations

from alembic import context

from gateway.memory.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table only by copying it.
    render_as_batch=True,
)
context.run_migrations()
