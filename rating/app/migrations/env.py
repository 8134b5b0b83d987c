"""Run by alembic on the connection that `rating.app.store` hands over."""

from alembic import context

from rating.app.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
