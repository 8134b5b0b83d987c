"""The database of one study: a SQLite file, or PostgreSQL by URL, by the same code.

SQLite has one writer at a time. Writers of this process wait for each other at a lock, which costs less than
SQLite's polling; writers of other processes wait at SQLite's own. The file is in WAL mode, so that readers
wait for nobody, with synchronous=FULL: what was acknowledged survives a power cut, too.
"""

import os
import sqlite3
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
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from stages.human_eval.clock import now
from stages.human_eval.errors import Refused
from stages.human_eval.items import read_items
from stages.human_eval.schema import ItemRow, StudyRow
from stages.human_eval.study import Study
from stages.records.errors import InputError

WAIT_S = 20.0  # for other writers
_MIGRATING = threading.Lock()  # alembic keeps the migration it runs in a module, threads must take turns
_MIGRATION_LOCK = 2505_16610  # of PostgreSQL, while one process brings the schema up to date
_TEXT_TABLES = "turns, answers, ratings, changes, acts, tasks, raters"
_POOL = {"pool_size": 8, "max_overflow": 32, "pool_timeout": WAIT_S}


class Store:
    """An open database. `reading()` and `writing()` are each one transaction."""

    def __init__(self, url: URL, study: Study):
        """Take engines; `open_store` is how to get one."""
        self.study = study
        self.url = url
        self._sqlite = url.get_backend_name() == "sqlite"
        self._writer = threading.Lock()
        if self._sqlite:
            self._write = _sqlite_engine(url, "BEGIN IMMEDIATE", {"pool_size": 1, "max_overflow": 0})
            self._read = _sqlite_engine(url, "BEGIN", _POOL, query_only=True)
        else:
            self._write = create_engine(url, **_POOL)
            self._read = self._write.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose one transaction is committed when the block ends well, else undone.

        Keep it short and never nest it in the same thread. Only after the block has ended is anything
        acknowledged.

        Raises:
            Refused: busy, the database was locked for too long, or two acts got in each other's way.
        """
        if self._sqlite and not self._writer.acquire(timeout=WAIT_S):
            raise Refused("busy")
        try:
            with Session(self._write) as db, db.begin():
                yield db
        except OperationalError as error:
            if _is_conflict(error):
                raise Refused("busy") from None
            raise
        finally:
            if self._sqlite:
                self._writer.release()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and cannot change it."""
        with Session(self._read) as db, db.begin():
            yield db

    def migrate(self) -> None:
        """Bring the schema up to date; processes that start together do it one after another."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with _MIGRATING, self._write.begin() as connection:
            if not self._sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def size(self) -> int | None:
        """Return the bytes of the SQLite files; None of PostgreSQL."""
        if not self._sqlite:
            return None
        files = (Path(f"{self.url.database}{ending}") for ending in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def scrub(self) -> None:
        """Make deleted texts unreadable in the database's files, as far as the database can.

        SQLite overwrites deleted rows (secure_delete), and here empties its log as soon as no reader needs
        it; PostgreSQL writes its tables anew. Backups and PostgreSQL's own log are beyond it.
        """
        if not self._sqlite:
            with self._write.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"VACUUM (FULL) {_TEXT_TABLES}"))
            return
        for _ in range(50):
            with self._writer, self._write.connect() as connection:
                raw: Any = connection.connection.driver_connection
                busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                return
            time.sleep(0.1)  # an export is being read; closing the database empties the log, too

    def close(self) -> None:
        """Close all connections."""
        self._read.dispose()
        self._write.dispose()


def open_store(url: str, study: Study) -> Store:
    """Open the study's database, made and brought up to date where needed.

    Args:
        url: sqlite:///PATH, a bare PATH, or postgresql://USER@HOST/DATABASE.
        study: whose database it is; where the database is new, its overlap items are read and kept there.

    Raises:
        InputError: no such database or server, one of another study, one made by newer code, or overlap
            items that cannot be read.
    """
    where = _url(url)
    shown = where.database if where.get_backend_name() == "sqlite" else where.render_as_string()
    _prepare_file(where)
    store = Store(where, study)
    try:
        store.migrate()
        _enter_study(store, shown)
    except CommandError:
        store.close()
        raise InputError("is of a newer version of this program", file=shown) from None
    except (DBAPIError, SQLAlchemyError) as error:
        store.close()
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise InputError(f"cannot be used as a database: {reason}", file=shown) from None
    except BaseException:
        store.close()
        raise
    return store


def note_models(db: Session, digests: Mapping[str, str]) -> None:
    """Write down which models answer. Raises InputError: one is not what it was when the study began."""
    row = _row(db, lock=True)
    known = dict(row.model_digests)
    for name, digest in digests.items():
        if known.setdefault(name, digest) != digest:
            message = (
                f"model {name} has changed since the study began ({known[name][:12]}, now {digest[:12]})"
            )
            raise InputError(message + ": its answers cannot be counted together")
    row.model_digests = known


def pause(db: Session) -> None:
    """Let raters do nothing but end a session, until `resume`."""
    _row(db, lock=True).paused = True


def resume(db: Session) -> None:
    """Let raters go on."""
    _row(db, lock=True).paused = False


def is_paused(db: Session) -> bool:
    """Whether the study is paused."""
    return bool(db.scalar(select(StudyRow.paused)))


def _row(db: Session, lock: bool = False) -> StudyRow:
    query = select(StudyRow)
    return db.scalars(query.with_for_update() if lock else query).one()


def _enter_study(store: Store, shown: str | None) -> None:
    study = store.study
    with store.writing() as db:
        if not store._sqlite:
            db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        row = db.scalar(select(StudyRow))
        if row is None:
            content = study.model_dump(mode="json", by_alias=True)
            fields: dict[str, Any] = {"content": content, "model_digests": {}, "paused": False}
            db.add(StudyRow(id=1, name=study.name, digest=study.digest, created_at=now(), **fields))
            db.add_all(ItemRow(**item) for item in read_items(study))
        elif row.digest != study.digest:
            message = f"holds the ratings of study {row.name} ({row.digest[:12]}), and this is {study.name} "
            message += f"({study.digest[:12]}): a study that was changed needs a database of its own"
            raise InputError(message, file=shown)


def _url(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        where = make_url(url)
        backend = where.get_backend_name()
    except (ArgumentError, SQLAlchemyError):
        raise InputError(
            "is no URL of a database: sqlite:///PATH or postgresql://...", field="database"
        ) from None
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
        _use_wal(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cache_size=-4000")  # KiB a connection
        connection.execute(f"PRAGMA query_only={'ON' if query_only else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _use_wal(connection: Any) -> None:
    """Switch to WAL; while others do the same SQLite refuses at once instead of waiting, so try again."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _is_conflict(error: OperationalError) -> bool:
    said = str(error.orig).lower()
    return any(words in said for words in ("locked", "busy", "deadlock", "could not serialize"))
