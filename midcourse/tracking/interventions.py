"""The table of a run's interventions, as it grows."""

from pydantic import JsonValue

from midcourse.contract.commands import Command
from midcourse.contract.interventions import COLUMNS, intervention_rows
from midcourse.contract.media import Table
from midcourse.contract.receipts import Receipt


class Interventions:
    """All receipts of a run so far, as one table: a line for each parameter that is concerned.

    Dry runs are left out: they intervene in nothing.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._rows: list[list[JsonValue]] = []

    def add(self, command: Command, receipt: Receipt) -> bool:
        """Take a receipt; False where it is only repeated by a redo, or that of a dry run."""
        if receipt.seq in self._seen or command.dry_run:
            return False
        self._seen.add(receipt.seq)
        self._rows += intervention_rows(command, receipt)
        return True

    def table(self) -> Table:
        """The table as it stands."""
        return Table(columns=list(COLUMNS), rows=list(self._rows))
