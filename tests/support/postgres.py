"""A private PostgreSQL for the rating application's tests: `python -m tests.support.postgres pytest ...`.

Starts the server that Debian's package `postgresql` brings, on a free port of loopback and in a temporary
folder, runs the command with HUMAN_EVAL_TEST_URL set, and removes everything. With that variable the tests of
the store run on a fresh database of that server each, without it on SQLite.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

VARIABLE = "HUMAN_EVAL_TEST_URL"


def fresh_database(file: Path) -> str:
    """A database for one test: the SQLite file, or a new one on the server that the variable names."""
    server = os.environ.get(VARIABLE)
    if not server:
        return str(file)
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def binaries() -> Path | None:
    """Where the newest installed server lies."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def cluster() -> Iterator[str]:
    """Run a server and give its URL; it refuses to run as root, who becomes user postgres for it."""
    programs = binaries()
    if programs is None:
        raise SystemExit("there is no PostgreSQL here: apt-get install postgresql")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="human-eval-pg-"))
    if user:
        shutil.chown(folder, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data, options = str(folder / "data"), f"-p {port} -h 127.0.0.1 -k {folder}"

    def call(program: str, *arguments: str) -> None:
        log = (folder.parent / f"{folder.name}.log").open("w")
        subprocess.run(
            [*user, str(programs / program), *arguments], check=True, stdout=log, stderr=log, cwd="/"
        )

    try:
        call("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        call("pg_ctl", "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


if __name__ == "__main__":
    with cluster() as url:
        done = subprocess.run(sys.argv[1:], env={**os.environ, VARIABLE: url}, check=False)
    sys.exit(done.returncode)
