"""Numbers in confusion matrices are readable: WCAG 2.2, level AA, 4.5 to 1, at every shade."""

import re
from importlib import resources

import pytest

from dashboards.html.matrices import LEVELS

ENOUGH = 4.5
CSS = (resources.files("dashboards.html") / "assets" / "page.css").read_text("utf-8")
LIGHT, DARK = (
    dict(re.findall(r"(--[\w-]+): ([^;]+);", block)) for block in CSS.split("@media")[:2]
)
SCHEMES = {"light": LIGHT, "dark": LIGHT | DARK}


def rules(selector):
    """What the style sheet says of a selector, as property to value."""
    found = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", CSS):
        if selector in [each.strip() for each in selectors.split(",")]:
            found |= dict(re.findall(r"([\w-]+): ([^;]+)", body))
    return found


def colour(text, scheme):
    """Red, green and blue of a colour, or of the variable that holds it."""
    text = re.sub(r"var\((--[\w-]+)\)", lambda name: scheme[name[1]], text)
    if not text.startswith("#"):
        return tuple(int(part) for part in text.split(","))
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))


def luminance(rgb):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in rgb)
    ]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["right", "wrong"])
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_a_number_stands_out_from_its_shade(scheme, kind, level):
    variables = SCHEMES[scheme]
    assert rules(f".{kind}")["background"] == f"rgba(var(--{kind}), var(--a))"
    share = float(rules(f".level{level}")["--a"])
    shade, card = colour(variables[f"--{kind}"], variables), colour("var(--card)", variables)
    behind = [share * ours + (1 - share) * theirs for ours, theirs in zip(shade, card, strict=True)]
    text = rules(f".{kind}.level{level}").get("color", "var(--ink)")
    assert contrast(colour(text, variables), behind) >= ENOUGH


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_mistake_is_readable_too(scheme):
    zero, variables = rules(".zero"), SCHEMES[scheme]
    behind = colour(zero["background"], variables)
    assert contrast(colour(zero["color"], variables), behind) >= ENOUGH
