"""Runs whose every name is an attempt to be taken for markup, for the tests of what shows them."""

from pathlib import Path

import shown_runs as s
import tracked_runs as t

from midcourse.contract.commands import Fork, SetParameters
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Table
from midcourse.contract.runs import Origin

SCRIPT = "<script>window.hacked=1</script>"
CLOSING = "</script><script>window.hacked=2</script>"
ATTRIBUTE = "\"'><img src=x onerror=window.hacked=3>"
SEPARATORS = "a\u2028b\u2029c\x00d\u202ee"
TEMPLATE = "{{ 7*7 }}{% raw %}"
NAMES = [SCRIPT, CLOSING, ATTRIBUTE, SEPARATORS, TEMPLATE]
PARENT, CHILD = "rparent", "rchild"


def put_hostile_runs(home: Path) -> Path:
    """A run and its fork, and a secret beside them that a picture's path points to."""
    config = {ATTRIBUTE: SCRIPT, "list": [CLOSING], "nested": {TEMPLATE: SEPARATORS}}
    parent = s.run_file(PARENT, name=SCRIPT, config=config)
    origin = Origin(run=PARENT, checkpoint="step-3", changes={ATTRIBUTE: CLOSING}, actor=SCRIPT)
    child = s.run_file(CHILD, name=CLOSING, config=config | {"list": [SCRIPT]}, origin=origin)
    s.put_run(home, parent, [s.started(parent), *_steps(0), *_media(9)])
    begin = t.done(0, 3, Fork(changes=dict(origin.changes)), after={ATTRIBUTE: CLOSING})
    s.put_run(home, child, [s.started(child, 4), begin, *_steps(4), *_media(9)])
    (home / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    return home


def _steps(first: int):
    for step in range(first, 10):
        yield t.metrics(step, **{name: float(step) for name in NAMES}, loss=1.0 / (step + 1))
    changes = {name: name for name in NAMES}
    command = t.done(7, 6, SetParameters(changes=changes), before=changes, after=changes)
    hostile = {"actor": SCRIPT, "reason": CLOSING + ATTRIBUTE}
    yield command.model_copy(update={"command": command.command.model_copy(update=hostile)})


def _media(step: int):
    yield t.media(step, CLOSING, ConfusionMatrix(labels=NAMES[:2], counts=[[1, 2], [3, 4]]))
    bars = Bars(labels=NAMES, values=[1.0] * 5, label_title=SCRIPT, value_title=ATTRIBUTE)
    yield t.media(step, ATTRIBUTE, bars)
    yield t.media(step, SCRIPT, Table(columns=NAMES[:2], rows=[NAMES[:2], [None, {"a": SCRIPT}]]))
    elsewhere = ["../../secret.png", "/etc/passwd", "a\x00b", "media/none.png"]
    images = [ImageFile(path=path, caption=ATTRIBUTE) for path in elsewhere]
    yield t.media(step, TEMPLATE, ImageFiles(images=images))
