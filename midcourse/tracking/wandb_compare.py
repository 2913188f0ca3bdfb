"""Compares what the W&B server has of a run with what it should have.

The SDK can lose the rest of a run without a word: one refused request ends its uploads. What
arrived of the rows is always their beginning, so that the newest one tells.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from midcourse.tracking.missing import Expected, Missing
from midcourse.tracking.wandb_remote import Remote

SETTLE_SECONDS: Final = 10.0
"""How long the server may take to show what it has taken in."""


def compare(
    remote: Remote,
    expected: Expected,
    *,
    config: Mapping[str, JsonValue],
    summary: Mapping[str, JsonValue],
    fragments: Iterable[Path],
    journal: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Missing:
    """What of a finished run is not at the server; files and config are sent again at once.

    Args:
        remote: the run at the server.
        expected: what the log says.
        config: what must stand in its config, at least.
        summary: what must stand in its summary, at least.
        fragments: the SDK's folders of the run, which hold the files it was to upload.
        journal: the digest of the journal's artifact; None where it has none.
        sleep: waits so many seconds.

    Raises:
        Exception: the server cannot be asked; nothing is known then.
    """
    rows = _missing_rows(remote, expected, sleep)
    what = []
    if not rows and (wrong := _differing(dict(remote.run().summary), summary)):
        what.append(f"the summary ({', '.join(wrong)})")
    if _differing(remote.run().config, config):
        remote.set_config(config)
        if wrong := _differing(remote.run().config, config):
            what.append(f"the config ({', '.join(wrong)})")
    if files := _missing_files(remote, fragments):
        what.append(f"files ({', '.join(files[:3])}{', …' if len(files) > 3 else ''})")
    if absent := sorted(set(expected.checkpoints) - remote.checkpoints().keys()):
        what.append(f"checkpoints ({', '.join(absent)})")
    if journal is not None and remote.journal_digest() != journal:
        what.append("the journal")
    return Missing(rows=rows, what=what)


def _missing_rows(remote: Remote, expected: Expected, sleep: Callable[[float], None]) -> int:
    if expected.last_position is None:
        return 0
    waited, pause = 0.0, 0.5
    while (last := remote.last_position()) < expected.last_position and waited < SETTLE_SECONDS:
        sleep(pause)
        waited, pause = waited + pause, min(2 * pause, 2.0)
    # Positions grow by one from row to row, but for steps at which nothing was logged.
    return max(0, min(expected.rows, expected.last_position - last))


def _missing_files(remote: Remote, fragments: Iterable[Path]) -> list[str]:
    """The names of media files that the server has not, after they were sent once more."""
    local = {
        file.relative_to(folder / "files").as_posix(): (file, folder / "files")
        for folder in fragments
        for file in (folder / "files" / "media").rglob("*")
        if file.is_file()
    }
    absent = local.keys() - remote.file_names() if local else set()
    for name in sorted(absent):
        remote.upload(*local[name])
    return sorted(absent - remote.file_names()) if absent else []


def _differing(found: Mapping[str, Any], wanted: Mapping[str, JsonValue]) -> list[str]:
    """The names whose value is another one there, or none."""
    return [name for name in wanted if not _same(found.get(name), wanted[name])]


def _same(found: Any, wanted: JsonValue) -> bool:
    if isinstance(wanted, float) and not math.isfinite(wanted):
        return str(found).lower() in (str(wanted), str(wanted).replace("inf", "infinity"))
    return bool(json.loads(json.dumps(found, default=str)) == json.loads(json.dumps(wanted)))
