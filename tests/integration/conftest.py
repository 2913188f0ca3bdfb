"""What several of these files need."""

import pytest
from control_bench import Bench


@pytest.fixture
def make_bench(tmp_path):
    """Makes control APIs on a bench, by what differs from the usual settings."""
    made = []

    def make(**changes):
        made.append(Bench(tmp_path / str(len(made)), **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
