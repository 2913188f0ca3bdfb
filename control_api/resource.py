"""A resource of the API: its views, each of which declares what it takes, gives and refuses.

What is declared is what is read from a request, and what the OpenAPI document says: there is no
other place to say it. flask-openapi3 collects the operations; requests are read by our own strict
readers (`control_api.taking`), once for all and without a schema made anew for each request.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from control_api.answers import Gives, refusals
from control_api.problems import (
    ApiProblem,
    DatabaseAway,
    Forbidden,
    ForeignOrigin,
    InvalidRequest,
    KeyReused,
    MalformedBody,
    RunDeleted,
    TooManyFailedLogins,
    Unauthenticated,
    UnknownRun,
    WrongMediaType,
)
from control_api.taking import Takes, View, reading, takes_of
from midcourse.contract.roles import Role

SECURITY: dict[str, list[str]] = {"token": []}
"""The requirement of OpenAPI that every address has which is not open to all."""


Problems = Sequence[type[ApiProblem]]


@dataclass(frozen=True)
class Operation:
    """What one view declares; it stands at the view as `operation`."""

    takes: Takes
    gives: tuple[Gives, ...]
    problems: tuple[type[ApiProblem], ...]
    role: Role | None
    """The least role of those who may ask; None: everybody may, without a token."""

    @property
    def models(self) -> list[type[BaseModel]]:
        """The models that its answers are made of."""
        return [given.model for given in self.gives if given.model is not None]


class Resource:
    """Views about one thing; `blueprint` is what the application registers."""

    def __init__(
        self, name: str, about: str, *, prefix: str = "", needs_token: bool = True
    ) -> None:
        """Begin a resource without views.

        Args:
            name: a word, which is also its heading in the document.
            about: a sentence for below that heading.
            prefix: of its addresses, below the API's.
            needs_token: False where all may look.
        """
        self.prefix = prefix
        self.needs_token = needs_token
        self.blueprint = APIBlueprint(
            name,
            __name__,
            url_prefix=prefix or None,
            abp_tags=[Tag(name=name, description=about)],
            abp_security=[SECURITY] if needs_token else None,
            operation_id_callback=_function_name,
        )

    def get(
        self, rule: str, *gives: Gives, problems: Problems = (), role: Role = Role.VIEWER
    ) -> Callable[[View], View]:
        """A view that looks and changes nothing."""
        return self._view("GET", rule, gives, problems, role)

    def post(
        self, rule: str, *gives: Gives, problems: Problems = (), role: Role = Role.OPERATOR
    ) -> Callable[[View], View]:
        """A view that makes something."""
        return self._view("POST", rule, gives, problems, role)

    def patch(
        self, rule: str, *gives: Gives, problems: Problems = (), role: Role = Role.OPERATOR
    ) -> Callable[[View], View]:
        """A view that changes what is named, and leaves the rest."""
        return self._view("PATCH", rule, gives, problems, role)

    def delete(
        self, rule: str, *gives: Gives, problems: Problems = (), role: Role = Role.OPERATOR
    ) -> Callable[[View], View]:
        """A view that takes something away."""
        return self._view("DELETE", rule, gives, problems, role)

    def _view(
        self, method: str, rule: str, gives: Sequence[Gives], problems: Problems, role: Role
    ) -> Callable[[View], View]:
        who = role if self.needs_token else None

        def register(view: View) -> View:
            takes = takes_of(view, method, self.prefix + rule)
            refused = _all_problems(takes, problems, who)
            operation = Operation(takes, tuple(gives), refused, who)
            read = reading(view, takes)
            read.operation = operation  # type: ignore[attr-defined]
            summary, _, more = (inspect.getdoc(view) or "").partition("\n\n")
            read.__doc__ = " ".join(summary.split())
            asks = [] if who is None else [f"Needs the role `{who}`."]
            getattr(self.blueprint, method.lower())(
                rule,
                description="\n\n".join([more] * bool(more) + asks) or None,
                responses=_responses(operation),
            )(read)
            return view

        return register


def _all_problems(takes: Takes, own: Problems, role: Role | None) -> tuple[type[ApiProblem], ...]:
    """What a view itself refuses, and what every one of its kind may refuse."""
    found: list[type[ApiProblem]] = [*own, InvalidRequest, ForeignOrigin, DatabaseAway]
    if role is not None:
        found += [Unauthenticated, Forbidden, TooManyFailedLogins]
    if UnknownRun in own:
        found.append(RunDeleted)
    if takes.body is not None:
        found += [MalformedBody, WrongMediaType]
    if takes.key:
        found.append(KeyReused)
    return tuple(dict.fromkeys(found))


def _responses(operation: Operation) -> dict[int, object]:
    takes = operation.takes
    headers = ["Preference-Applied"] if takes.wait else []
    headers += ["Idempotency-Replayed"] if takes.key else []
    plain = [500, *([404] if takes.path else []), *([413] if takes.body is not None else [])]
    answers = {given.status: given.response(headers) for given in operation.gives}
    refused = refusals(operation.problems, plain)
    assert not answers.keys() & refused.keys()
    return dict(sorted((answers | refused).items()))


def _function_name(*, name: str, path: str, method: str) -> str:  # noqa: ARG001
    """Operations are called as their views are; clients make methods of these names."""
    return name
