from pathlib import Path

import pytest

from control_api.settings import Settings
from midcourse.contract.errors import InvalidInput


def test_defaults():
    settings = Settings.read({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.home == Path(".midcourse").absolute()
    assert settings.database_url == f"sqlite:///{settings.home / 'control.db'}"


def test_variables_are_read_and_arguments_win():
    environ = {"MIDCOURSE_HOME": "/data", "PORT": "9000", "MIDCOURSE_ALLOWED_HOSTS": "A.b, c"}
    settings = Settings.read(environ)
    assert (settings.home, settings.port) == (Path("/data"), 9000)
    assert settings.allowed_hosts == {"a.b", "c"}
    assert Settings.read(environ, port=9001).port == 9001


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "http"}, "PORT: must be a number from 1 to 65535, not 'http'"),
        ({"PORT": "0"}, "PORT: must be a number"),
        ({"PORT": "70000"}, "PORT: must be a number"),
        ({"PORT": "٣"}, "PORT: must be a number"),
        (
            {"MIDCOURSE_LOG_LEVEL": "loud"},
            "MIDCOURSE_LOG_LEVEL: must be DEBUG or INFO or",
        ),
        ({"MIDCOURSE_LOG_FORMAT": "xml"}, "MIDCOURSE_LOG_FORMAT: must be json or text, not 'xml'"),
        ({"MIDCOURSE_WORKERS": "0"}, "MIDCOURSE_WORKERS: must be a number from 1 to 64, not '0'"),
        ({"MIDCOURSE_SYNC": "no"}, "MIDCOURSE_SYNC: must be on or off, not 'no'"),
        ({"MIDCOURSE_WORKERS": "two"}, "MIDCOURSE_WORKERS: must be a number from 1 to 64"),
        (
            {"MIDCOURSE_TAG_VERBS": "pause,delete"},
            "MIDCOURSE_TAG_VERBS: has 'delete'; allowed are pause, resume, stop, set, fork, undo, "
            "checkpoint, with commas between",
        ),
        ({"MIDCOURSE_TAG_VERBS": "on"}, "MIDCOURSE_TAG_VERBS: has 'on'; allowed are pause"),
        ({"MIDCOURSE_TAG_SECONDS": "0"}, "MIDCOURSE_TAG_SECONDS: must be a number from 1"),
    ],
)
def test_what_is_malformed_fails_by_name(environ, message):
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(")):
        Settings.read(environ)


@pytest.mark.parametrize(
    ("environ", "workers"),
    [
        ({}, 1),
        ({"MIDCOURSE_DATABASE_URL": "sqlite:////x.db"}, 1),
        ({"MIDCOURSE_DATABASE_URL": "postgresql://h/d"}, 2),
        ({"MIDCOURSE_DATABASE_URL": "postgresql://h/d", "MIDCOURSE_WORKERS": "7"}, 7),
        ({"MIDCOURSE_WORKERS": "3"}, 3),
    ],
)
def test_sqlite_has_one_worker_as_it_has_one_writer(environ, workers):
    assert Settings.read(environ).workers == workers


@pytest.mark.parametrize(
    ("environ", "can"),
    [
        ({}, False),
        ({"WANDB_API_KEY": "k"}, True),
        ({"WANDB_TOKEN": "k", "WANDB_MODE": "Online"}, True),
        ({"WANDB_API_KEY_FILE": "/run/secrets/wandb"}, True),
        ({"WANDB_API_KEY": ""}, False),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, False),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, False),
    ],
)
def test_runs_are_sent_later_where_a_key_says_so(environ, can):
    settings = Settings.read({**environ, "MIDCOURSE_DATABASE_URL": "sqlite:///x", "PATH": "/bin"})
    assert settings.wandb.can_log_online is can
    assert settings.wandb.helper_environment == {**environ, "PATH": "/bin"}
    assert settings.wandb.sync
    assert not Settings.read({**environ, "MIDCOURSE_SYNC": "OFF"}).wandb.sync


def test_fetches_get_the_key_wherever_trainers_run(tmp_path):
    environ = {
        "WANDB_API_KEY": "k",
        "WANDB_BASE_URL": "http://wandb.lab",
        "PATH": "/bin",
        "MIDCOURSE_DATABASE_URL": "postgresql://u:secret@h/d",
        "MIDCOURSE_HOME": str(tmp_path),
        "MIDCOURSE_LAUNCHER": "docker",
        "MIDCOURSE_HOST": "172.17.0.1",
    }
    settings = Settings.read(environ)
    inherited = {"WANDB_API_KEY": "k", "WANDB_BASE_URL": "http://wandb.lab", "PATH": "/bin"}
    assert settings.wandb.helper_environment == inherited
    assert settings.wandb.url == "http://wandb.lab"
    assert Settings.read({}).wandb.url == "https://api.wandb.ai"


