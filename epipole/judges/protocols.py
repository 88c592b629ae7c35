"""Protocols of the benchmarks, by name."""

from .depth import DepthProtocol
from .disparity import DisparityProtocol
from .flow import FlowProtocol
from .keypoints import KeypointProtocol
from .motion import MotionProtocol
from .pose import PoseProtocol
from .retrieval import RetrievalProtocol
from .score import Protocol
from .voxels import VoxelProtocol

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (
    DepthProtocol("median", "garg", cap=80.0, name="kitti-eigen-garg-80"),  # monocular; a stereo rig needs no scaling
    DepthProtocol("median", "garg", cap=50.0, name="kitti-eigen-garg-50"),
    DepthProtocol("median", "eigen", cap=80.0, name="kitti-eigen-80"),
    DepthProtocol("median", "nyu", cap=10.0, name="nyu-eigen-10"),
    MotionProtocol("sim3", window=5, name="kitti-odom"),
    MotionProtocol("scale", window=5, name="kitti-snippet-zhou-5"),
    MotionProtocol("scale", window=3, name="kitti-snippet-3"),
    MotionProtocol("sim3", tolerance=0.02, name="tum-ate-sim3"),
    FlowProtocol(name="flow-kitti15"),
    DisparityProtocol(name="stereo-d1"),
    KeypointProtocol(most=300, name="hpatches-repeatability"),
    KeypointProtocol(most=1000, name="hpatches-homography"),
    PoseProtocol(name="reloc-7scenes"),
    RetrievalProtocol(name="places-25m"),
    VoxelProtocol(name="voxels-r2n2"),
)}
