"""Where a client finds the control API and its token: told, in the environment, kept, or local."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from midcourse.client.errors import NoToken
from midcourse.client.profiles import profiles_file, read_profiles
from midcourse.contract import environment
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.paths import DEFAULT_HOME

DEFAULT_PORT = "8080"
TOKEN_FILE = "token"
URL_FILE = "url"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Credentials:
    """A control API and what opens it."""

    url: str
    token: str = field(repr=False)
    source: str
    """Where the token was found, for people."""


def find_credentials(
    url: str | None = None,
    token: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """The first that is there: what is given, the environment, a profile, the local home.

    Args:
        url: the control API's root, such as `http://127.0.0.1:8080`.
        token: a token for it.
        environ: instead of the process's environment.

    Raises:
        InvalidInput: a URL or a file is malformed.
        NoToken: there is a URL, and no token for it.
    """
    environ = os.environ if environ is None else environ
    chosen = find_url(url, environ)
    if token is not None:
        return Credentials(chosen, _checked(token, "token"), "given")
    in_environment = _environment_token(environ)
    # A token in the environment belongs to the URL beside it, and must not go elsewhere.
    beside = environ.get(environment.API_URL)
    if in_environment and (not beside or check_url(beside, environment.API_URL) == chosen):
        return Credentials(chosen, *in_environment)
    file = profiles_file(environ)
    if profile := read_profiles(file).profiles.get(chosen):
        return Credentials(chosen, _checked(profile.token, str(file)), str(file))
    if urlsplit(chosen).hostname in _LOOPBACK and (home := local_home(environ)):
        file = home / TOKEN_FILE
        return Credentials(chosen, _read_token(file, str(file)), str(file))
    raise NoToken(
        f"No token is known for {chosen}: run `midcourse login {chosen}`, or set "
        f"{environment.API_TOKEN}. A control API of this machine is started by `midcourse up`."
    )


def find_url(url: str | None, environ: Mapping[str, str]) -> str:
    """The control API that is meant.

    Raises:
        InvalidInput: it is no URL, or the profiles cannot be read.
    """
    if url:
        return check_url(url, "url")
    if told := environ.get(environment.API_URL):
        return check_url(told, environment.API_URL)
    if kept := read_profiles(profiles_file(environ)).default:
        return kept
    return local_url(environ)


def local_url(environ: Mapping[str, str]) -> str:
    """Where the control API of this machine serves: `make up` leaves its URL in the home."""
    if port := environ.get("PORT"):
        return check_url(f"http://127.0.0.1:{port}", "PORT")
    home = local_home(environ)
    try:
        told = (home / URL_FILE).read_text().strip() if home else ""
    except OSError:
        told = ""
    return check_url(told or f"http://127.0.0.1:{DEFAULT_PORT}", URL_FILE)


def local_home(environ: Mapping[str, str]) -> Path | None:
    """The folder of runs with a token in it: as told, else here, else in Midcourse's checkout."""
    if told := environ.get(environment.HOME):
        candidates = [Path(told).expanduser()]
    else:
        checkout = Path(__file__).resolve().parents[2]
        candidates = [DEFAULT_HOME]
        if (checkout / "control_api").is_dir():
            candidates.append(checkout / DEFAULT_HOME)
    return next((home for home in candidates if (home / TOKEN_FILE).is_file()), None)


def check_url(url: str, where: str) -> str:
    """A control API's root, without the slash at its end.

    Raises:
        InvalidInput: it is no such thing.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s?#@]", url):
        message = f"must be such as http://127.0.0.1:8080, not {url!r}"
        raise InvalidInput([Fault(path=where, message=message)])
    return url.rstrip("/").removesuffix("/api/v1")


def _environment_token(environ: Mapping[str, str]) -> tuple[str, str] | None:
    if token := environ.get(environment.API_TOKEN):
        return _checked(token, environment.API_TOKEN), environment.API_TOKEN
    if path := environ.get(environment.API_TOKEN_FILE):
        return _read_token(Path(path), environment.API_TOKEN_FILE), path
    return None


def _read_token(file: Path, where: str) -> str:
    try:
        return _checked(file.read_text().strip(), where)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise NoToken(f"{where}: no token can be read from {file} ({reason}).") from None


def _checked(token: str, where: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", token):
        message = "holds no token: one is a single word of ASCII characters, such as mc_…"
        raise InvalidInput([Fault(path=where, message=message)])
    return token
