"""The Docker engine and the image, for the tests marked `docker`: made once."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from containers import Served
from docker_engine import FOLDER, REQUIRE, Engine, why_absent


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine of our own, with the image built in it."""
    if (absent := why_absent()) is not None:
        if os.environ.get(REQUIRE) == "require":
            pytest.fail(absent)
        pytest.skip(absent)
    folder = os.environ.get(FOLDER)
    made = Engine(Path(folder) if folder else None)
    try:
        made.start()
        made.build()
        yield made
    finally:
        made.stop()


@pytest.fixture
def serve(engine: Engine, request: pytest.FixtureRequest) -> Iterator[type[Served]]:
    """Makes containers that go with the test, and their volumes."""
    numbers = count(1)
    made: list[str] = []

    def start(*command: str, options: tuple[str, ...] = (), **environment: str) -> Served:
        name = f"{request.node.originalname.replace('_', '-')[:40]}-{next(numbers)}"
        made.append(name)
        return Served(engine, name, options, command, environment).start()

    yield start
    if made:
        engine.run("rm", "--force", "--volumes", *made)
