"""Logs rows by the SDK. Media ask the server as they are logged, and wait for it in an outage."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests
from wandb.errors import CommError

from midcourse.contract.errors import first_line
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.tracker import Row
from midcourse.tracking.wandb_media import draw
from midcourse.tracking.wandb_remote import answers

STEP: Final = "step"
"""The x-axis of every chart."""
OUTAGE_SECONDS: Final = 5.0
"""Between two attempts to log what cannot be logged without the server."""
MOST_REFUSALS: Final = 3
"""How often a server that answers may refuse media before the row goes without them."""
MOST_TROUBLES: Final = 120
"""The same where it says that it is in trouble, or that this is too much at once: ten minutes."""
_PASSES: Final = frozenset({408, 409, 425, 429})
"""Client errors of HTTP that are none of the client's."""


class WandbRows:
    """The rows of one run.

    One is one `log` with an explicit step, so that a log read twice leaves one clean history.
    """

    def __init__(
        self,
        run: Any,
        folder: Path,
        settings: TrackingSettings,
        note: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is logged yet.

        Args:
            run: the SDK's.
            folder: of the run; media are told relative to it.
            settings: of the server.
            note: told what is not shown, and why.
            sleep: waits so many seconds.
        """
        self._run = run
        self._folder = folder
        self._settings = settings
        self._note = note
        self._sleep = sleep

    def log(self, row: Row) -> None:
        """Log one row; a medium that cannot be drawn or uploaded is noted and left out."""
        values: dict[str, Any] = {**row.values, STEP: row.step, "_timestamp": row.time}
        tries = 0
        while drawn := self._drawn(row):
            try:
                self._run.log(values | drawn, step=row.position, commit=True)
                return
            except (CommError, requests.RequestException) as error:
                # In an outage they wait, and do not go missing.
                names, reason = ", ".join(drawn), first_line(error)
                tries += answers(self._settings, self._settings.base_url)
                if tries >= (MOST_REFUSALS if _is_refusal(error) else MOST_TROUBLES):
                    self._note(f"{names} of step {row.step} not shown: W&B refuses: {reason}")
                    break
                self._note(f"W&B did not take {names}, which waits for it: {reason}")
                self._sleep(OUTAGE_SECONDS)
            except Exception as error:
                self._note(f"{', '.join(drawn)} of step {row.step} not shown: {error}")
                break
        self._run.log(values, step=row.position, commit=True)

    def _drawn(self, row: Row) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, media in row.media.items():
            try:
                drawn[name] = draw(name, media, self._folder)
            except (OSError, ValueError) as error:
                self._note(f"{name} of step {row.step} not shown: {error}")
        return drawn


def _is_refusal(error: Exception) -> bool:
    """Whether a server that answers will say the same again."""
    response = getattr(getattr(error, "exc", None) or error, "response", None)
    status = getattr(response, "status_code", None)
    return status is None or (status < 500 and status not in _PASSES)
