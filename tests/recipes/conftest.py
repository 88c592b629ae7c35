import pytest

from tests.recipes.learned_room import Room, learned_room


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Room:
    """A room of which everything is known; tests that change its files take a copy."""
    return learned_room(tmp_path_factory.mktemp("learned"))
