"""PostgreSQL of Debian's package, on a socket in a folder of its own, for tests and benchmarks."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

_START_SECONDS = 30.0


class PostgreSQL:
    """A server of our own. Ends with this process, however that ends."""

    def __init__(self, programs: Path, settings: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="midcourse-pg-"))
        self._programs = programs
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        self._make_cluster()
        self._settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder)}
        self._settings |= settings
        self._process = self._start()

    def _make_cluster(self) -> None:
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        locale = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        self._run("initdb", "-D", str(self.folder / "data"), *options, *locale).wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        process = self._run("postgres", "-D", str(self.folder / "data"), *options)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text(errors="replace")
                assert process.poll() is None, f"PostgreSQL does not start:\n{log}"
                assert time.monotonic() < deadline, f"PostgreSQL does not answer:\n{log}"
                time.sleep(0.02)
            else:
                return process

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        how = ["setpriv", *self._as_user, "--pdeathsig=QUIT", "--"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*how, str(self._programs / program), *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return self._process.pid

    def execute(self, statement: str) -> None:
        """Run a statement outside of any transaction and of the tests' databases."""
        with psycopg.connect(host=str(self.folder), user="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def url(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@/{name}?host={quote(str(self.folder))}"

    def create(self, name: str, template: str = "template0") -> str:
        """A new database; returns its address."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def drop(self, name: str) -> None:
        """Delete a database, with the connections that are left."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """End the server at once."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def programs() -> Path | None:
    """Where PostgreSQL's programs are, the newest version's; None: not installed."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        return None
    return max(found, key=lambda path: int(path.parts[-3])).parent
