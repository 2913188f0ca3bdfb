"""Things by name, each with the options that it takes, as its own signature declares them."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from midcourse.catalogue.options import Options, options_model
from midcourse.contract.errors import Fault, faults_of

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing."""

    name: str
    make: Callable[..., T]
    options: type[Options]
    """The options as a model: their types, bounds and defaults."""
    summary: str
    of: type | None
    """The class of what it makes, where that is known."""


class Registry(Generic[T]):
    """Makers of one kind of thing, by name.

    Args:
        kind: what they make, such as `model`: for messages, and for the bounds that a live
            parameter `<kind>.<option>` has.
        given: how many leading arguments the trainer gives; what follows are options.
    """

    def __init__(self, kind: str, given: int) -> None:
        self.kind = kind
        self._given = given
        self._entries: dict[str, Entry[T]] = {}
        self._aliases: dict[str, str] = {}

    def register(
        self,
        name: str,
        *,
        alias: str | None = None,
        hidden: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
        summary: str | None = None,
        of: type | None = None,
    ) -> Callable[[F], F]:
        """A decorator that makes a function or class known under a name.

        Args:
            name: what configurations call it.
            alias: another spelling, such as the class's own name.
            hidden: parameters that are not options.
            defaults: defaults that differ from the signature's.
            summary: what `--list` says of it; else the first line of its docstring.
            of: the class whose instances bear this name; else the class that is registered.

        Raises:
            ValueError: the name is taken.
            TypeError: a parameter without default has a type that JSON cannot give.
        """
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is registered already")

        def remember(make: F) -> F:
            options = options_model(
                make, self.kind, given=self._given, hidden=hidden, defaults=defaults or {}
            )
            lines = (make.__doc__ or "").strip().splitlines() or [""]
            kind = of or (make if isinstance(make, type) else None)
            self._entries[name] = Entry(name, make, options, summary or lines[0], kind)
            if alias is not None:
                self._aliases[alias] = name
            return make

        return remember

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._aliases

    def names(self) -> list[str]:
        """All names, sorted; aliases are left out."""
        return sorted(self._entries)

    def name_of(self, thing: object) -> str | None:
        """The name under which the class of `thing` is registered; None where it is not."""
        for name, entry in self._entries.items():
            if type(thing) in (entry.of, entry.make):
                return name
        return None

    def having(self, option: str) -> list[str]:
        """The names of those that take an option, sorted."""
        return [name for name in self.names() if option in self.entry(name).options.model_fields]

    def entry(self, name: str) -> Entry[T]:
        """What is registered under a name.

        Raises:
            LookupError: nothing is; the message lists what is, and the near miss.
        """
        try:
            return self._entries[self._aliases.get(name, name)]
        except KeyError:
            raise LookupError(
                f"no {self.kind} is named {name!r}."
                f"{_near_miss(name, [*self.names(), *self._aliases])}"
                f" Allowed: {', '.join(self.names())}"
            ) from None

    def check(
        self, name: str, options: Mapping[str, Any], path: str
    ) -> tuple[dict[str, Any], list[Fault]]:
        """Check a choice from a configuration.

        Args:
            name: the chosen name, or an alias.
            options: what was set beside it.
            path: where the choice stands, for faults.

        Returns:
            The choice with every option filled in, under its plain name; and one fault for
            everything that is wrong, in which case the choice is not to be used.
        """
        try:
            entry = self.entry(name)
        except LookupError as error:
            fault = Fault(
                path=f"{path}.name", message=str(error.args[0]), allowed=list(self.names())
            )
            return {}, [fault]
        try:
            checked = entry.options.model_validate(dict(options))
        except ValidationError as error:
            faults = faults_of(error, prefix=path)
            return {}, [self._explained(entry, path, fault) for fault in faults]
        return {"name": entry.name, **checked.settings()}, []

    def make(self, name: str, *given: Any, **options: Any) -> T:
        """Make the thing from options that `check` has passed."""
        entry = self.entry(name)
        checked = entry.options.model_validate(options)
        fields = type(checked).model_fields
        return entry.make(*given, **{option: getattr(checked, option) for option in fields})

    def _explained(self, entry: Entry[T], path: str, fault: Fault) -> Fault:
        """A fault about an unknown option, with the options that there are."""
        if fault.message != "is not a known key":
            return fault
        options = sorted(entry.options.model_fields)
        known = f"Allowed: {', '.join(options)}" if options else "It has none"
        near = _near_miss(fault.path.removeprefix(f"{path}."), options)
        message = f"is not an option of the {self.kind} {entry.name}.{near} {known}"
        return fault.model_copy(update={"message": message, "allowed": list(options)})


def _near_miss(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
