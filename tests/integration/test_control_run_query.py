"""Lists of runs: what the database finds is what the words of the query say."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from itertools import count

import pytest
from control_bench import Bench
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from control_api.run_query import page_of_runs
from control_api.run_words import NUMBER_FIELDS, TEXT_FIELDS, TIME_FIELDS
from control_api.tables import RunRow
from midcourse.contract.api.runs import RunsQuery
from midcourse.contract.runs import RunStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = [0, 1, -1, 7, 2**53 + 1, 2**63 - 1, 10**30, 0.1, 0.5, -2.5, 1e-5, 1e300, 7.0]
TEXTS = ["", "a", "B", "b", "ä", "z", "0.5", "NaN", "Infinity", "true", "null", 'q"\\', "a,b", "日"]
NAMES = ["lr", "a.b", 'a"b', "a'b", "a\\b", "ü", "", " ", "a,b=c", "a[0]", "$", "x\n", "0", "a/b"]
SEGMENTS = ["lr", "0", 'a"b', "ü", "a.b"]

# A few names in each example, so that runs often have what is asked of them.
names = st.shared(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2), key="names").flatmap(
    st.sampled_from
)
segments = st.shared(
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=2), key="segments"
).flatmap(st.sampled_from)
numbers = st.sampled_from(NUMBERS)
metric_values = st.one_of(numbers, st.sampled_from(["NaN", "Infinity", "-Infinity"]))
values = st.one_of(
    numbers, st.sampled_from(TEXTS), st.booleans(), st.none(), st.sampled_from([[], [1], {}])
)
configs = st.recursive(
    st.dictionaries(segments, values, max_size=3),
    lambda inner: st.dictionaries(segments, values | inner, max_size=3),
    max_leaves=4,
)
moments = st.integers(0, 3).map(lambda days: START + timedelta(days=days, microseconds=days))
runs = st.fixed_dictionaries(
    {
        "name": st.none() | st.sampled_from(["a", "B", "ä", "7"]),
        "status": st.sampled_from(RunStatus),
        "priority": st.integers(-1, 1),
        "step": st.none() | st.integers(0, 3),
        "created_at": moments,
        "ended_at": st.none() | moments,
        "config": configs,
        "latest": st.dictionaries(names, metric_values.map(lambda value: [3, value]), max_size=4),
        "live_values": st.dictionaries(names, values, max_size=4),
    }
)
fields = st.one_of(
    st.tuples(st.just("metrics"), names.map(lambda name: (name,))),
    st.tuples(st.just("values"), names.map(lambda name: (name,))),
    st.tuples(st.just("config"), st.lists(segments, min_size=1, max_size=3).map(tuple)),
    st.sampled_from(["name", "status", "priority", "step", "created_at", "ended_at"]).map(
        lambda name: (None, (name,))
    ),
)


@st.composite
def conditions(draw):
    group, path = field = draw(fields)
    if group == "metrics":
        value = draw(
            st.one_of(numbers, st.sampled_from([math.nan, math.inf, -math.inf]), st.none())
        )
    elif group:
        value = draw(st.one_of(numbers, st.sampled_from(TEXTS), st.booleans(), st.none()))
    elif path[0] == "status":
        value = draw(st.sampled_from(RunStatus)).value
    elif path[0] in TEXT_FIELDS:
        value = draw(st.none() | st.sampled_from(["a", "B", "ä", "7"]))
    elif path[0] in TIME_FIELDS:
        value = draw(st.none() | moments)
    else:
        value = draw(st.none() | st.sampled_from([0, 1, 0.5, -2.5]))
    plain = value is None or isinstance(value, bool) or value != value
    operators = ["=", "!="] if plain else ["=", "!=", "<", "<=", ">", ">="]
    return field, draw(st.sampled_from(operators)), value


# The same in plain Python: what the query's words mean

MISSING = object()
MINUS, NUMBER, PLUS, FALSE, TRUE, TEXT, NESTED, NAN, NOTHING = range(9)


def value_of(run, field):
    group, path = field
    if group is None:
        return run[path[0]]
    if group == "metrics":
        return run["latest"].get(path[0], [0, None])[1]
    found = run["config" if group == "config" else "live_values"]
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


def ranked(value, *, of_metric):
    """A value as a rank and what tells it from others of that rank."""
    if value is None:
        return NOTHING, 0
    if isinstance(value, bool):
        return (TRUE if value else FALSE), 0
    if isinstance(value, datetime):
        return NUMBER, value.timestamp()
    if isinstance(value, str):
        strange = {"NaN": NAN, "Infinity": PLUS, "-Infinity": MINUS}
        return (strange[value], 0) if of_metric and value in strange else (TEXT, str(value))
    if isinstance(value, list | dict):
        return NESTED, 0
    if math.isnan(value):
        return NAN, 0
    if math.isinf(value):
        return (PLUS if value > 0 else MINUS), 0
    return NUMBER, float(value) if abs(value) >= 2**63 else value


def model_meets(run, condition):
    field, operator, said = condition
    of_metric = field[0] == "metrics"
    rank, value = ranked(value_of(run, field), of_metric=of_metric)
    said_rank, said = ranked(said, of_metric=False)
    equal = (rank, value) == (said_rank, said)
    if operator == "=":
        return equal
    if operator == "!=":
        return not equal and rank != NOTHING
    kind = {TEXT} if said_rank == TEXT else {MINUS, NUMBER, PLUS}
    if rank not in kind:
        return False
    lower = (rank, value) < (said_rank, said)
    return {"<": lower, "<=": lower or equal, ">": not (lower or equal), ">=": not lower}[operator]


def model_list(runs, conditions, sort):
    """The ids that a query should give, in their order."""

    def compare(one, other):
        for field, descending in sort:
            of_metric = field[0] == "metrics"
            left = ranked(value_of(one, field), of_metric=of_metric)
            right = ranked(value_of(other, field), of_metric=of_metric)
            if left == right:
                continue
            before = left < right
            swapped = descending and max(left[0], right[0]) < NAN
            return -1 if before is not swapped else 1
        return -1 if one["id"] < other["id"] else 1

    found = [run for run in runs if all(model_meets(run, each) for each in conditions)]
    return [run["id"] for run in sorted(found, key=cmp_to_key(compare))]


def words_of_field(field):
    group, path = field
    quote = lambda name: name if re.fullmatch(r"[\w/\[\]$']+", name) else json.dumps(name)  # noqa: E731
    return ".".join([group] * bool(group) + [quote(name) for name in path])


def words_of(condition):
    field, operator, value = condition
    if isinstance(value, datetime):
        said = value.isoformat()
    elif isinstance(value, float) and not math.isfinite(value):
        said = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    else:
        said = json.dumps(value)
    return f"{words_of_field(field)}{operator}{said}"


class Lab:
    """A database, and runs in an experiment of their own for each example."""

    def __init__(self, bench):
        self.bench = bench
        self.examples = count()

    def experiment(self, runs):
        name = f"e{next(self.examples)}"
        for number, run in enumerate(runs):
            run["id"] = f"{name}-{number:03}"
        with self.bench.database.writing() as session:
            session.add_all(RunRow(experiment=name, created_by="lab", **run) for run in runs)
        return name

    def page(self, **query):
        with self.bench.database.reading() as session:
            return page_of_runs(session, RunsQuery(**query))

    def ids(self, **query):
        return [run.id for run in self.page(**query).runs]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def lab(bench):
    return Lab(bench)


EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def run_with(**fields):
    """One with nothing else to tell."""
    columns = dict.fromkeys(["name", "step", "ended_at"])
    columns |= {"status": RunStatus.RUNNING, "priority": 0, "created_at": START}
    return columns | {"config": {}, "latest": {}, "live_values": {}} | fields


LR = ("values", ("lr",))
HUGE = 2**53 + 1  # no float is that


@EXAMPLES
@example(
    some=[run_with(step=0, live_values={"lr": HUGE + n}) for n in range(3)],
    where=[(LR, operator, HUGE) for operator in ("=", "!=", "<", "<=", ">", ">=")],
    sort=[(LR, False)],
    limit=1,
)
@given(
    some=st.lists(runs, min_size=1, max_size=8),
    where=st.lists(conditions(), min_size=1, max_size=12),
    sort=st.lists(st.tuples(fields, st.booleans()), min_size=1, max_size=3),
    limit=st.integers(1, 3),
)
def test_the_database_finds_what_plain_python_finds_and_pages_give_each_run_once(
    lab, some, where, sort, limit
):
    experiment = lab.experiment(some)
    by_id = [((None, ("id",)), False)]
    for each in where:
        expected = model_list(some, [each], by_id)
        assert lab.ids(experiment=experiment, where=words_of(each), sort="id") == expected

    both = [each for each in where[:2] if each[1] == "!="]
    query = {
        "experiment": experiment,
        "sort": ",".join("-" * down + words_of_field(field) for field, down in sort),
        "where": ",".join(["step!=99", *map(words_of, both)]),
    }
    expected = model_list(some, [((None, ("step",)), "!=", 99), *both], sort)
    paged, cursor = [], None
    while True:
        page = lab.page(**query, limit=limit, cursor=cursor)
        assert page.total == len(expected)
        paged += [run.id for run in page.runs]
        assert paged == expected[: len(paged)]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.runs) == limit
    assert paged == expected


def test_fields_of_the_model_are_all_fields():
    assert {"name", "status"} <= {*TEXT_FIELDS}
    assert {"priority", "step"} <= {*NUMBER_FIELDS}
    assert {"created_at", "ended_at"} <= {*TIME_FIELDS}
