"""One HTML file: whole, safe whatever people call things, and honest about what is not there."""

import base64
import hashlib
import json
import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import hostile_runs as h
import pytest
import shown_runs as s
import tracked_runs as t
from hypothesis import given
from hypothesis import strategies as st

from dashboards.__main__ import main
from dashboards.home import read_experiment, read_run
from dashboards.html import CannotWrite, render, write
from dashboards.html.scales import scale_over
from dashboards.pages import comparison, monitor, what_changed, workspace
from dashboards.panels import Section, Text
from midcourse.contract.media import Bars, ConfusionMatrix
from midcourse.contract.paths import RunPaths

VOID = {"meta", "link", "input", "img", "br"}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Document(HTMLParser):
    """What a browser would see: tags with attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.raw, self.text = [], [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.raw.setdefault(self.open[-1], []).append(data)
        else:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def home(tmp_path):
    return s.put_experiment(tmp_path / "home")


def every_page(home, experiment, child, parent):
    found = read_experiment(home, experiment)
    pair = [found.run(parent), found.run(child)]
    return {
        "workspace": (workspace(found), found.runs),
        "comparison": (comparison(found.runs), found.runs),
        "monitor": (monitor(pair[0]), pair[:1]),
        "what_changed": (what_changed(pair[1], pair[0]), pair),
    }


KINDS = ["workspace", "comparison", "monitor", "what_changed"]


def of_one(tmp_path, *records, **file):
    run = s.run_file(t.RUN, **file)
    s.put_run(tmp_path, run, [s.started(run), *records])
    found = read_run(tmp_path, t.RUN)
    return Document(render(monitor(found), [found], NOW))


@pytest.mark.parametrize("kind", KINDS)
def test_every_tag_is_closed_and_every_id_unique(home, kind):
    page, runs = every_page(home, s.EXPERIMENT, s.GENTLER, s.BASELINE)[kind]
    document = Document(render(page, runs, NOW))
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [
        name
        for _, attributes in document.tags
        for name in (attributes.get("aria-labelledby") or "").split()
    ]
    assert set(named) <= set(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_names_no_other_host_and_nothing_outside_itself(home, kind):
    page, runs = every_page(home, s.EXPERIMENT, s.GENTLER, s.BASELINE)[kind]
    document = Document(render(page, runs, NOW))
    for tag, attributes in document.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
        assert "style" not in attributes  # the policy would refuse it
        assert not [name for name in attributes if name.startswith("on")]
    style, *others = document.raw["style"]
    assert not others
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_lets_in_our_script_and_style_and_nothing_else(home):
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    (policy,) = [
        meta["content"]
        for meta in document.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    data, script = document.raw["script"]
    json.loads(data)
    (style,) = document.raw["style"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'{sha256(script)}'",
        "style-src": f"'{sha256(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def sha256(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_never_taken_for_markup(tmp_path, kind):
    home = h.put_hostile_runs(tmp_path / "home")
    page, runs = every_page(home, s.EXPERIMENT, h.CHILD, h.PARENT)[kind]
    text = render(page, runs, NOW)
    document = Document(text)
    assert len(document.all("script")) == 2
    assert document.all("img") == []
    assert "\u2028" not in document.raw["script"][0]
    charts = json.loads(document.raw["script"][0])
    lines = {line["label"] for chart in charts.values() for line in chart["lines"]}
    assert any(h.SCRIPT in label for label in lines)
    assert h.SCRIPT in document.words
    assert "49" not in [word.strip() for word in document.text]  # no template of theirs ran
    assert base64.b64encode(b"secret").decode() not in text
    assert "root:" not in text


def test_pictures_are_in_the_file_with_their_captions(home):
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    pictures = document.all("img")
    assert [picture["alt"] for picture in pictures] == ["picture 0", "picture 1"]
    content = (RunPaths(home, s.BASELINE).media / "0.png").read_bytes()
    assert pictures[0]["src"] == f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_picture_that_is_gone_or_is_none_is_told(home):
    (RunPaths(home, s.BASELINE).media / "0.png").unlink()
    (RunPaths(home, s.BASELINE).media / "1.png").write_text("<svg onload=alert(1)>")
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    assert document.all("img") == []
    assert "media/0.png is not there, or is no PNG, JPEG or GIF." in document.words


def test_pictures_that_are_too_many_are_left_out_and_that_is_told(home, monkeypatch):
    size = (RunPaths(home, s.BASELINE).media / "0.png").stat().st_size
    monkeypatch.setattr("dashboards.html.source.MOST_PICTURE_BYTES", size)
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    assert len(document.all("img")) == 1
    assert "1 picture is left out, so that the file does not become too large." in document.words


def test_a_link_out_of_the_runs_folder_is_not_followed(home, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    picture = RunPaths(home, s.BASELINE).media / "0.png"
    picture.unlink()
    picture.symlink_to(tmp_path / "secret.png")
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    assert [image["alt"] for image in document.all("img")] == ["picture 1"]


def test_a_curve_is_drawn_without_any_script(home):
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    drawn = [path for path in document.all("path") if "data-line" in path]
    assert drawn
    for path in drawn:
        assert re.fullmatch(
            r"M[\d.]+,[\d.]+h0([LHV][\d.,]+)*(M[\d.]+,[\d.]+h0[LHV\d.,]*)*", path["d"]
        )


def test_who_changed_what_stands_at_its_step(home):
    run = read_run(home, s.BASELINE)
    document = Document(render(monitor(run), [run], NOW))
    told = {group["aria-label"] for group in document.all("g") if "aria-label" in group}
    assert told == {"step 4: ada, set optimizer.lr 0.1 → 0.05 — it diverges"}


def test_what_is_not_finite_is_a_gap_and_is_told(tmp_path):
    values = [1.0, 2.0, "NaN", 3.0, "Infinity"]
    logged = [t.metrics(step, loss=value) for step, value in enumerate(values)]
    document = of_one(tmp_path, *logged)
    (chart,) = [
        chart
        for chart in json.loads(document.raw["script"][0]).values()
        if chart["lines"][0]["label"] == "loss"
    ]
    assert chart["lines"][0]["values"] == [1.0, 2.0, None, 3.0, None]
    (path,) = [each["d"] for each in document.all("path") if each.get("data-line") == "0"][:1]
    assert path.count("M") == 2
    assert "loss: not finite (NaN or infinite) from step 2 on" in document.words


def test_a_metric_that_was_never_finite_makes_an_empty_chart_that_says_why(tmp_path):
    document = of_one(tmp_path, t.metrics(0, loss="NaN"), t.metrics(1, loss="NaN"))
    assert "loss: not finite (NaN or infinite) from step 0 on" in document.words


def test_a_logarithmic_scale_says_what_it_cannot_show(tmp_path):
    logged = [t.metrics(step, gradients__w=float(step)) for step in range(3)]
    assert "1 line has values of 0 or less" in of_one(tmp_path, *logged).words


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, -5.0, 5e-324, 1.7e308, -1.7e308])
def test_a_chart_of_one_value_is_drawn_whatever_it_is(tmp_path, value):
    document = of_one(tmp_path, t.metrics(0, loss=value), t.metrics(7, gradients__w=value))
    for path in document.all("path"):
        assert "nan" not in path.get("d", "")
        assert "inf" not in path.get("d", "")


def test_extremes_share_a_chart(tmp_path):
    logged = [t.metrics(0, loss=-1.7e308), t.metrics(1, loss=1.7e308)]
    document = of_one(tmp_path, *logged)
    assert not [path for path in document.all("path") if "nan" in path.get("d", "")]


def test_many_lines_and_labels_are_cut_and_that_is_said(tmp_path):
    layers = {f"gradients__{i}": 1.0 for i in range(60)}
    labels = [f"class{i}" for i in range(80)]
    counts = [[int(i == j) * 9 + int(j == i + 1) for j in range(80)] for i in range(80)]
    words = of_one(
        tmp_path,
        t.metrics(0, **layers),
        t.media(0, "per_class", Bars(labels=labels, values=[0.5] * 80)),
        t.media(0, "matrix", ConfusionMatrix(labels=labels, counts=counts)),
    ).words
    assert "20 of 60 lines are not drawn." in words
    assert "The first 60 of 80 labels are shown." in words
    assert "Too many classes for a matrix; the most frequent mistakes:" in words
    assert "720 of 799 right (90.11 %)" in words


def test_a_long_log_makes_a_small_file(tmp_path):
    logged = [t.metrics(step, loss=math.sin(step), lr=0.1) for step in range(20_000)]
    run = s.run_file(t.RUN)
    s.put_run(tmp_path, run, [s.started(run), *logged])
    found = read_run(tmp_path, t.RUN)
    assert len(render(monitor(found), [found], NOW)) < 150_000


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        ([0.0, 10.0], False, ["0", "2", "4", "6", "8", "10"]),
        ([0.001, 1000.0], True, ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]),
        ([1.0, 1.0], False, ["0.6", "0.8", "1", "1.2", "1.4"]),
        ([], False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([-1.0, 0.0], True, ["-1", "-0.8", "-0.6", "-0.4", "-0.2", "0"]),
    ],
)
def test_ticks_are_round(values, log, labels):
    assert [label for _, label in scale_over(values, 0, 100, log=log).ticks] == labels


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_whatever_the_values_are_a_scale_has_places_and_a_few_ticks(values, log, zero):
    scale = scale_over(values, 200, 10, log=log, zero=zero)
    assert scale.low < scale.high
    assert len(scale.ticks) <= 10
    for value, label in scale.ticks:
        assert scale.low <= value * (1 + 1e-9 * math.copysign(1, value))
        assert 9.9 <= scale(value) <= 200.1
        assert label
    for value in values:
        if abs(value) < 1e250 and (not scale.log or value > 1e-250):
            assert 9.9 <= scale(value) <= 200.1


def test_text_is_text(home):
    run = read_run(home, s.BASELINE)
    text = Text(title="Notes", paragraphs=["a < b", "<b>not bold</b>"])
    section = Section(title="Read", explanation="", panels=[text])
    page = monitor(run).model_copy(update={"sections": [section]})
    document = Document(render(page, [run], NOW))
    assert "a < b <b>not bold</b>" in document.words
    assert document.all("b") == []


def test_a_page_of_very_many_runs_has_all_of_them(tmp_path):
    for index in range(60):
        file = s.run_file(f"r{index:02}")
        s.put_run(tmp_path, file, [s.started(file), *(s.training(step, 0.5) for step in range(3))])
    runs = read_experiment(tmp_path, s.EXPERIMENT).runs
    document = Document(render(comparison(runs), runs, NOW))
    assert len([group for group in document.all("g") if "lane" in group.get("class", "")]) == 60
    assert "20 of 60 lines are not drawn." in document.words


def test_a_file_is_whole_or_not_there(tmp_path):
    write(tmp_path / "page.html", "first")
    write(tmp_path / "page.html", "second\ud800")
    assert (tmp_path / "page.html").read_text() == "second?"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("place", ["none/page.html", "folder"])
def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotWrite, match="cannot be written: "):
        write(tmp_path / place, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["publish", "digits", "--html", "OUT"], "digits: the runs compared"),
        (["html", "digits", "-o", "OUT"], "digits: the runs compared"),
        (["html", "digits", "--workspace", "-o", "OUT"], "digits: workspace"),
        (["html", "--run", "baseline", "-o", "OUT"], "Run baseline (rbaseline)"),
        (["html", "digits", "--fork", "rgentler", "-o", "OUT"], "What did this change do?"),
    ],
)
def test_the_command_line_writes_the_page_that_is_asked_for(
    home, tmp_path, capsys, arguments, title
):
    file = tmp_path / "out.html"
    filled = [str(file) if each == "OUT" else each for each in arguments]
    assert main([*filled, "--home", str(home)]) == 0
    assert capsys.readouterr() == (f"{file}\n", "")
    assert f"<title>{title}" in file.read_text()


def test_a_file_has_the_name_of_what_it_shows(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDCOURSE_HOME", str(home))
    assert main(["html", "digits"]) == 0
    assert main(["html", "--fork", "gentler"]) == 0
    assert (tmp_path / "digits.html").exists()
    assert (tmp_path / "rgentler-rbaseline.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "no run of the experiment 'mnist' has logged anything in "),
        (["--run", "rnone"], "no run 'rnone' has logged anything in "),
        (["--fork", "baseline"], "run rbaseline is no fork, so there is nothing to compare"),
        (["mnist", "--run", "rother"], "run rother is of the experiment 'digits', not 'mnist'"),
        (["digits", "-o", "none/out.html"], "none/out.html cannot be written: No such file"),
        (["digits", "-o", "."], ". cannot be written: it is a folder"),
        (["digits", "-o", ".."], ".. cannot be written: it is a folder"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(
    home, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["html", *arguments, "--home", str(home)]) == 1
    out, said = capsys.readouterr()
    assert (out, said.count("\n")) == ("", 1)
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["html"], "say which experiment, or a run with --run or --fork"),
        (["html", "--workspace"], "say which experiment, or a run with --run or --fork"),
        (["html", "digits", "-o", ""], "argument -o/--output: it must name a file"),
        (["publish", "digits", "--html", ""], "argument --html: it must name a file"),
        (["publish", "digits", "--html", "f", "--json"], "asks W&B nothing: leave out --json"),
        (
            ["publish", "digits", "--html", "f", "--entity", "us", "--project", "p", "--json"],
            "leave out --entity, --project and --json",
        ),
        (["html", "digits", "--run", "a", "--fork", "b"], "not allowed with argument --run"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_fork_whose_parent_is_gone_says_so(home, capsys):
    RunPaths(home, s.BASELINE).run_log.unlink()
    assert main(["html", "--fork", "gentler", "--home", str(home)]) == 1
    assert "run rgentler came from rbaseline, which is not in " in capsys.readouterr().err


def test_what_could_not_be_read_is_said_and_the_rest_is_written(home, tmp_path, capsys):
    RunPaths(home, s.OTHER).run_file.write_text("{}")
    file = tmp_path / "out.html"
    assert main(["publish", "digits", "--html", str(file), "--home", str(home)]) == 0
    assert capsys.readouterr().err.startswith("run rother is left out: ")
    assert "run rother is left out" in file.read_text()
