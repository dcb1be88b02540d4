"""The way to the database: connections, transactions, and the one door through which its failures enter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mooring.errors import DatabaseUnavailable, InvalidConfiguration, InvalidRequest

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S: Final = 5
# Nobody waits longer for an answer, nor for who stopped in the middle of a transaction.
ANSWER_S: Final = 15
LOCK_S: Final = 10
_POOL: Final = {"pool_size": 16, "max_overflow": 16, "pool_timeout": 10, "pool_recycle": 1800}

_DRIVERS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

_ATTEMPTS: Final = 6
_LONGEST_PAUSE_S: Final = 0.05
# Serialization failure and deadlock of PostgreSQL, deadlock of MariaDB.
_AGAIN: Final = frozenset({"40001", "40P01", "1213"})
# No such table or column.
_OTHER_FORM: Final = frozenset({"42P01", "42703", "1146", "1054"})
_OTHER_FORM_WORDS: Final = ("no such table", "no such column")


class Database:
    """A database that transactions are made in. Safe to use from several threads; connects when it is first asked."""

    def __init__(self, url: str) -> None:
        """Raise InvalidConfiguration for a URL that names no database that is served."""
        target = _read_url(url)
        self.is_embedded = target.get_backend_name() == "sqlite"
        self.is_in_memory = self.is_embedded and _is_in_memory(target)
        self.engine = _make_engine(target)
        # Connections are in autocommit mode, so that reading costs no more than its queries. Who writes says so, and
        # in SQLite at once: one that read first could not write when another has written meanwhile.
        self._begin = "BEGIN IMMEDIATE" if self.is_embedded else "BEGIN"

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self.engine.dispose()

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work that changes nothing. Each of its queries sees what has been committed until then."""
        return _insist(self._read, lambda db: work(db, *args, **kwargs))

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work in one transaction: all of it or, when it raises, none. The work may be begun several times."""
        return _insist(self._write, lambda db: work(db, *args, **kwargs))

    def _read(self, work: Callable[[Connection], T]) -> T:
        with _connect(self.engine) as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        with _connect(self.engine) as connection:
            with connection.begin() as transaction:
                connection.exec_driver_sql(self._begin)
                done = work(connection)
                try:
                    transaction.commit()
                except exc.DBAPIError as problem:
                    # Perhaps it was carried out.
                    raise DatabaseUnavailable(_reason(problem)) from problem
            return done


def _connect(engine: Engine) -> Connection:
    """Return a connection. That none can be had is told at once: whoever asks may have a better idea than to wait."""
    try:
        return engine.connect()
    except exc.DBAPIError as problem:
        raise DatabaseUnavailable(_reason(problem)) from problem


def _insist(attempt: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]) -> T:
    """Do work, and again when it was undone by what may not happen the next time.

    That is a deadlock, a key that was free when it was looked for and is another's now, or a connection that has died
    since it was used last: the database may have been started anew.
    """
    with database_errors():
        for number in range(1, _ATTEMPTS):
            try:
                return attempt(work)
            except exc.DBAPIError as problem:
                if not _helps_to_repeat(problem):
                    raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S * number))  # noqa: S311 - spreads those who collided
        return attempt(work)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the failures of SQLAlchemy into ours. The text of a failure may quote values, its first line does not."""
    try:
        yield
    except exc.DataError as problem:
        raise InvalidRequest(f"the database cannot hold a value of the request: {_reason(problem)}") from problem
    except exc.TimeoutError as problem:
        raise DatabaseUnavailable("all connections to it are in use") from problem
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.ProgrammingError) as problem:
        if _has_other_form(problem):
            raise DatabaseUnavailable(
                "its tables are not there, or another version's: run 'mooring db upgrade'"
            ) from problem
        if isinstance(problem, exc.ProgrammingError):
            raise
        raise DatabaseUnavailable(_reason(problem)) from problem


def _reason(problem: exc.DBAPIError) -> str:
    lines = str(problem.orig).strip().splitlines()
    return lines[0] if lines else type(problem.orig).__name__


def _codes(problem: exc.DBAPIError) -> set[str]:
    """Return the error's SQLSTATE and the database's own number or words, as far as it has them."""
    orig: Any = problem.orig
    return {str(getattr(orig, "sqlstate", None)), str(next(iter(getattr(orig, "args", ())), ""))}


def _helps_to_repeat(problem: exc.DBAPIError) -> bool:
    return problem.connection_invalidated or isinstance(problem, exc.IntegrityError) or bool(_codes(problem) & _AGAIN)


def _has_other_form(problem: exc.DBAPIError) -> bool:
    return any(code in _OTHER_FORM or code.startswith(_OTHER_FORM_WORDS) for code in _codes(problem))


def _read_url(text: str) -> URL:
    try:
        url = make_url(text)
        return url.set(drivername=_DRIVERS[url.get_backend_name()])
    except (exc.ArgumentError, KeyError) as problem:
        # The value holds a password.
        raise InvalidConfiguration(
            "[database] connection (secret, not shown) names none of the databases that are served: "
            + ", ".join(_DRIVERS)
        ) from problem


def _make_engine(url: URL) -> Engine:
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            options = {
                "statement_timeout": ANSWER_S,
                "lock_timeout": LOCK_S,
                "idle_in_transaction_session_timeout": ANSWER_S,
            }
            settings = " ".join(f"-c {name}={seconds * 1000}" for name, seconds in options.items())
            return create_engine(
                url,
                connect_args={
                    "autocommit": True,
                    "connect_timeout": CONNECT_S,
                    "options": settings,
                    "keepalives_idle": ANSWER_S,
                    "keepalives_interval": CONNECT_S,
                    "keepalives_count": 3,
                    "tcp_user_timeout": ANSWER_S * 1000,
                    "application_name": "mooring",
                },
                **_POOL,
            )
        case _:
            return create_engine(
                url,
                # What others have committed is to be seen, as in PostgreSQL.
                isolation_level="READ COMMITTED",
                connect_args={
                    "autocommit": True,
                    "connect_timeout": CONNECT_S,
                    "read_timeout": ANSWER_S,
                    "write_timeout": ANSWER_S,
                    # Else what is asked of one host would be answered by a list of the devices of all.
                    "init_command": f"SET innodb_lock_wait_timeout={LOCK_S}, idle_transaction_timeout={ANSWER_S}, "
                    "optimizer_switch='exists_to_in=off'",
                },
                **_POOL,
            )


def _sqlite(url: URL) -> Engine:
    arguments = {"check_same_thread": False, "timeout": ANSWER_S}
    if _is_in_memory(url):
        # All of it is in one connection, which one thread after the other gets.
        engine = create_engine(
            url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=ANSWER_S, connect_args=arguments
        )
    else:
        _make_private(Path(str(url.database)))
        engine = create_engine(url, poolclass=QueuePool, **_POOL, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _is_in_memory(url: URL) -> bool:
    return url.database in {None, "", ":memory:"}


def _make_private(path: Path) -> None:
    """Make the file, for it will hold what nobody else may read: environments with passwords."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as problem:
        raise DatabaseUnavailable(f"its file {path} cannot be made or opened: {problem.strerror}") from problem


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:  # noqa: ANN401 - sqlite3's, which is an edge
    connection.isolation_level = None  # the module's own idea of transactions is not ours
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
