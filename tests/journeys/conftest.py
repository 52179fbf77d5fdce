"""The world is started once for all stories; each story has channels, people and journeys of its own."""

from collections.abc import AsyncIterator, Callable

import pytest

from rapport.embedded import Servers
from tests.journeys.talks import Person
from tests.journeys.world import World, opened_world


@pytest.fixture(scope="package")
async def whole_world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with opened_world(servers, tmp_path_factory.mktemp("journeys"), "journeys") as world:
        yield world


@pytest.fixture
async def world(whole_world: World) -> AsyncIterator[World]:
    """The world as this story finds it: no journey of another story runs any more."""
    await whole_world.journeys_known()
    yield whole_world
    await whole_world.end_journeys()


@pytest.fixture
def somebody(world: World) -> Callable[[str], Person]:
    """A customer nobody has met before."""
    return lambda name: Person.number(world.number(), name)
