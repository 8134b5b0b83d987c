"""Run by alembic on the connection that `stages.human_eval.store` hands over."""

from alembic import context

from stages.human_eval.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
