"""The first schema is in the SQL file beside this one; {serial} and {double} differ between databases."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    postgres = op.get_bind().dialect.name == "postgresql"
    serial, double = ("SERIAL", "DOUBLE PRECISION") if postgres else ("INTEGER", "DOUBLE")
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").format(serial=serial, double=double)
    for statement in filter(str.strip, text.split(";")):
        op.execute(statement)
