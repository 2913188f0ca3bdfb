"""No secret is written anywhere: planted ones are looked for in all that a real run leaves."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from databases import database_url
from secrets_search import Search, Watch, environment_of
from sqlalchemy import create_engine, text
from wandb_server.server import wandb_server

CHECKOUT = Path(__file__).resolve().parents[2]

CONFIG = {
    "experiment": "secrets",
    "data": {"name": "digits", "batch_size": 256},
    "model": {"name": "mlp"},
    "train": {"epochs": 100_000, "eval_every": "50 epochs", "device": "cpu"},
}

# A view that raises in the middle of a request, as a fault of ours would.
SERVE = """
import sys
import control_api.app
real = control_api.app.create_app
def create_app(*args, **options):
    app = real(*args, **options)
    def boom():
        raise RuntimeError("planted fault")
    app.add_url_rule("/boom", "boom", boom)
    return app
control_api.app.create_app = create_app
from control_api.__main__ import main
sys.exit(main())
"""


def planted():
    """A secret that nothing else will look like."""
    return secrets.token_hex(20)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(condition, what, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


class Api:
    """A real server, whose log is a file and whose greeting is kept apart, and all its answers."""

    def __init__(self, folder, **variables):
        self.home, self.log = folder / "home", folder / "api.log"
        self.greeting = folder / "greeting"
        self.port = free_port()
        self.answers = []
        self._environ = {
            **{name: value for name, value in os.environ.items() if "WANDB" not in name},
            "MIDCOURSE_HOME": str(self.home),
            "MIDCOURSE_LOG_LEVEL": "DEBUG",
            "PYTHONFAULTHANDLER": "1",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        with self.log.open("ab") as log, self.greeting.open("wb") as greeting:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, "--port", str(self.port)],
                cwd=CHECKOUT,
                env=self._environ,
                stdout=greeting,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, "the API")
        self.token = (self.home / "token").read_text().strip()

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def ask(self, method, path, *, token=None, keep=True, **options):
        headers = {"Authorization": f"Bearer {token or self.token}", **options.pop("headers", {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = requests.request(method, url, headers=headers, timeout=90, **options)
        if keep:
            self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def run(self, run_id):
        return self.ask("GET", f"/api/v1/runs/{run_id}").json()

    def trainer_of(self, run_id):
        """The process that trains a run."""
        wanted = {f"MIDCOURSE_RUN_ID={run_id}", f"MIDCOURSE_HOME={self.home}"}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                pid = int(folder.name)
                if wanted <= set(environment_of(pid).split("\n")) and os.getsid(pid) == pid:
                    return pid
        return None

    def end(self):
        self.process.terminate()
        self.process.wait(30)

    def die(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"MIDCOURSE_HOME={self.home}" in environment_of(int(folder.name)).split("\n"):
                    os.kill(int(folder.name), signal.SIGKILL)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    return tmp_path


def with_password(url, password):
    """PostgreSQL asks for none here; that it is given one is all that matters."""
    return url.replace("postgres@", f"postgres:{password}@")


def test_no_secret_is_written_anywhere(folder, database_kind):
    known = {name: planted() for name in ("W&B key", "database password", "cloud secret")}
    url = database_url(folder / "home")
    failed = f"mc_{planted()}"
    with wandb_server() as wandb:
        api = Api(
            folder,
            MIDCOURSE_DATABASE_URL=with_password(url, known["database password"]),
            WANDB_API_KEY=known["W&B key"],
            WANDB_BASE_URL=wandb.url,
            AWS_SECRET_ACCESS_KEY=known["cloud secret"],
            MIDCOURSE_TAG_VERBS="pause",
            MIDCOURSE_TAG_SECONDS="1",
            TMPDIR=str(folder / "tmp"),
        )
        try:
            with Watch("MIDCOURSE_HOME", str(api.home)) as watch:
                known |= exercise(api, failed)
                provoke(api, url)
                api.end()
        finally:
            api.die()
        told = [(run.raw_config, run.rows, run.summary, run.output.present) for run in wandb.runs]
        sent = [json.dumps(told), json.dumps(wandb.calls), *wandb.uploads.values()]

    known |= {"admin's token": api.token, "wrong token": failed[8:]}
    search = Search(known)
    token_file = api.home / "token"
    search.files(folder, but=[token_file, api.greeting])
    search.database(url)
    search.command_lines(watch.seen)
    for answer in api.answers:
        search.text("an answer", answer)
    for part in sent:
        search.text("what W&B was sent", part)
    assert search.found == []

    # What was looked into was there to be looked into.
    log = api.log.read_text()
    assert "planted fault" in log
    assert "Traceback" in log
    assert "DEBUG" in log.upper()
    programs = " ".join(watch.seen)
    for program in ("-c", "-m trainer", "midcourse.tracking"):
        assert program in programs
    assert len(sent) > 3
    assert any(path.name.startswith("debug") for path in (api.home / "runs").rglob("*.log"))
    assert search.looked > 500
    # Where it may stand: for the owner's eyes alone, and on the terminal of the first start.
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert token_file.read_text().strip() == api.token
    assert api.greeting.read_text().count(api.token) == 1


def exercise(api, failed):
    """A run that trains and ends, an operator's token, and everything that can be asked.

    Returns:
        The secrets that were made on the way.
    """
    run = api.ask("POST", "/api/v1/runs", json={"config": CONFIG, "name": "a run"}).json()["id"]
    until(lambda: (api.run(run)["step"] or 0) > 5, "the first steps")
    trainer = environment_of(api.trainer_of(run))
    found = dict(line.split("=", 1) for line in trainer.splitlines() if "=" in line)
    assert not {name for name in found if "DATABASE" in name}
    assert api.token not in trainer
    body = {"name": "olga", "role": "operator", "expires_in_days": 1}
    made = api.ask("POST", "/api/v1/tokens", json=body, keep=False).json()["token"]
    path = f"/api/v1/runs/{run}"
    waiting = {"Prefer": "wait=30"}
    assert api.ask("POST", f"{path}/pause", token=made, headers=waiting).status_code == 200
    change = {"optimizer.lr": 0.02}
    api.ask("PATCH", f"{path}/params?reason=why", token=made, headers=waiting, json=change)
    child = api.ask("POST", f"{path}/fork", token=made, json={}).json()["id"]
    until(lambda: api.run(child)["status"] == "running", "the fork")
    for each in (run, child):
        assert api.ask("POST", f"/api/v1/runs/{each}/stop", headers=waiting).status_code == 200
    for each in (run, child):
        until(lambda each=each: api.run(each)["status"] == "stopped", "the end")
        done = lambda each=each: (api.run(each)["tracking"] or {}).get("state") != "running"  # noqa: E731
        until(done, "the end of tracking")
    # Refusals of every kind.
    for method, where, options in [
        ("POST", "/api/v1/runs", {"token": made, "json": {"config": {}}}),
        ("POST", "/api/v1/runs", {"data": b'{"config": NaN}'}),
        ("POST", f"{path}/pause", {}),
        ("PATCH", f"{path}/params", {"json": {"x": 1}}),
        ("GET", "/api/v1/nowhere", {}),
        ("GET", "/api/v1/runs", {"token": failed}),
        ("GET", "/api/v1/runs", {"headers": {"Host": "evil.example"}}),
        ("GET", "/api/v1/runs", {"headers": {"Authorization": f"Basic {failed}"}}),
        ("GET", "/api/v1/whoami", {"token": found["MIDCOURSE_RUN_TOKEN"]}),
        ("GET", f"{path}/link/commands?attempt=1", {"token": found["MIDCOURSE_RUN_TOKEN"]}),
    ]:
        api.ask(method, where, **options)
    refused = {"config": {"model": {"name": "no such"}, "data": {"name": "nowhere"}}}
    bad = api.ask("POST", "/api/v1/runs", json=refused).json()["id"]
    until(lambda: api.run(bad)["status"] == "failed", "the refusal of a configuration")
    document = api.ask("GET", "/api/v1/openapi.json").json()
    for template, operations in document["paths"].items():
        if "get" in operations and "events" not in template:
            filled = template.replace("{run_id}", run).replace("{seq}", "1")
            api.ask("GET", filled)
    return {"operator's token": made, "run's token": found["MIDCOURSE_RUN_TOKEN"]}


def provoke(api, url):
    """Faults of ours and of the database, whose texts are in the log."""
    assert api.ask("GET", "/boom").status_code == 500
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    def rename(old, new):
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    rename("tokens", "away")
    assert api.ask("GET", "/api/v1/runs").status_code in (500, 503)
    rename("away", "tokens")
    engine.dispose()


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "form", ["{}", "Basic {}", 'json: "{}"', "postgresql://u:{}@h/d?x=%20", "{}\n"]
)
def test_the_search_finds_what_is_planted(tmp_path, form):
    """In each kind of place: else that it finds nothing says nothing."""
    import base64
    import sqlite3
    from urllib.parse import quote

    secret = "p/w ü" + planted()
    search = Search({"it": secret})
    (tmp_path / "clean").write_text("nothing here")
    search.files(tmp_path)
    assert (search.found, search.looked) == ([], 2)
    for written in (
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(f"api:{secret}".encode()).decode(),
    ):
        folder = tmp_path / "below" / "it"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"\0\xff" + form.format(written).encode())
        with contextlib.closing(sqlite3.connect(folder / "a.db")) as database:
            database.execute("CREATE TABLE t (n INTEGER, x TEXT)")
            database.execute("INSERT INTO t VALUES (1, ?)", (form.format(written),))
            database.commit()
        search = Search({"it": secret})
        search.files(folder)
        assert [each.rpartition("/")[2] for each in search.found] == ["a.db", "file"]
        search = Search({"it": secret})
        search.database(f"sqlite:///{folder / 'a.db'}")
        assert search.found == ["it in t.x"]
        search = Search({"it": secret})
        search.text("an answer", form.format(written))
        assert search.found == ["it in an answer"]
        shutil.rmtree(folder.parent)


@pytest.mark.only_on("sqlite")
def test_the_watch_sees_what_stands_on_a_command_line():
    secret, mark = planted(), planted()
    with Watch("MIDCOURSE_MARK", mark) as watch:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()", f"--key={secret}"],
            stdin=subprocess.PIPE,
            env={**os.environ, "MIDCOURSE_MARK": mark},
        )
        try:
            until(lambda: any(secret in line for line in watch.seen), "the process")
        finally:
            child.communicate(b"\n", timeout=30)
    search = Search({"it": secret})
    search.command_lines(watch.seen)
    assert len(search.found) == 1


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@127.0.0.1:1/d",
        "postgresql://u:{}@127.0.0.1:x/d",
        "postgresql://u:x@127.0.0.1:{}/d",
        "nonsense://u:{}@h/d",
        "{}",
        "sqlite:////proc/nowhere/x.db?password={}",
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_database_that_cannot_be_used_does_not_give_its_password_away(folder, url, in_file):
    password = planted()
    environ = {**os.environ, "MIDCOURSE_HOME": str(folder / "home"), "MIDCOURSE_LOG_LEVEL": "DEBUG"}
    if in_file:
        (folder / "url").write_text(url.format(password) + "\n")
        environ["MIDCOURSE_DATABASE_URL_FILE"] = str(folder / "url")
    else:
        environ["MIDCOURSE_DATABASE_URL"] = url.format(password)
    done = subprocess.run(
        [sys.executable, "-m", "control_api", "--port", str(free_port())],
        cwd=CHECKOUT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert password not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