def test_trainers_get_the_environment_but_what_is_ours():
    environ = {
        "WANDB_API_KEY": "k",
        "PATH": "/bin",
        "MIDCOURSE_DATABASE_URL": "postgresql://u:secret@h/d",
        "MIDCOURSE_RUN_TOKEN": "t",
        "MIDCOURSE_API_TOKEN": "mc_admin",
        "MIDCOURSE_API_TOKEN_FILE": "/secret",
        "PORT": "9000",
    }
    settings = Settings.read(environ)
    assert settings.trainer_environment == {"WANDB_API_KEY": "k", "PATH": "/bin"}
    assert "secret" not in repr(settings)


def test_tags_steer_nothing_unless_it_is_said_what():
    assert Settings.read({}).wandb.tag_verbs == frozenset()
    settings = Settings.read({"MIDCOURSE_TAG_VERBS": " Pause, set", "MIDCOURSE_TAG_SECONDS": "2"})
    assert settings.wandb.tag_verbs == {"pause", "set"}
    assert settings.wandb.tag_seconds == 2


def test_who_talks_to_wandb_gets_the_environment_but_what_is_ours():
    environ = {"WANDB_API_KEY": "k", "HTTPS_PROXY": "p", "MIDCOURSE_DATABASE_URL": "sqlite://"}
    settings = Settings.read(
        environ | {"MIDCOURSE_LAUNCHER": "docker", "MIDCOURSE_HOST": "0.0.0.0"}
    )
    assert settings.wandb.helper_environment == {"WANDB_API_KEY": "k", "HTTPS_PROXY": "p"}
    assert "'k'" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("::", "http://[::1]:8080"),
        ("gpu-3", "http://gpu-3:8080"),
    ],
)
def test_where_trainers_find_the_api(host, url):
    assert Settings(home=Path("/x"), host=host).url == url


def test_the_database_url_may_stand_in_a_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("postgresql://u:secret@h/d\n")
    settings = Settings.read({"MIDCOURSE_DATABASE_URL_FILE": str(file)})
    assert settings.database_url == "postgresql://u:secret@h/d"
    assert "MIDCOURSE_DATABASE_URL_FILE" not in settings.trainer_environment
    assert "secret@" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        (None, {}, "which cannot be read: No such file"),
        (b"", {}, "which is empty"),
        (b"\xff", {}, "which cannot be read: it is no text"),
        (b"sqlite://", {"MIDCOURSE_DATABASE_URL": "sqlite://"}, "set one of them"),
        (b"postgresql://u:p@h:planted/d", {}, "must be written as %2F"),
    ],
)
def test_a_secrets_file_that_is_no_good_fails_by_name(tmp_path, content, more, message):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput) as raised:
        Settings.read({"MIDCOURSE_DATABASE_URL_FILE": str(file)} | more)
    assert message in str(raised.value)
    assert "planted" not in str(raised.value)


def test_origins_and_proxies_are_read():
    environ = {
        "MIDCOURSE_CORS_ORIGINS": "https://Console.example, http://[::1]:3000",
        "MIDCOURSE_TRUSTED_PROXIES": "127.0.0.1, fd00::/8",
    }
    settings = Settings.read(environ)
    assert settings.cors_origins == {"https://console.example", "http://[::1]:3000"}
    assert sorted(map(str, settings.trusted_proxies)) == ["127.0.0.1/32", "fd00::/8"]
    assert Settings.read({}).cors_origins == frozenset()
    assert Settings.read({}).trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIDCOURSE_CORS_ORIGINS", "*"),
        ("MIDCOURSE_CORS_ORIGINS", "null"),
        ("MIDCOURSE_CORS_ORIGINS", "console.example"),
        ("MIDCOURSE_CORS_ORIGINS", "https://console.example/"),
        ("MIDCOURSE_CORS_ORIGINS", "https://*.example"),
        ("MIDCOURSE_CORS_ORIGINS", "https://a.example https://b.example"),
        ("MIDCOURSE_TRUSTED_PROXIES", "*"),
        ("MIDCOURSE_TRUSTED_PROXIES", "proxy.example"),
        ("MIDCOURSE_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_whom_to_trust_is_said_exactly(name, value):
    with pytest.raises(InvalidInput, match=f"^{name}: "):
        Settings.read({name: value})
