"""`python -m midcourse.tracking.fetch SOURCE HOME`: fetch a run's checkpoint from W&B into a home.

A process of its own, since neither a training process nor the control API may load the SDK. It
says what it fetched as one line of JSON, or why it could not in the last line of standard error.
Exit codes: 0 the checkpoint is there; 1 it cannot be had; 75 it cannot be had now.
"""

import argparse
import math
import os
import resource
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from midcourse.background import make_way
from midcourse.checkpoints.writer import MANIFEST_FILE
from midcourse.contract.imported import MAY_PASS, RUN_FILE, FetchedCheckpoint
from midcourse.contract.paths import RunPaths
from midcourse.contract.wandb_source import (
    ARTIFACT_TYPE,
    WandbSource,
    collection_of,
    parse_source,
)
from midcourse.tracking.arriving import (
    Refused,
    Troubled,
    abandon_all,
    check_names,
    check_room,
    check_sizes,
    place_to_arrive,
    read_manifest,
    read_run_file,
    verify_journal,
    verify_state,
)
from midcourse.tracking.fetch_errors import in_our_words
from midcourse.tracking.importing import check_same_run, find_same, note_origin, put_in_place
from midcourse.tracking.settings import TrackingSettings

_SDKS_OWN_BYTES: Final = 1 << 20
"""The least that any file may have: the SDK writes some of its own meanwhile."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch one checkpoint; the exit code."""
    options = _command_line().parse_args(arguments)
    settings = TrackingSettings.read()
    if options.end_with_input:
        _end_with_input()
    make_way()
    try:
        source = parse_source(options.source, settings.base_url)
        fetched = fetch(source, options.home.absolute(), settings)
    except (Refused, Troubled, OSError, ValueError) as error:
        said = in_our_words(error, settings)
        sys.stderr.write(settings.redact(str(said)) + "\n")
        return MAY_PASS if isinstance(said, Troubled) else 1
    sys.stdout.write(fetched.to_json() + "\n")
    return 0


def fetch(source: WandbSource, home: Path, settings: TrackingSettings) -> FetchedCheckpoint:
    """Have a checkpoint in a home, verified; one that is there already is not fetched again.

    Args:
        source: which one.
        home: the folder of all runs.
        settings: the key, and the server.

    Raises:
        Refused: there is none, it is not what it says it is, or the key is not good for it.
            Nothing is left behind.
        Troubled: W&B does not answer, or the disk has no room: later it may.
        OSError: the home cannot be written.
    """
    if settings.api_key is None:
        raise Refused(f"{source} cannot be fetched from W&B: there is no WANDB_API_KEY")
    paths = RunPaths(home, source.run)
    with place_to_arrive(paths.fetching) as folder:
        staged = folder / "checkpoint"
        staged.mkdir()
        try:
            return _fetch(_Artifact(source, settings, folder), staged, paths)
        except (Refused, Troubled) as error:
            raise type(error)(f"{source.artifact} cannot be had from W&B: {error}") from error


class _Artifact:
    """A version of the artifact, as W&B tells of it."""

    def __init__(self, source: WandbSource, settings: TrackingSettings, folder: Path) -> None:
        """Ask W&B for it; everything that the SDK writes goes into the folder."""
        self._settings = settings
        self.run = source.run
        self.server = settings.base_url
        settings.apply(os.environ, folder)
        os.environ["WANDB_SILENT"] = "true"  # standard error is for our one sentence
        with self._translated():
            import wandb  # after the environment, which it reads

            patience = math.ceil(settings.init_seconds)
            api = wandb.Api(api_key=settings.api_key, timeout=patience)
            self._artifact: Any = api.artifact(source.artifact, type=ARTIFACT_TYPE)
            entries = self._artifact.manifest.entries
        place = f"{self._artifact.entity}/{self._artifact.project}"
        self.name = f"{place}/{collection_of(source.run)}:{self._artifact.version}"
        self.sizes: dict[str, int | None] = {
            str(name): entry.size if entry.ref is None else None for name, entry in entries.items()
        }

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Get files; none may be longer than W&B said.

        Raises:
            Refused, Troubled: they cannot be had.
        """
        for name in sorted(names):
            # A file's name is a prefix of no other's: all of them were looked at.
            with self._translated(), _no_file_above(max(self.sizes[name] or 0, _SDKS_OWN_BYTES)):
                self._artifact.download(root=str(folder), skip_cache=True, path_prefix=name)

    def verify(self, folder: Path) -> None:
        """Compare all files with the digests that W&B has of them.

        Raises:
            Refused: naming the one that differs.
        """
        with self._translated():
            self._artifact.verify(str(folder))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the SDK raises many kinds
            raise in_our_words(error, self._settings) from error


def _fetch(artifact: _Artifact, staged: Path, paths: RunPaths) -> FetchedCheckpoint:
    check_names(artifact.sizes)
    artifact.download(staged, [MANIFEST_FILE, RUN_FILE])
    manifest = read_manifest(staged, artifact.run)
    run_file = read_run_file(staged, artifact.run)
    check_sizes(manifest, artifact.sizes)
    check_same_run(paths, run_file, manifest.checkpoint)
    there = find_same(paths, manifest)
    if there is None:
        check_room(paths.home, sum(size or 0 for size in artifact.sizes.values()))
        artifact.download(staged, artifact.sizes.keys() - {MANIFEST_FILE, RUN_FILE})
        artifact.verify(staged)
        verify_state(staged, manifest)
        verify_journal(staged)
    note_origin(paths, manifest.checkpoint.name, artifact.name, artifact.server)
    if there is None:
        put_in_place(staged, paths, manifest.checkpoint)
    manifest = there or manifest
    return FetchedCheckpoint(
        run_file=run_file,
        checkpoint=manifest.checkpoint,
        parameters=manifest.parameters,
        artifact=artifact.name,
        server=artifact.server,
    )


@contextmanager
def _no_file_above(size: int) -> Iterator[None]:
    """Have the system refuse to let any file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _end_with_input() -> None:
    """End when whoever started us is gone, and with it the other end of our standard input."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        abandon_all()
        os._exit(MAY_PASS)  # whatever the SDK waits for

    threading.Thread(target=wait, name="input", daemon=True).start()


def _command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m midcourse.tracking.fetch", description=__doc__)
    parser.add_argument("source", help="entity/project/run@best, an artifact's name, or a link")
    parser.add_argument("home", type=Path, help="the folder of all runs")
    parser.add_argument(
        "--end-with-input", action="store_true", help="end when standard input does"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
