"""Bundle adjustment (geometry.bundle) beside gtsam's and scipy's on one synthetic problem, in one process.

    python benchmarks/bundle.py [--cameras 100] [--points 5000] [--iterations 30] [--only ours gtsam scipy]

Cameras in a row, each with its share of the points, which its eight neighbours see too; noise of 0.25 px, one
observation in ten wrong by 10 px; Cauchy's loss, the first two poses held. Seconds are of the processor, with one
thread, for so many steps of Levenberg-Marquardt (scipy: trust region) at most from the same start; `off` is the ATE
after Sim(3), in thousandths of the distance between neighbours, `cost` the mean loss of an observation when the points
are the best for those cameras. scipy finds its Jacobian, whose zeros it is told, by differences. gtsam comes with
epipole[test].
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix
from torch import Tensor

from epipole.geometry.anchors import Edges, Scene, rays, residuals
from epipole.geometry.bundle import bundle_adjust
from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.judges.motion import ate

F64, SIGMA, STEP, NEIGHBOURS = torch.float64, 0.25, 0.1, 4
ENOUGH = 1e-7  # share by which the cost has to fall in a step


def planted(cameras: int, points: int) -> tuple[Scene, Scene, Edges, Tensor]:
    """The truth, where solving starts, what was seen, and the anchors' pixels."""
    g = torch.Generator().manual_seed(0)
    grain = torch.randn(cameras, 6, generator=g, dtype=F64)
    twist = 0.02 * grain
    twist[:, 0] -= STEP * torch.arange(cameras)
    pixels = torch.rand(points // cameras, 2, generator=g, dtype=F64) * torch.tensor([160, 128])
    depth = 1 + 3 * torch.rand(cameras, len(pixels), generator=g, dtype=F64)
    true = Scene(se3_exp(twist), 1 / depth, intrinsics(130.0, 130.0, 79.5, 63.5))
    near = [(i, j) for i in range(cameras) for j in range(i - NEIGHBOURS, i + NEIGHBOURS + 1)
            if j != i and 0 <= j < cameras]
    source, target = torch.tensor(near).T
    edges = Edges(source, target, torch.zeros(len(near), len(pixels), 2, dtype=F64),
                  torch.ones(len(near), len(pixels), dtype=F64))
    seen, front = residuals(true, edges, pixels)
    off = torch.where(torch.rand(seen.shape[:2], generator=g)[..., None] < 0.1, 10.0, SIGMA)
    edges = edges._replace(observed=seen + off * torch.randn(seen.shape, generator=g, dtype=F64), weight=front.to(F64))
    wrong = 0.01 * torch.randn(cameras, 6, generator=g, dtype=F64)
    wrong[:2] = 0
    far = torch.exp(0.1 * torch.randn(depth.shape, generator=g, dtype=F64))
    return true, true._replace(T_camera_world=se3_exp(wrong) @ true.T_camera_world, inverse_depth=far / depth), edges, \
        pixels


def ours(start: Scene, edges: Edges, pixels: Tensor, iterations: int) -> tuple[float, Tensor]:
    """Seconds, and the path."""
    held, began = torch.arange(len(start.T_camera_world)) < 2, time.process_time()
    solved = bundle_adjust(start, edges, pixels, fixed=held, iterations=iterations, sigma=SIGMA, tolerance=ENOUGH,
                           damping=1e-8, settle=1)
    return time.process_time() - began, se3_inverse(solved.scene.T_camera_world)


def by_gtsam(start: Scene, edges: Edges, pixels: Tensor, iterations: int) -> tuple[float, Tensor]:
    """The same by factors and multifrontal elimination; a point's own pixel is an observation of 0.01 px."""
    import gtsam

    camera = gtsam.Cal3_S2(130.0, 130.0, 0.0, 79.5, 63.5)
    exact = gtsam.noiseModel.Isotropic.Sigma(2, 0.01)
    robust = gtsam.noiseModel.Robust.Create(gtsam.noiseModel.mEstimator.Cauchy.Create(1.0),
                                            gtsam.noiseModel.Isotropic.Sigma(2, SIGMA))
    graph, values, m = gtsam.NonlinearFactorGraph(), gtsam.Values(), len(pixels)
    T = se3_inverse(start.T_camera_world)
    local = rays(pixels, start.K) / start.inverse_depth[..., None]
    world = torch.einsum("nab,nmb->nma", T[:, :3, :3], local) + T[:, None, :3, 3]
    for i in range(len(T)):
        values.insert(i, gtsam.Pose3(T[i].numpy()))
        if i < 2:
            graph.add(gtsam.PriorFactorPose3(i, values.atPose3(i), gtsam.noiseModel.Isotropic.Sigma(6, 1e-6)))
        for k in range(m):
            values.insert(10**6 + i * m + k, world[i, k].numpy())
            graph.add(gtsam.GenericProjectionFactorCal3_S2(pixels[k].numpy(), exact, i, 10**6 + i * m + k, camera))
    for i, j, at, weight in zip(*edges, strict=True):
        for k in torch.nonzero(weight)[:, 0].tolist():
            point = 10**6 + int(i) * m + k
            graph.add(gtsam.GenericProjectionFactorCal3_S2(at[k].numpy(), robust, int(j), point, camera))
    how = gtsam.LevenbergMarquardtParams()
    how.setMaxIterations(iterations)
    how.setRelativeErrorTol(ENOUGH)
    how.setAbsoluteErrorTol(0)
    optimiser, began = gtsam.LevenbergMarquardtOptimizer(graph, values, how), time.process_time()
    found = optimiser.optimize()
    return time.process_time() - began, torch.stack([torch.tensor(found.atPose3(i).matrix()) for i in range(len(T))])


def by_scipy(start: Scene, edges: Edges, pixels: Tensor, iterations: int) -> tuple[float, Tensor]:
    """The same unknowns as ours, all at once, by LSMR."""
    n, m = start.inverse_depth.shape

    def moved(x: np.ndarray) -> Scene:
        twists, far = torch.from_numpy(x).split([6 * (n - 2), n * m])
        twists = torch.cat([torch.zeros(2, 6, dtype=F64), twists.view(-1, 6)])
        return start._replace(T_camera_world=se3_exp(twists) @ start.T_camera_world,
                              inverse_depth=start.inverse_depth * far.view(n, m).exp())

    def whitened(x: np.ndarray) -> np.ndarray:
        r = residuals(moved(x), edges, pixels)[0] / SIGMA
        s = r.square().sum(-1, keepdim=True).clamp(min=1e-12)
        return (r * (torch.log1p(s) / s).sqrt() * edges.weight[..., None]).flatten().numpy()

    row = np.arange(2 * edges.weight.numel()).reshape(len(edges.source), m, 2)
    frames = [np.broadcast_to(6 * (f.numpy()[:, None, None, None] - 2) + np.arange(6), (*row.shape, 6))
              for f in (edges.source, edges.target)]
    own = 6 * (n - 2) + edges.source.numpy()[:, None] * m + np.arange(m)
    column = np.concatenate([*frames, np.broadcast_to(own[..., None, None], (*row.shape, 1))], -1)
    rows = np.broadcast_to(row[..., None], column.shape)
    real = column >= 0
    pattern = csr_matrix((np.ones(real.sum()), (rows[real], column[real])), (row.size, 6 * (n - 2) + n * m))
    began = time.process_time()
    found = least_squares(whitened, np.zeros(pattern.shape[1]), jac_sparsity=pattern, x_scale="jac", ftol=ENOUGH,
                          max_nfev=iterations)
    return time.process_time() - began, se3_inverse(moved(found.x).T_camera_world)


SOLVERS: dict[str, Callable[..., tuple[float, Tensor]]] = {"ours": ours, "gtsam": by_gtsam, "scipy": by_scipy}


def main() -> None:
    """Prints a line for every solver."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("cameras", 100), ("points", 5000), ("iterations", 30)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--only", nargs="+", choices=SOLVERS, default=[*SOLVERS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    true, start, edges, pixels = planted(options.cameras, options.points)
    path = se3_inverse(true.T_camera_world).numpy()

    def off(found: Tensor) -> float:
        return ate(found.numpy(), path) / STEP * 1e3

    print(f"{int(edges.weight.sum())} observations; at the start off by {off(se3_inverse(start.T_camera_world)):.1f}")
    for name in options.only:
        seconds, found = SOLVERS[name](start, edges, pixels, options.iterations)
        there = start._replace(T_camera_world=se3_inverse(found))
        every = torch.ones(len(found), dtype=torch.bool)
        cost = bundle_adjust(there, edges, pixels, fixed=every, iterations=40, sigma=SIGMA, tolerance=0.0).cost
        print(f"{name}: {seconds:.2f} s, off by {off(found):.1f}, cost {cost:.4f}", flush=True)


if __name__ == "__main__":
    main()
