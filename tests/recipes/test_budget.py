"""How many steps a budget leaves room for."""

from types import SimpleNamespace

from epipole.recipes.learn_video.budget import most_steps, second_steps
from epipole.recipes.learn_video.teach import Lessons


class Pairs(Lessons):
    """As many pairs to learn from, of ten frames."""

    def __init__(self, number: int) -> None:
        self.number, self.images = number, SimpleNamespace(key_frames=[0, 9])

    def __len__(self) -> int:
        return self.number


def spent(seconds: float, learning: float) -> SimpleNamespace:
    return SimpleNamespace(progress=None, phases=[{"name": "learn 1", "seconds": learning}], seconds=seconds)


def test_a_network_that_knows_worlds_takes_half_the_steps():
    for number in (10, 4000):
        assert most_steps(Pairs(number), True) == most_steps(Pairs(number), False) / 2
    assert most_steps(Pairs(4000), False) > most_steps(Pairs(10), False)


def test_the_second_stage_fills_what_is_left_up_to_the_most():
    few = second_steps(spent(100, 100.0), Pairs(4000), 100, 3.0, None, False)["steps"]
    assert few == int((180 - 100 - 35 - 0.18 * 10) / 1.0)
    assert second_steps(spent(100, 1.0), Pairs(4000), 100, 30.0, None, False)["steps"] == \
        most_steps(Pairs(4000), False) - 100
    assert second_steps(spent(100, 1.0), Pairs(4000), 100, 30.0, None, True)["steps"] == \
        most_steps(Pairs(4000), True) - 100
    assert second_steps(spent(100, 1.0), Pairs(10), 100, 30.0, 300, True)["steps"] == 200
