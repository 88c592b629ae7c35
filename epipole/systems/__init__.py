"""Table of contents: every system the library knows, and where it lives.

Adding a system is one file and one line here. The file exports `Config`, a frozen dataclass of documented numbers, and
`PRESETS`, a dict of Configs with at least the keys "paper" and "small".
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from ..engine.system import System
from ..types.errors import InputError

SYSTEMS = {
    "posenet": "motion.posenet:PoseNet",
    "posenet_geometric": "motion.posenet:PoseNetGeometric",
    "posenet_learned": "motion.posenet:PoseNetLearned",
    "vinet": "motion.vinet:VINet",
    "deepvo": "motion.deepvo:DeepVO",
    "demon": "depth.demon:Demon",
    "ddff": "depth.ddff:Ddff",
    "kuznietsov": "depth.kuznietsov:Kuznietsov",
    "diw": "depth.diw:DepthInTheWild",
    "cao": "depth.cao:Cao",
    "eigen": "depth.eigen:Eigen",
    "gordon": "depth.gordon:Gordon",
    "gordon_masked": "depth.gordon:GordonMasked",
    "sfmnet": "depth.sfmnet:SfmNet",
    "sfmnet_camera": "depth.sfmnet:SfmNetCamera",
    "sfmnet_depth": "depth.sfmnet:SfmNetDepth",
    "garg": "depth.garg:Garg",
    "monodepth": "depth.monodepth:Monodepth",
    "monodepth2": "depth.monodepth2:Monodepth2",
    "fcrn": "depth.fcrn:Fcrn",
    "reprojection": "depth.reprojection:ReprojectionDepth",
    "sfmlearner": "depth.sfmlearner:SfmLearner",
    "vid2depth": "depth.vid2depth:Vid2Depth",
    "flownets": "flow.flownet:FlowNetS",
    "flownetc": "flow.flownet:FlowNetC",
    "unflow": "flow.unflow:UnFlow",
    "gcnet": "stereo.gcnet:GCNet",
    "gcnet_reprojection": "stereo.gcnet:GCNetByReprojection",
    "mccnn": "stereo.mccnn:MCCNN",
    "mccnn_fast": "stereo.mccnn:MCCNNFast",
    "dispnet": "stereo.dispnet:DispNet",
    "dispnetc": "stereo.dispnet:DispNetC",
}


def load(name: str) -> type[System]:
    """The class of this system. Raises InputError for a name that is not in the table."""
    return getattr(_module(name), SYSTEMS[name].split(":")[1])


def presets(name: str) -> Mapping[str, Any]:
    """The named Configs of this system. Raises InputError for a name that is not in the table."""
    return _module(name).PRESETS


def config_class(name: str) -> type[Any]:
    """The Config dataclass of this system. Raises InputError for a name that is not in the table."""
    return _module(name).Config


def _module(name: str) -> ModuleType:
    if name not in SYSTEMS:
        raise InputError(f"There is no system '{name}': choose one of {', '.join(SYSTEMS)}")
    return import_module(f".{SYSTEMS[name].split(':')[0]}", __name__)
