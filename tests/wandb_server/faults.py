"""Faults on demand: what a request meets instead of an answer.

fault = server.faults.add("file_stream", status=500, count=3)
...
assert fault.met == 3
"""

import threading
from dataclasses import dataclass, field

ANY = "any"
STEP_SECONDS = 0.05


@dataclass
class Fault:
    """For the requests of a route after the first `after`: `count` times, or until it is lifted."""

    route: str
    status: int | None = None
    hang: bool = False
    """No answer until it is lifted; then the connection is closed, and what came is lost."""
    slow: float = 0.0
    """Seconds before each request is carried out as ever."""
    reset: bool = False
    """The connection is reset."""
    carried_out: bool = False
    """The request takes effect, and only its answer is lost: what a client then sends twice."""
    count: int | None = None
    after: int = 0
    passed: int = 0
    """Requests let through because of `after`."""
    met: int = 0
    """Requests that met it."""
    lifted: threading.Event = field(default_factory=threading.Event)

    def lift(self) -> None:
        """End it; what hangs is let go."""
        self.lifted.set()

    @property
    def is_over(self) -> bool:
        return self.lifted.is_set() or (self.count is not None and self.met >= self.count)


class Faults:
    """All faults, in the order in which they came; a request meets the first that is for it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        route: str,
        *,
        status: int | None = None,
        hang: bool = False,
        slow: float = 0.0,
        reset: bool = False,
        carried_out: bool = False,
        count: int | None = None,
        after: int = 0,
    ) -> Fault:
        """Let requests of a route fail.

        Args:
            route: the name of a GraphQL operation, `graphql` (all of them), `file_stream`, `put`,
                `get`, or `any`.
            status: the HTTP status that is answered.
            hang: no answer until the fault is lifted.
            slow: seconds that each request waits before it is carried out.
            reset: the connection is reset.
            carried_out: the request takes effect before its answer fails.
            count: how many requests meet it; None: until it is lifted.
            after: how many requests of the route pass first.

        Raises:
            ValueError: not exactly one of status, hang, slow and reset is given.
        """
        if sum([status is not None, hang, slow > 0, reset]) != 1:
            raise ValueError("a fault is one of status, hang, slow and reset")
        fault = Fault(route, status, hang, slow, reset, carried_out, count, after)
        with self._lock:
            self._faults.append(fault)
        return fault

    def meet(self, routes: set[str]) -> Fault | None:
        """The fault that a request on these routes meets; it counts as met."""
        with self._lock:
            for fault in self._faults:
                if fault.is_over or fault.route not in routes | {ANY}:
                    continue
                if fault.passed < fault.after:
                    fault.passed += 1
                    continue
                fault.met += 1
                return fault
        return None

    def lift(self) -> None:
        """End them all."""
        with self._lock:
            for fault in self._faults:
                fault.lift()
