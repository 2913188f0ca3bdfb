"""Profiles: the control APIs that someone has logged in to, in a file that only they can read."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput, faults_of

FILE = Path("midcourse", "profiles.json")


class Profile(Record):
    """One control API and the token for it."""

    token: str = Field(repr=False)


class Profiles(Record):
    """What `midcourse login` keeps."""

    default: str | None = None
    """The URL that is meant where none is named."""
    profiles: dict[str, Profile] = Field(default_factory=dict)
    """By URL."""

    def with_profile(self, url: str, token: str) -> "Profiles":
        """These and one more, which becomes the default."""
        return Profiles(default=url, profiles={**self.profiles, url: Profile(token=token)})

    def without(self, url: str) -> "Profiles":
        """These without one; where it was the default, any other becomes it."""
        rest = {known: profile for known, profile in self.profiles.items() if known != url}
        default = self.default if self.default in rest else next(iter(rest), None)
        return Profiles(default=default, profiles=rest)


def profiles_file(environ: Mapping[str, str]) -> Path:
    """Where they lie, as the XDG Base Directory Specification has it."""
    configured = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(configured) if Path(configured).is_absolute() else Path("~/.config").expanduser()
    return folder / FILE


def read_profiles(file: Path) -> Profiles:
    """The profiles; none where there is no file.

    Raises:
        InvalidInput: others can read it, or it is not what `midcourse login` writes.
        OSError: it cannot be read.
    """
    try:
        text = file.read_text()
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Profiles()
    if mode & 0o077:
        message = f"can be read by others, and it holds tokens; do: chmod 600 {file}"
        raise InvalidInput([Fault(path=str(file), message=message)])
    try:
        return Profiles.model_validate(strict_json_loads(text))
    except ValidationError as error:
        raise InvalidInput(faults_of(error, str(file))) from None
    except ValueError as error:
        message = f"is not JSON ({error}); remove it and log in again"
        raise InvalidInput([Fault(path=str(file), message=message)]) from None


def write_profiles(file: Path, profiles: Profiles) -> None:
    """Replace the file, readable by its owner alone from the first byte on.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        json.dump(profiles.model_dump(mode="json"), opened, indent=1)
        opened.write("\n")
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)
