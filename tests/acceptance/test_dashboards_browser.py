"""The HTML files in a real browser, as people open them: from disk, light and dark."""

import hostile_runs as h
import pytest
import shown_runs as s
from browser import Watched, chromium

from dashboards.__main__ import main

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]

PAGES = {
    "comparison": ["digits"],
    "workspace": ["digits", "--workspace"],
    "monitor": ["--run", s.BASELINE],
    "what_changed": ["--fork", s.GENTLER],
}
HOSTILE_PAGES = {
    "comparison": ["digits"],
    "workspace": ["digits", "--workspace"],
    "monitor": ["--run", h.PARENT],
    "what_changed": ["--fork", h.CHILD],
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All pages of an experiment, and all of one whose names are hostile."""
    folder = tmp_path_factory.mktemp("pages")
    home = s.put_experiment(folder / "home")
    hostile = h.put_hostile_runs(folder / "hostile")
    for name, arguments in PAGES.items():
        file = str(folder / f"{name}.html")
        assert main(["html", *arguments, "--home", str(home), "-o", file]) == 0
    for name, arguments in HOSTILE_PAGES.items():
        file = str(folder / f"hostile-{name}.html")
        assert main(["html", *arguments, "--home", str(hostile), "-o", file]) == 0
    return folder


@pytest.fixture
def open_page(browser, folder):
    contexts = []

    def opened(name, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto((folder / f"{name}.html").as_uri())
        return watched

    yield opened
    for context in contexts:
        context.close()


def chart(page, title):
    """The chart under a heading."""
    return page.locator("article", has=page.get_by_role("heading", name=title, exact=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*PAGES, *(f"hostile-{each}" for each in HOSTILE_PAGES)])
def test_a_page_opens_without_a_word_of_complaint(open_page, name, scheme):
    watched = open_page(name, color_scheme=scheme)
    watched.page.wait_for_selector("html.scripted")
    assert watched.page.locator("svg[data-chart] path.line").count() > 0
    assert watched.page.evaluate("document.images.length") == watched.page.evaluate(
        "[...document.images].filter((image) => image.complete && image.naturalWidth).length"
    )
    assert watched.page.evaluate("window.hacked") is None
    assert watched.complaints == []


def test_what_the_script_draws_is_what_stood_there_without_it(open_page):
    plain = open_page("comparison", java_script_enabled=False).page
    moving = open_page("comparison").page
    moving.wait_for_selector("html.scripted")
    for selector in (".lines path.line", ".axes path.grid", ".marks .rule"):
        places = "(all) => all.map((each) => each.getAttribute('d'))"
        before = plain.locator(f"svg[data-chart] {selector}").evaluate_all(places)
        after = moving.locator(f"svg[data-chart] {selector}").evaluate_all(places)
        assert before
        assert [numbers(path) for path in after] == [
            pytest.approx(numbers(path), abs=0.11) for path in before
        ]


def test_the_script_spells_ticks_as_they_were(open_page):
    plain = open_page("comparison", java_script_enabled=False).page
    moving = open_page("comparison").page
    moving.wait_for_selector("html.scripted")
    ticks = "svg[data-chart] .axes text"
    before = plain.locator(ticks).all_text_contents()
    assert before
    assert moving.locator(ticks).all_text_contents() == before


def numbers(path):
    """The numbers of an SVG path."""
    for letter in "MLHVh":
        path = path.replace(letter, " ")
    return [float(number) for number in path.replace(",", " ").split()]


def test_dark_is_dark_and_light_is_light(open_page):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = open_page("monitor", color_scheme="light").page.evaluate(paper)
    dark = open_page("monitor", color_scheme="dark").page.evaluate(paper)
    assert light == "rgb(255, 255, 255)"
    assert max(int(part) for part in dark[4:-1].split(",")) < 40


def test_the_legend_shows_and_hides_a_run_everywhere(open_page):
    watched = open_page("comparison")
    page = watched.page
    lines = chart(page, "Train loss").locator("g.lines path[data-run]")
    assert lines.count() == 2
    button = page.locator(".toolbar button", has_text="gentler")
    assert page.locator(f"main .bar{shown(button)}:visible").count() > 0
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert lines.count() == 1
    left = page.locator(f"main {shown(button)}:visible")
    assert left.evaluate_all("(all) => all.map((each) => each.outerHTML.slice(0, 200))") == []
    assert page.locator(".bar[data-run='0']:visible").count() > 0
    button.click()
    assert lines.count() == 2
    assert watched.complaints == []


def shown(button):
    """Selects what is shown of a button's run."""
    return f"[data-run='{button.get_attribute('data-run')}']"


def test_the_legend_of_a_chart_hides_its_lines(open_page):
    panel = chart(open_page("monitor").page, "Loss")
    panel.locator(".legend button", has_text="test/loss").click()
    assert panel.locator("g.lines path").count() == 1
    assert panel.locator("g.lines path title").text_content() == "train/loss"


def test_the_pointer_tells_values_and_who_changed_what(open_page):
    page = open_page("monitor").page
    rule = chart(page, "Loss").locator(".mark .rule")
    rule.scroll_into_view_if_needed()
    box = rule.bounding_box()
    page.mouse.move(box["x"], box["y"] + box["height"] / 2)
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    told = tip.text_content()
    assert "step 4" in told
    assert "train/loss0.2" in told
    assert "ada, set optimizer.lr 0.1 → 0.05 — it diverges" in told


def test_a_mark_that_has_the_focus_says_who_changed_what(open_page):
    page = open_page("monitor").page
    chart(page, "Loss").locator(".mark").focus()
    assert "ada, set optimizer.lr 0.1 → 0.05 — it diverges" in page.locator("#tip").text_content()
    page.keyboard.press("Tab")
    chart(page, "Loss").get_by_role("button", name="log scale").focus()
    assert page.locator("#tip").is_hidden()


def test_the_arrow_keys_walk_along_a_chart(open_page):
    page = open_page("monitor").page
    chart(page, "Loss").locator("svg[data-chart]").focus()
    for step in ("step 0", "step 1", "step 2"):
        page.keyboard.press("ArrowRight")
        assert page.locator("#tip b").text_content() == step
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tip b").text_content() == "step 1"


def test_dragging_zooms_and_a_double_click_shows_all(open_page):
    page = open_page("monitor").page
    panel = chart(page, "Loss")
    panel.scroll_into_view_if_needed()
    box = panel.locator("svg[data-chart]").bounding_box()
    ticks = panel.locator(".axes text.tick[text-anchor=middle]")
    whole = ticks.all_text_contents()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    page.mouse.up()
    near = [float(text) for text in ticks.all_text_contents()]
    assert 2 < min(near) < max(near) < 7
    assert panel.get_by_role("button", name="whole run").is_visible()
    panel.locator("svg[data-chart]").dblclick()
    assert ticks.all_text_contents() == whole


def test_a_logarithmic_scale_and_smoothing(open_page):
    watched = open_page("monitor")
    panel = chart(watched.page, "Loss")
    line = panel.locator("g.lines path.line").first
    plain = line.get_attribute("d")
    button = panel.get_by_role("button", name="log scale")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    logarithmic = line.get_attribute("d")
    assert logarithmic != plain
    button.click()
    assert line.get_attribute("d") == plain
    watched.page.locator("#smoothing").fill("0.8")
    assert panel.locator("g.lines path.raw").first.get_attribute("d") == plain
    assert panel.locator("g.lines path:not(.raw)").first.get_attribute("d") != plain
    assert watched.complaints == []


def test_without_script_everything_but_the_tools_is_there(open_page):
    page = open_page("comparison", java_script_enabled=False).page
    assert page.locator("svg[data-chart] path.line").count() > 0
    assert page.locator("svg.lineage .lane").count() == 3
    assert page.locator(".script:visible").count() == 0


def test_a_page_fits_a_narrow_screen_and_paper(open_page):
    page = open_page("comparison").page
    page.set_viewport_size({"width": 390, "height": 800})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
    page.emulate_media(media="print")
    assert page.locator(".script:visible").count() == 0
    assert page.pdf()[:5] == b"%PDF-"


def test_the_policy_refuses_what_gets_into_the_page_all_the_same(open_page):
    """The last line of defence, were a name ever taken for markup."""
    watched = open_page("monitor")
    watched.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.hacked = 1";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "https://example.org/spy.png";
          document.body.append(image);
        }"""
    )
    assert watched.page.evaluate("window.hacked") is None
    assert len([each for each in watched.complaints if "Content Security Policy" in each]) >= 2
