"""The main job: from a clip to depth, path, map, uncertainty and a run folder that can be looked at."""

from .program import learn_video

__all__ = ["learn_video"]
