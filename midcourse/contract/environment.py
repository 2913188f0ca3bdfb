"""The environment variables by which a launcher tells a trainer who it is, and their reader."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, field_validator

from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.contract.names import RunId
from midcourse.contract.paths import DEFAULT_HOME
from midcourse.contract.runs import Origin

HOME: Final = "MIDCOURSE_HOME"
RUN_ID: Final = "MIDCOURSE_RUN_ID"
RUN_NAME: Final = "MIDCOURSE_RUN_NAME"
ATTEMPT: Final = "MIDCOURSE_ATTEMPT"
ORIGIN: Final = "MIDCOURSE_ORIGIN"
REPLAY: Final = "MIDCOURSE_REPLAY"
HELD: Final = "MIDCOURSE_HELD"
API_URL: Final = "MIDCOURSE_API_URL"
RUN_TOKEN: Final = "MIDCOURSE_RUN_TOKEN"
API_TOKEN: Final = "MIDCOURSE_API_TOKEN"
"""A person's, for the command line and the client; trainers never see it."""
API_TOKEN_FILE: Final = "MIDCOURSE_API_TOKEN_FILE"


class TrainerEnvironment(Record):
    """What the environment says to a training program. All of it may be absent."""

    home: Annotated[Path, Field(strict=False)] = DEFAULT_HOME
    run_id: RunId | None = None
    """Set: start this run, or continue it where it has begun. Unset: a new run."""
    run_name: str | None = Field(default=None, max_length=200)
    """What people call the run, unless the program names it itself."""
    attempt: Annotated[int, Field(strict=False, ge=0)] = 0
    """Which start of the run this is, counted by the launcher from 1; 0 without a launcher."""
    origin: Origin | None = None
    replay: str | None = Field(default=None, max_length=1000)
    """Feed the run a journal: an exported file, a run's id, or `wandb:<artifact>`."""
    held: Annotated[int, Field(strict=False, ge=1)] | None = None
    """Begin paused: the run comes back from a suspension, and the `resume` of this number is on its
    way."""
    api_url: str | None = None
    """The control API's root, such as `http://127.0.0.1:8080`. Unset: the run is not steered."""
    run_token: str | None = Field(default=None, repr=False)

    @field_validator("api_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"must start with http:// or https://, not {value!r}")
        return value.rstrip("/") if value else value

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> "TrainerEnvironment":
        """Read and check the variables; an empty one counts as unset.

        Raises:
            InvalidInput: naming each variable that is malformed.
        """
        names = {
            HOME: "home",
            RUN_ID: "run_id",
            RUN_NAME: "run_name",
            ATTEMPT: "attempt",
            ORIGIN: "origin",
            REPLAY: "replay",
            HELD: "held",
            API_URL: "api_url",
            RUN_TOKEN: "run_token",
        }
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {
            field: environ[name] for name, field in names.items() if environ.get(name)
        }
        try:
            if "origin" in given:
                given["origin"] = strict_json_loads(given["origin"])
            found = cls.model_validate(given)
        except ValidationError as error:
            raise InvalidInput(
                [
                    fault.model_copy(update={"path": _by_variable(fault.path, names)})
                    for fault in faults_of(error)
                ]
            ) from None
        except ValueError as error:
            raise InvalidInput([Fault(path=ORIGIN, message=f"is no JSON: {error}")]) from None
        if found.api_url and not (found.run_id or found.run_token or found.attempt):
            # It is there for the command line: no launcher started this program.
            return found.model_copy(update={"api_url": None})
        if found.api_url and not (found.run_id and found.run_token):
            raise InvalidInput(
                [
                    Fault(
                        path=API_URL,
                        message=f"needs {RUN_ID} and {RUN_TOKEN} beside it",
                    )
                ]
            )
        return found


def _by_variable(path: str, names: Mapping[str, str]) -> str:
    """`origin.run` as the one who set the variable knows it: `MIDCOURSE_ORIGIN.run`."""
    variables = {field: name for name, field in names.items()}
    field, dot, rest = path.partition(".")
    return f"{variables.get(field, field)}{dot}{rest}"
