"""Alembic's entry: runs on the connection that `database.py` hands over, in its transaction."""

from alembic import context

from mushra_app.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by building it anew
)
context.run_migrations()
