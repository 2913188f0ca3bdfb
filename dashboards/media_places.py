"""Where media are shown, as their kind and name tell."""

from collections.abc import Sequence

from dashboards.metric_places import Place, title_of
from dashboards.panels import Bars, Images, Matrix, Panel, TableOf
from dashboards.records import Run
from midcourse.contract import media as logged


def media_panels(runs: Sequence[Run], place: Place) -> list[Panel]:
    """A panel for each name of a section; a name is that of the kind it was first logged as."""
    shown: dict[str, tuple[logged.Media, list[str]]] = {}
    for run in runs:
        for name, kept in run.media.items():
            first, ids = shown.setdefault(name, (kept[-1].media, []))
            if kept[-1].media.kind == first.kind:
                ids.append(run.id)
    return [
        _panel(name, media, ids)
        for name, (media, ids) in sorted(
            shown.items(), key=lambda item: _what_matters_first(item[0], item[1][0])
        )
        if _place(name, media) is place
    ]


_ORDER = ("confusion_matrix", "bars", "table", "images")
_OF_THE_DATA = "data/"


def _what_matters_first(name: str, media: logged.Media) -> tuple[bool, int, str]:
    """What is said of the data stays the same all along, and so it stands last."""
    return name.startswith(_OF_THE_DATA), _ORDER.index(media.kind), name


def _place(name: str, media: logged.Media) -> Place:
    match media:
        case logged.ImageFiles():
            return Place.EXAMPLES
        case logged.ConfusionMatrix():
            return Place.PER_CLASS
        case logged.Bars(label_title=title):
            by_class = title.lower() in ("class", "label")
        case logged.Table(columns=columns):
            by_class = bool(columns) and columns[0].lower() in ("class", "label")
    return Place.PER_CLASS if by_class or "class" in name.lower() else Place.TRAINING


def _panel(name: str, media: logged.Media, runs: list[str]) -> Panel:
    title = title_of(name.rpartition("/")[2])
    match media:
        case logged.ConfusionMatrix():
            return Matrix(title=title, explanation=_MATRIX, media=name, runs=runs)
        case logged.Bars():
            return Bars(title=title, media=name, runs=runs)
        case logged.Table():
            return TableOf(title=title, media=name, runs=runs)
        case logged.ImageFiles():
            return Images(title=title, explanation=_IMAGES, media=name, runs=runs)


_MATRIX = (
    "Rows are the true classes, columns what the model said. On the diagonal it was right; any "
    "other cell counts one kind of mistake."
)
_IMAGES = "Below each picture stands what the program said of it."
