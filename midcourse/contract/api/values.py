"""What many requests and answers of the control API are made of."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.commands import At

MAX_WAIT_SECONDS = 60
"""The longest that `Prefer: wait=N` is honoured; more is taken as this."""


RunName = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line: it stands in tables, and becomes an environment variable of the trainer."""


Reason = Annotated[str, Field(min_length=1, max_length=2000)]


Notes = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
"""What people write beside a run; no database can hold a NUL."""


MAX_TAGS = 50
"""The most tags of a run."""


Tag = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[^\x00-\x20\x7f,]([^\x00-\x1f\x7f,]*[^\x00-\x20\x7f,])?$",
    ),
]
"""A word for a run. No commas, which stand between tags in a query; no spaces at its ends."""


def _each_once(tags: list[str]) -> list[str]:
    again = next((tag for number, tag in enumerate(tags) if tag in tags[:number]), None)
    if again is not None:
        raise ValueError(f"{again!r} stands twice")
    return tags


Tags = Annotated[
    list[Tag],
    Field(max_length=MAX_TAGS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]
"""In the order in which they were given, each once."""


Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
"""Of two runs in the queue the higher one starts first, then the older one."""


Links = dict[str, str]


LayerPattern = Annotated[str, Field(min_length=1, max_length=500)]


MAX_KEY_LENGTH = 200
"""The most characters of an `Idempotency-Key`."""


def parse_at(text: Any) -> At:
    """When a command acts, as queries say it: `step:500` or `epoch:3`.

    Raises:
        ValueError: in one sentence, what is allowed.
    """
    if isinstance(text, At):
        return text
    said = re.fullmatch(r"(step|epoch):([0-9]{1,16})", text) if isinstance(text, str) else None
    if said is None or int(said[2]) > MAX_INTEGER:
        raise ValueError(
            f"must be step:N or epoch:N, such as step:500, N being a whole number from 0 to "
            f"{MAX_INTEGER}; not {text!r}"
        )
    return At.model_validate({said[1]: int(said[2])})


def _parse_flag(text: Any) -> bool:
    if text not in ("true", "false", True, False):
        raise ValueError(f"must be true or false, not {text!r}")
    return text in ("true", True)


When = Annotated[
    At,
    PlainValidator(parse_at),
    WithJsonSchema({"type": "string", "pattern": r"^(step|epoch):[0-9]{1,15}$"}),
]


Flag = Annotated[bool, PlainValidator(_parse_flag, json_schema_input_type=bool)]


class Nothing(Record):
    """Body of the verbs that need none: empty, or `{}`."""


class ReasonQuery(Record):
    """Query of the addresses that ask for something."""

    reason: Reason | None = None
    """Why, in the actor's words; kept with the command."""


class NoQuery(Record):
    """For addresses that take no query."""
