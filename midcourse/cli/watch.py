"""`midcourse watch`: a run as it trains."""

import threading
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from midcourse.cli.chart import curve
from midcourse.cli.feed import Feed
from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import STYLES, console, number, show_record, span
from midcourse.cli.show import progress
from midcourse.client import Client, NotReachable, Troubled
from midcourse.contract.api.metrics import MetricsAnswer
from midcourse.contract.api.runs import RunView
from midcourse.contract.commands import Revert, Undo
from midcourse.contract.names import Metric
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import ENDED, RunStatus

SECONDS = 1.0
HEIGHT = 3
LINES = 8
_USUAL = (Metric.TRAIN_BATCH_LOSS, Metric.TRAIN_LOSS, Metric.TEST_ACCURACY, Metric.LEARNING_RATE)


@click.command()
@run_argument
@click.option(
    "-m",
    "--metric",
    "names",
    multiple=True,
    metavar="NAME",
    help="A curve to show; may be repeated. Without it: loss, accuracy and learning rate.",
)
@click.option("--once", is_flag=True, help="Show it as it is now, and end.")
@common
def watch(said: Common, run: str, names: tuple[str, ...], once: bool) -> int:
    """A run as it trains: where it is, its curves, and what happens to it, until it ends.

    A revert or undo is followed to the run that goes on. In a pipe there is a line for each thing
    that happens; with --json a run for each change. The exit code is 1 if the run failed.
    """
    client = said.client
    run_id = client.find(run)
    screen = console()
    if said.as_json:
        last = _follow(client, run_id, _Lines(client, show_record), once)
    elif screen.is_terminal and not once:
        last = _on_screen(client, run_id, names, screen)
    elif once:
        last = client.run(run_id)
        screen.print(Group(*_picture(last, _curves(client, last, names, 78), 78)))
    else:
        last = _follow(client, run_id, _Lines(client, _tell_progress, _tell), once)
    return 1 if last.status is RunStatus.FAILED else 0


class _Lines:
    """Tells a run's changes as lines."""

    def __init__(
        self,
        client: Client,
        tell_run: Callable[[RunView], None],
        tell_line: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._tell_run = tell_run
        self._tell_line = tell_line
        self._before: Any = None

    def show(self, run: RunView, feed: Feed) -> None:
        """What is new."""
        if self._tell_line is not None:
            for line in feed.take():
                self._tell_line(line)
        accuracy = run.metrics.get(Metric.TEST_ACCURACY)
        new = (run.id, run.status, run.step if self._tell_line is None else accuracy)
        if new != self._before:
            self._before = new
            self._tell_run(run)


def _follow(client: Client, run_id: str, lines: _Lines, once: bool) -> RunView:
    with Feed(client, run_id) as feed:
        while True:
            run = _look(client, run_id)
            lines.show(run, feed)
            successor = successor_of(client, run)
            if successor is not None or run.status in ENDED or once:
                feed.settle()
                lines.show(run, feed)
            if successor is not None:
                run_id = successor
                feed.follow(run_id)
            elif run.status in ENDED or once:
                return run
            feed.wait(SECONDS)


def _on_screen(client: Client, run_id: str, names: tuple[str, ...], screen: Console) -> RunView:
    told: list[str] = []
    with (
        Feed(client, run_id) as feed,
        Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while True:
            run = _look(client, run_id)
            told = [*told, *feed.take()][-LINES:]
            width = max(min(screen.width - 2, 120), 20)
            picture = _picture(run, _curves(client, run, names, width), width)
            live.update(Group(*picture, *map(Text, told)), refresh=True)
            successor = successor_of(client, run)
            if successor is not None:
                feed.settle()
                told += feed.take()
                run_id = successor
                feed.follow(run_id)
            elif run.status in ENDED:
                return run
            feed.wait(SECONDS)


def _look(client: Client, run_id: str) -> RunView:
    """The run, as soon as the API answers: it may be away for a while."""
    pause = threading.Event()
    for _ in range(60):
        try:
            return client.run(run_id)
        except (NotReachable, Troubled):
            pause.wait(SECONDS)
    return client.run(run_id)


def successor_of(client: Client, run: RunView) -> str | None:
    """The run that took this one's place, by a revert or an undo."""
    if run.status is not RunStatus.SUPERSEDED:
        return None
    for command in reversed(client.commands(run.id)):
        if isinstance(command.action, Revert | Undo) and command.state is CommandState.APPLIED:
            return command.action.child
    return None


def _curves(client: Client, run: RunView, names: tuple[str, ...], width: int) -> MetricsAnswer:
    wanted = [*names] or [name for name in _USUAL if name in run.metrics]
    if not wanted:
        return MetricsAnswer(run=run.id, metrics={})
    answer = client.metrics(run.id, wanted, max_points=max(width, 10))
    return MetricsAnswer(run=run.id, metrics={name: answer.metrics[name] for name in wanted})


def _picture(run: RunView, curves: MetricsAnswer, width: int) -> list[RenderableType]:
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column(no_wrap=True)
    name = f" ({run.name})" if run.name else ""
    done = 0 if run.step is None else run.step + 1
    bar = ProgressBar(total=run.total_steps, completed=done, width=16)
    head.add_row(
        Text(f"{run.id}{name}", style="bold"),
        Text(str(run.status), style=STYLES.get(run.status, "")),
        bar,
        Text(_words(run)),
    )
    rows: list[RenderableType] = [head]
    for trouble in (run.error, run.notice):
        if trouble:
            rows.append(Text(trouble, style="red" if trouble is run.error else "yellow"))
    for metric, series in curves.metrics.items():
        first, *more = curve(metric, series, width, HEIGHT)
        rows += [Text(first, style="bold"), *(Text(row, style="cyan") for row in more)]
    return rows


def _words(run: RunView) -> str:
    speed = "" if run.steps_per_second is None else f"{run.steps_per_second:.0f} steps/s"
    left = f"{span(run.eta_seconds)} left" if run.eta_seconds is not None else ""
    return "  ".join(word for word in (f"step {progress(run)}", speed, left) if word)


def _tell_progress(run: RunView) -> None:
    latest = [
        f"{name} {number(run.metrics[name])}"
        for name in _USUAL
        if run.metrics.get(name) is not None
    ]
    trouble = [run.error] if run.error else []
    _tell("  ".join([f"{run.id} {run.status}", _words(run), *latest, *trouble]))


def _tell(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")
