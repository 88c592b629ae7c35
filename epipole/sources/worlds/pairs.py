"""The stereo pairs of a world."""

from ...types.views import Views
from .world import World


class Pairs:
    """`pairs[i]` is the rectified pair at frame i of a world (N = 2: left, right), with what the world provides, both
    disparities and, if it provides that, the baseline that says that they are a pair."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __len__(self) -> int:
        return len(self.world)

    def __getitem__(self, index: int) -> Views:
        return self.world.stereo(index)
