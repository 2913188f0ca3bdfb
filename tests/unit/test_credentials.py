"""Where the client finds the control API and its token."""

import json
from pathlib import Path

import pytest

from midcourse.client.credentials import find_credentials, find_url
from midcourse.client.errors import NoToken
from midcourse.client.profiles import Profiles, profiles_file, read_profiles, write_profiles
from midcourse.contract.errors import InvalidInput

HERE = "http://127.0.0.1:8080"
THERE = "https://midcourse.example.org"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A user with nothing: no home of runs, no profile."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "MIDCOURSE_HOME": str(tmp_path / "home")}


def keep(environ: dict[str, str], **tokens: str) -> Path:
    profiles = Profiles()
    for url, token in tokens.items():
        profiles = profiles.with_profile({"here": HERE, "there": THERE}[url], token)
    file = profiles_file(environ)
    write_profiles(file, profiles)
    return file


def found(environ: dict[str, str], *given: str) -> tuple[str, str]:
    credentials = find_credentials(*given, environ=environ)
    return credentials.url, credentials.token


def test_it_works_right_after_make_up(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home" / "token").write_text("mc_home\n")
    assert found(environ) == (HERE, "mc_home")


def test_the_home_in_the_present_folder(environ: dict[str, str], tmp_path: Path) -> None:
    del environ["MIDCOURSE_HOME"]
    (tmp_path / ".midcourse").mkdir()
    (tmp_path / ".midcourse" / "token").write_text("mc_here\n")
    assert found(environ) == (HERE, "mc_here")


def test_make_up_leaves_its_url(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home" / "token").write_text("mc_home\n")
    (tmp_path / "home" / "url").write_text("http://127.0.0.1:9000\n")
    assert found(environ) == ("http://127.0.0.1:9000", "mc_home")
    assert found({**environ, "PORT": "9001"}) == ("http://127.0.0.1:9001", "mc_home")


def test_what_comes_first(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home" / "token").write_text("mc_home\n")
    keep(environ, there="mc_kept")
    assert found(environ) == (THERE, "mc_kept")
    environ |= {"MIDCOURSE_API_URL": HERE + "/", "MIDCOURSE_API_TOKEN": "mc_environment"}
    assert found(environ) == (HERE, "mc_environment")
    assert found(environ, THERE) == (THERE, "mc_kept")
    assert found(environ, THERE, "mc_given") == (THERE, "mc_given")


def test_a_token_goes_nowhere_but_to_its_url(environ: dict[str, str], tmp_path: Path) -> None:
    """Neither the one of the environment, nor that of this machine."""
    (tmp_path / "home" / "token").write_text("mc_home\n")
    environ |= {"MIDCOURSE_API_URL": HERE, "MIDCOURSE_API_TOKEN": "mc_environment"}
    with pytest.raises(NoToken, match="run `midcourse login https://"):
        find_credentials(THERE, environ=environ)


def test_a_token_in_a_file(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mc_file\n")
    environ |= {"MIDCOURSE_API_URL": THERE, "MIDCOURSE_API_TOKEN_FILE": str(tmp_path / "secret")}
    assert found(environ) == (THERE, "mc_file")
    (tmp_path / "secret").unlink()
    with pytest.raises(NoToken, match="No such file"):
        find_credentials(environ=environ)


def test_no_token_at_all(environ: dict[str, str]) -> None:
    with pytest.raises(NoToken, match="No token is known for http"):
        find_credentials(environ=environ)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "ftp://host", "http://", "http://a b", "http://u:p@host", "http://h:x"],
)
def test_what_is_no_url_is_refused(environ: dict[str, str], url: str) -> None:
    with pytest.raises(InvalidInput, match="must be such as http"):
        find_credentials(url, "mc_given", environ)


@pytest.mark.parametrize("token", ["", "two words", "mc_\n", "mc_ü"])
def test_what_is_no_token_is_refused(environ: dict[str, str], token: str) -> None:
    with pytest.raises(InvalidInput, match="holds no token"):
        find_credentials(HERE, token, environ)


def test_a_token_is_not_shown(environ: dict[str, str]) -> None:
    file = keep(environ, there="mc_kept")
    assert "mc_kept" not in repr(find_credentials(environ=environ)) + repr(read_profiles(file))


def test_profiles_are_for_their_owner_alone(environ: dict[str, str]) -> None:
    file = keep(environ, here="mc_1", there="mc_2")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [*file.parent.iterdir()] == [file]
    kept = read_profiles(file)
    assert (kept.default, [*kept.profiles]) == (THERE, [HERE, THERE])
    assert kept.without(THERE).default == HERE
    file.chmod(0o640)
    with pytest.raises(InvalidInput, match="can be read by others, and it holds tokens; do: chmod"):
        find_url(None, environ)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        (
            json.dumps({"profiles": {HERE: {}}}),
            r"profiles\.http://127\.0\.0\.1:8080\.token: is mis",
        ),
    ],
)
def test_a_damaged_file_is_told(environ: dict[str, str], text: str, message: str) -> None:
    file = keep(environ, here="mc_1")
    file.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        find_credentials(environ=environ)
