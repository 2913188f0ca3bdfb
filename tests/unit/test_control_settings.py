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
        ({"MIDCOURSE_LOG_LEVEL": "loud"}, "MIDCOURSE_LOG_LEVEL: must be one of DEBUG"),
    ],
)
def test_what_is_malformed_fails_by_name(environ, message):
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(")):
        Settings.read(environ)


def test_trainers_get_the_environment_but_what_is_ours():
    environ = {
        "WANDB_API_KEY": "k",
        "PATH": "/bin",
        "MIDCOURSE_DATABASE_URL": "postgresql://u:secret@h/d",
        "MIDCOURSE_RUN_TOKEN": "t",
        "PORT": "9000",
    }
    settings = Settings.read(environ)
    assert settings.trainer_environment == {"WANDB_API_KEY": "k", "PATH": "/bin"}
    assert "secret" not in repr(settings)


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
