"""One step of training of every system at the size of its paper: peak memory and time of the processor.

    python benchmarks/full_size.py [SYSTEM ...] [--threads 1] [--count]

Each step has a process of its own, a batch of one sample with the pixels and number of views of the paper, its port or
its data (VINet's and DeepVO's clips of 5 views are ours), and noise to learn: loss, gradient and AdamW, whose moments
are twice the weights. Those that take most memory come last.

`--count` computes nothing, and so needs neither memory nor time: from the shapes alone it counts the memory of weights,
gradient and moments, that of what is kept from the way forth for the way back, and the operations of convolutions and
products of matrices both ways (those of an LSTM are not counted). What is needed only for a moment comes on top.
"""

import argparse
import multiprocessing
import platform
import resource
import time
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from epipole.engine.fit import Train, fit
from epipole.geometry.camera import intrinsics
from epipole.systems import load, presets
from epipole.types.views import Views

READINGS = 10       # of the inertial sensor, from one view to the next
BASELINE = 0.5      # m, between views
FORKED = multiprocessing.get_context("fork")  # which need not import everything again


class Size(NamedTuple):
    """A sample."""

    views: int
    width: int
    height: int


SIZES = {
    "garg": Size(2, 620, 188), "eigen": Size(1, 304, 228), "mccnn_fast": Size(2, 1242, 375),
    "mccnn": Size(2, 1242, 375), "posenet": Size(1, 224, 224), "posenet_learned": Size(1, 224, 224),
    "posenet_geometric": Size(1, 224, 224), "reprojection": Size(3, 416, 128), "sfmlearner": Size(3, 416, 128),
    "diw": Size(1, 320, 240), "monodepth": Size(2, 512, 256), "monodepth2": Size(3, 640, 192),
    "sfmnet": Size(2, 384, 128), "sfmnet_camera": Size(2, 384, 128), "sfmnet_depth": Size(2, 384, 128),
    "gordon": Size(2, 416, 128), "gordon_masked": Size(2, 416, 128), "vid2depth": Size(3, 416, 128),
    "flownets": Size(2, 512, 384), "flownetc": Size(2, 512, 384), "dispnet": Size(2, 768, 384),
    "dispnetc": Size(2, 768, 384), "unflow": Size(2, 1152, 320), "fcrn": Size(1, 304, 228),
    "demon": Size(2, 256, 192), "cao": Size(1, 621, 188), "kuznietsov": Size(2, 621, 188),
    "vinet": Size(5, 512, 384), "ddff": Size(10, 552, 383), "gcnet": Size(2, 512, 256),
    "gcnet_reprojection": Size(2, 512, 256), "deepvo": Size(5, 1280, 384),
}


def noise(size: Size) -> Views:
    """One scene whose images are noise, before cameras that move to the right; all that any system reads."""
    maps = (1, size.views, 1, size.height, size.width)
    K = intrinsics(0.8 * size.width, 0.8 * size.width, (size.width - 1) / 2, (size.height - 1) / 2)
    pose = torch.eye(4).repeat(1, size.views, 1, 1)
    pose[0, :, 0, 3] = BASELINE * torch.arange(size.views)
    depth, known = 5 + 5 * torch.rand(maps), torch.ones(maps, dtype=torch.bool)
    K = K.float().expand(1, size.views, 3, 3)
    disparity = K[..., :1, :1, None] * BASELINE / depth
    return Views(
        image=torch.rand(1, size.views, 3, size.height, size.width), K=K, T_world_camera=pose, depth=depth,
        depth_valid=known, flow=shifted(-disparity), flow_valid=known, flow_known=known,
        backward_flow=shifted(disparity), backward_flow_valid=known, occlusion=~known,
        instance=known.long() - 1, disparity=disparity,
        disparity_valid=known, baseline=torch.full((1, size.views), BASELINE),
        imu=torch.randn(1, size.views, READINGS, 6), focus=torch.linspace(1, 10, size.views)[None])


def shifted(u: Tensor) -> Tensor:
    """Flow along the rows."""
    return torch.cat([u, torch.zeros_like(u)], 2)


def step(name: str, threads: int) -> str:
    """One step of this system in this process, as cells of the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    system = load(name)(presets(name)["paper"])
    views = noise(SIZES[name]).keep(system.needs)
    began = time.process_time()
    fit(system, [views], Train(steps=1, device="cpu"))
    seconds = time.process_time() - began
    weights = sum(p.numel() for p in system.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return f"{weights / 1e6:.1f} M | {peak:.2g} GB | {seconds:.1f}"


def counted(name: str) -> str:
    """What one step of this system holds and does, as cells of the table."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage()._cdata] = x.untyped_storage().nbytes()
        return x

    with FakeTensorMode(), FlopCounterMode(display=False) as operations:
        system = load(name)(presets(name)["paper"]).train()
        views, weights = noise(SIZES[name]).keep(system.needs), list(system.parameters())
        try:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
                total = torch.stack(list(system.loss(views).values())).sum()
            total.backward()
        except DataDependentOutputException:
            return "depends on what it sees | – | –"
    own = {p.untyped_storage()._cdata for p in weights}
    held = sum(size for storage, size in kept.items() if storage not in own) / 1024**3
    count = sum(p.numel() for p in weights)
    return (f"{count / 1e6:.1f} M | {16 * count / 1024**3:.2f} + {held:.2f} GB | "
            f"{operations.get_total_flops() / 1e12:.2f}")


def alone(name: str, threads: int) -> str:
    """`step` in a process of its own, and a dash for what the machine could not hold."""
    def told(end: Connection) -> None:
        end.send(step(name, threads))

    here, there = FORKED.Pipe()
    process = FORKED.Process(target=told, args=(there,))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return "failed | – | –"
    finally:
        process.join()


def main() -> None:
    """Runs what is asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, threads: {options.threads}\n\n"
          "| system | a sample: views, px | weights | "
          + ("weights, gradient, moments + kept for the way back | 10^12 operations |" if options.count
             else "peak memory | CPU s |") + "\n|---|---|---|---|---|", flush=True)
    for name in sorted(options.systems or SIZES, key=list(SIZES).index):
        size = SIZES[name]
        told = counted(name) if options.count else alone(name, options.threads)
        print(f"| {name} | {size.views}, {size.width} x {size.height} | {told} |", flush=True)


if __name__ == "__main__":
    main()
