"""A tag is read as one thing, or refused with what there is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.page_tags.words import (
    DONE,
    MOST_LETTERS,
    REFUSED,
    NotUnderstood,
    Order,
    Verb,
    is_order,
    marker,
    note_line,
    read_tag,
)
from midcourse.contract.typed_values import parse_value

PARAMETERS = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=80)


@pytest.mark.parametrize(
    ("tag", "order"),
    [
        ("mc:pause", Order(Verb.PAUSE)),
        ("mc:resume", Order(Verb.RESUME)),
        ("mc:stop", Order(Verb.STOP)),
        ("mc:undo", Order(Verb.UNDO)),
        ("mc:checkpoint", Order(Verb.CHECKPOINT)),
        ("mc:fork", Order(Verb.FORK)),
        ("mc:fork@best", Order(Verb.FORK, checkpoint="best")),
        ("mc:fork@step-500", Order(Verb.FORK, checkpoint="step-500")),
        ("mc:lr=1e-4", Order(Verb.SET, parameter="optimizer.lr", value=1e-4)),
        ("mc:optimizer.lr=.5", Order(Verb.SET, parameter="optimizer.lr", value=0.5)),
        ("mc:model.dropout=0.3", Order(Verb.SET, parameter="model.dropout", value=0.3)),
        ("mc:optimizer.name=adamw", Order(Verb.SET, parameter="optimizer.name", value="adamw")),
        ("mc:scheduler.name=null", Order(Verb.SET, parameter="scheduler.name", value=None)),
        ("mc: lr = 1 ", Order(Verb.SET, parameter="optimizer.lr", value=1)),
        ("mc:lr=banana", Order(Verb.SET, parameter="optimizer.lr", value="banana")),
        ("mc:pause=true", Order(Verb.SET, parameter="pause", value=True)),
    ],
)
def test_a_tag_is_read_as_what_it_asks_for(tag, order):
    assert is_order(tag)
    assert read_tag(tag) == order


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("mc:", '"" is no word for a run; there are: mc:pause'),
        ("mc:paus", '"paus" is no word for a run'),
        ("mc:Pause", '"Pause" is no word for a run'),
        ("mc:pause@best", '"pause@best" is no word for a run'),
        ("mc:set", '"set" is no word for a run'),
        ("mc:fork@", '"fork@" is no word for a run'),
        ("mc:lr=", "a change is mc:<live parameter>=<value>, such as mc:lr=1e-4"),
        ("mc:=1", "a change is mc:<live parameter>=<value>"),
        ("mc:" + "x" * 62, "a tag has at most 64 letters"),
    ],
)
def test_what_is_not_understood_is_told_what_there_is(tag, message):
    assert is_order(tag)
    with pytest.raises(NotUnderstood, match=re.escape(message)):
        read_tag(tag)


@pytest.mark.parametrize("tag", ["", "baseline", "MC:pause", " mc:pause", "mc", "mcpause"])
def test_other_tags_ask_for_nothing(tag):
    assert not is_order(tag)


@given(TEXTS)
def test_any_text_is_an_order_or_is_refused_in_words(text):
    try:
        order = read_tag(f"mc:{text}")
    except NotUnderstood:
        return
    assert order.verb in Verb
    assert bool(order.parameter) == (order.verb is Verb.SET)


@given(PARAMETERS, st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_what_is_set_is_what_was_said(name, value):
    text = repr(value).lower()
    tag = f"mc:{name}={text}"
    if len(tag) <= MOST_LETTERS and name != "lr":
        assert read_tag(tag) == Order(Verb.SET, parameter=name, value=parse_value(text))
        assert read_tag(tag).value == value


@given(TEXTS, st.integers(1, 10**6), st.sampled_from([DONE, REFUSED]))
def test_what_stands_in_its_place_fits_and_asks_for_nothing(text, number, prefix):
    shown = marker(prefix, f"mc:{text}", number)
    assert len(shown) <= MOST_LETTERS
    assert not is_order(shown)
    assert shown.startswith(prefix)
    assert shown.endswith(f"#{number}")


@given(TEXTS, TEXTS)
def test_a_line_of_the_notes_is_one_line(text, why):
    line = note_line(f"mc:{text}", "refused", 3, why)
    assert len(line.splitlines()) == 1
