"""Which colour a run, or a line, has: classes of the style sheet, which knows light and dark.

Eight colours that people with any colour vision tell apart, then the same ones dashed.
"""

from typing import Final

COLOURS: Final = 8
DASHES: Final = 4


def colour(index: int) -> str:
    """The classes of the colour and dash at a place in the list of runs, or of lines."""
    return f"c{index % COLOURS} d{index // COLOURS % DASHES}"
