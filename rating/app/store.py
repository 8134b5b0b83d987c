"""The database of one study: a SQLite file, or PostgreSQL by URL, by the same code.

SQLite has one writer at a time: those of this process wait for its one connection, others at SQLite's lock.
The file is in WAL mode, so that readers wait for nobody, with synchronous=FULL: what was acknowledged
survives a power cut, too.
"""

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_fixed

from rating.app.assignment import draw_items
from rating.app.raters import Refused
from rating.app.schema import ItemRow, StudyRow
from rating.app.study import Study
from selfevolve.runtime.errors import InputError

WAIT_S = 20.0  # for other writers
_MIGRATING = threading.Lock()  # alembic keeps the migration it runs in a module, threads must take turns
_MIGRATION_LOCK = 2505_16610  # of PostgreSQL, while one process brings the schema up to date
_TEXT_TABLES = "turns, answers, ratings, changes, acts, tasks, raters"
_BUSY = re.compile("locked|busy|deadlock|could not serialize", re.IGNORECASE)
_POOL = {"pool_size": 8, "max_overflow": 32, "pool_timeout": WAIT_S}


class Store:
    """An open database. `reading()` and `writing()` are each one transaction."""

    def __init__(self, url: URL, study: Study):
        self.study = study
        self.url = url
        self._sqlite = url.get_backend_name() == "sqlite"
        self.shown = url.database if self._sqlite else url.render_as_string()  # without the password
        if self._sqlite:
            self._write = _sqlite_engine(url, "BEGIN IMMEDIATE", _POOL | {"pool_size": 1, "max_overflow": 0})
            self._read = _sqlite_engine(url, "BEGIN", _POOL, query_only=True)
        else:
            self._write = create_engine(url, **_POOL)
            self._read = self._write.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose one transaction is committed when the block ends well, else undone.

        Never nest it in the same thread. Raises Refused: busy, when the database was locked for too long.
        """
        try:
            with Session(self._write, expire_on_commit=False) as db, db.begin():
                yield db
        except (OperationalError, PoolTimeout) as error:
            if isinstance(error, PoolTimeout) or _BUSY.search(str(error.orig)):
                raise Refused("busy") from None
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and cannot change it."""
        with Session(self._read, expire_on_commit=False) as db, db.begin():
            yield db

    def prepare(self) -> None:
        """Bring the schema up to date and enter the study; processes that start together take turns."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with _MIGRATING, self._write.begin() as connection:
            if not self._sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            with Session(connection) as db:
                _enter_study(db, self.study, self.shown)
                db.commit()  # with the migration, when the outer transaction ends

    def size(self) -> int | None:
        """Return the bytes of the SQLite files; None of PostgreSQL."""
        if not self._sqlite:
            return None
        files = (Path(f"{self.url.database}{ending}") for ending in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def scrub(self) -> None:
        """Make deleted texts unreadable in the database's files, but for backups and PostgreSQL's log.

        SQLite has overwritten the rows and now empties its log; PostgreSQL writes its tables anew.
        """
        if not self._sqlite:
            with self._write.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"VACUUM (FULL) {_TEXT_TABLES}"))
            return
        for _ in range(50):
            with self._write.connect() as connection:
                raw: Any = connection.connection.driver_connection
                busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                return
            time.sleep(0.1)  # an export is being read

    def close(self) -> None:
        """Close all connections."""
        self._read.dispose()
        self._write.dispose()


def open_store(url: str, study: Study) -> Store:
    """Open the study's database, made and brought up to date where needed.

    `url` is sqlite:///PATH, a bare PATH, or postgresql://USER@HOST/DATABASE. A new database gets the study's
    overlap items.

    Raises:
        InputError: no such database or server, one of another study or of newer code, or unreadable items.
    """
    where = _parse_url(url)
    _prepare_file(where)
    store = Store(where, study)
    try:
        store.prepare()
    except BaseException as error:
        store.close()
        if isinstance(error, CommandError):
            raise InputError("is of a newer version of this program", file=store.shown) from None
        if isinstance(error, SQLAlchemyError):
            reason = str(getattr(error, "orig", error)).splitlines()[0]
            raise InputError(f"cannot be used as a database: {reason}", file=store.shown) from None
        raise
    return store


def note_models(db: Session, digests: Mapping[str, str]) -> None:
    """Note which models answer. Raises InputError: one is not what it was when the study began."""
    row = db.scalars(select(StudyRow).with_for_update()).one()
    known = {**digests, **row.model_digests}
    for name, digest in digests.items():
        if known[name] != digest:
            message = (
                f"model {name} has changed since the study began: its answers cannot be counted together"
            )
            raise InputError(f"{message} ({known[name][:12]}, now {digest[:12]})")
    row.model_digests = known


def set_paused(db: Session, paused: bool) -> None:
    """Pause the study, so that raters can only end a session, or resume it."""
    db.scalars(select(StudyRow).with_for_update()).one().paused = paused


def _enter_study(db: Session, study: Study, shown: str | None) -> None:
    row = db.scalar(select(StudyRow))
    if row is None:
        content = study.model_dump(mode="json")
        fields: dict[str, Any] = {"content": content, "model_digests": {}, "paused": False}
        db.add(StudyRow(id=1, name=study.name, digest=study.digest, created_at=time.time(), **fields))
        for place, item in enumerate(draw_items(study)):
            db.add(ItemRow(place=place, **item.model_dump()))
    elif row.digest != study.digest:
        message = f"holds the ratings of study {row.name} ({row.digest[:12]}), and this is {study.name} "
        message += f"({study.digest[:12]}): a study that was changed needs a database of its own"
        raise InputError(message, file=shown)


def _parse_url(url: str) -> URL:
    try:
        where = make_url(url) if "://" in url else URL.create("sqlite", database=url)
        backend = where.get_backend_name()
    except SQLAlchemyError:
        message = "is no URL of a database: sqlite:///PATH or postgresql://..."
        raise InputError(message, field="database") from None
    if backend in ("postgresql", "postgres"):
        return where.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not where.database:
        raise InputError(f"{backend}: only files of SQLite and PostgreSQL are supported", field="database")
    return where


def _prepare_file(where: URL) -> None:
    """Make a SQLite file that nobody else on the machine can read; its log gets the same rights."""
    if where.get_backend_name() != "sqlite" or not where.database:
        return
    try:
        Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(where.database, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", file=where.database) from None


def _sqlite_engine(url: URL, begin: str, pool: dict[str, Any], query_only: bool = False) -> Engine:
    arguments = {"timeout": WAIT_S, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, **pool)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begun` says so, not by themselves
        # While others switch to WAL, too, SQLite refuses at once instead of waiting.
        retry = retry_if_exception_message(match=".*locked")
        wait = {"stop": stop_after_delay(WAIT_S), "wait": wait_fixed(0.02)}
        Retrying(retry=retry, reraise=True, **wait)(connection.execute, "PRAGMA journal_mode=WAL")
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cache_size=-4000")  # KiB a connection
        connection.execute(f"PRAGMA query_only={'ON' if query_only else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
