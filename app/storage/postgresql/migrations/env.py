"""Runs the migrations on the connection that app.storage.postgresql.preparation passes in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
