import pytest

from tests.recipes.exact_room import ExactRoom, exact_room
from tests.recipes.learned_room import Room, learned_room


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Room:
    """A room of which everything is known; tests that change its files take a copy."""
    return learned_room(tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="session")
def exact(tmp_path_factory) -> ExactRoom:
    """A room whose flow, path and anchor depths are exact."""
    return exact_room(tmp_path_factory.mktemp("exact"))
