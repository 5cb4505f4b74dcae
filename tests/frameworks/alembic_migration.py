"""Alembic (alembic.sqlalchemy.org, "Tutorial"): a migration up and down again as the owner, rows as
the application.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

_ENV = """\
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url").replace("%%", "%"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = """\
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text)
    )


def downgrade():
    op.drop_table("notes")
"""


def _url(name: str) -> str:
    return os.environ[name].replace("postgresql://", "postgresql+psycopg://", 1)


def main() -> None:
    """Raises whatever does not work."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "versions").mkdir()
        (Path(folder) / "env.py").write_text(_ENV)
        (Path(folder) / "versions" / "0001.py").write_text(_REVISION)
        config = Config()
        config.set_main_option("script_location", folder)
        config.set_main_option("sqlalchemy.url", _url("DATABASE_OWNER_URL").replace("%", "%%"))
        command.upgrade(config, "head")
        with create_engine(_url("DATABASE_URL")).begin() as connection:
            connection.execute(text("INSERT INTO notes (body) VALUES ('from the application')"))
            assert connection.scalar(text("SELECT count(*) FROM notes")) == 1
        command.downgrade(config, "base")


if __name__ == "__main__":
    main()
