"""Learn depth, camera path and a 3-D map from your own video, without labels.

    run = epipole.learn("clip.mp4")
    run.depth[0]; run.path; run.cloud.save("cloud.ply"); run.report()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Cloud, Run, SystemInfo, demo, judge, learn, list_systems, render, train

__version__ = "0.1.0"
__all__ = ["Cloud", "Run", "SystemInfo", "demo", "judge", "learn", "list_systems", "render", "train"]


def __getattr__(name: str) -> Any:
    """Loads the library when it is first used: `import epipole` alone costs nothing."""
    if name in __all__:
        return getattr(import_module(".api", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
