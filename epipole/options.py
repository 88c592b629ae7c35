"""The commands and options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import epipole

from . import options_training as training
from .option_types import board, count, distance, finite, intrinsics, number_or_file, out, positive, seed, seeded, words


def build_parser() -> argparse.ArgumentParser:
    """The parser; `command` is the command's name, or None where none was given."""
    parser = argparse.ArgumentParser(
        prog="epipole", description="Learn depth, camera path and a 3-D map from your own video, without labels.")
    parser.add_argument("--version", action="version", version=f"epipole {epipole.__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    _learn(command("learn", "learn depth, camera path and map of a clip; interrupted, it goes on"))
    _inspect(command("inspect", "say what the footage is like, before any learning"))
    _judge(command("judge", "score a run against the truth"))
    _scale(command("scale", "give a finished run metres, from one thing that is known"))
    _mesh(command("mesh", "fuse the depth of a finished run into a coloured mesh"))
    _calibrate(command("calibrate", "find a camera's intrinsics from footage of a chessboard"))
    _slam(command("slam", "see a clip frame by frame by CNN-SLAM, with the depth of a trained network"))
    _show(command("show", "open the report of a run in the browser, or the run itself in 3-D"))
    training.train(command("train", "train a system of the table of contents"))
    training.bench(command("bench", "train systems for equal budgets, judge them and baselines on the same data"))
    training.predict(command("predict", "write the depth, disparity or flow that a trained system or SGM or DIS sees"))
    training.saliency(command("saliency", "show what a trained stereo network looks at"))
    command("list", "list the systems, their papers and presets")
    _demo(command("demo", "render a clip, learn it in three minutes, and judge it against its own truth"))
    _world(command("world", "render a procedural world with exact truth"))
    training.pretrain(command("pretrain", "teach the network of `learn` a start on rendered worlds"))
    return parser


def _learn(sub: argparse.ArgumentParser) -> None:
    _clip(sub)
    out(sub, "folder of the results (default: runs/<name of the clip>)")
    sub.add_argument("--minutes", type=positive, default=10.0, metavar="M", help="learning budget (default: 10)")
    sub.add_argument("--steps", type=count, metavar="N",
                     help="training steps instead of a budget: the same command then gives the same bits")
    sub.add_argument("--intrinsics", type=intrinsics, metavar="K",
                     help="camera.yaml of `epipole calibrate` (a lens that bends is straightened), cameras.txt, "
                     "transforms.json, a file with the 3x3 matrix, or fx,fy,cx,cy in pixels of the clip (default: "
                     "estimated)")
    sub.add_argument("--rolling-shutter", type=positive, default=0.0, metavar="SHARE",
                     help="share of a frame's time that the camera takes to read its rows from top to bottom, such as "
                     "0.5 (default: all rows are taken at once)")
    start = sub.add_mutually_exclusive_group()
    start.add_argument("--start", default="shipped", help="weights of `epipole pretrain` (default: the package's)")
    start.add_argument("--from-scratch", action="store_const", const=None, dest="start", help="begin with no weights")
    sub.add_argument("--truth", type=Path, metavar="FOLDER", help="plain folder to judge the result against")
    sub.add_argument("--scale", metavar="SPEC",
                     help="what is known in metres, as for `epipole scale`: height=M, distance=FRAME,X1,Y1,X2,Y2,M, "
                     "poses=FILE, speed=V, gps=FILE, imu=FILE or stereo=FOLDER,baseline=M (default: nothing, the run "
                     "is up to scale)")
    seeded(sub)


def _inspect(sub: argparse.ArgumentParser) -> None:
    _clip(sub)
    sub.add_argument("--intrinsics", type=intrinsics, metavar="K",
                     help="the camera, as for learn: of a lens that bends the straightened clip is looked at")
    sub.add_argument("--json", action="store_true", help="print every measurement as JSON")


def _judge(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that `epipole learn` or `epipole train` wrote")
    sub.add_argument("--truth", type=Path, metavar="FOLDER", required=True,
                     help="plain folder: images, and as far as known intrinsics.txt, poses.txt, depth/ or "
                          "sparse_depth.npz; for a trained system any DATA of the bench, and judged as there")
    scalings = ("median", "ratio", "global", "none", "least_squares", "affine", "affine_inverse")
    sub.add_argument("--scaling", choices=scalings, default="median",
                     help="of depth: every image by its median, or the median ratio, all images alike, none, or every "
                     "image by least squares (affine: with a shift, too) (default: median)")
    sub.add_argument("--crop", choices=("none", "garg", "eigen", "nyu"), default="none",
                     help="part of the image whose depth counts (default: none, all of it)")
    sub.add_argument("--cap", type=positive, default=float("inf"), metavar="M",
                     help="true depth from here on does not count (default: none)")
    sub.add_argument("--alignment", choices=("sim3", "se3", "scale", "none"), default="sim3",
                     help="of the path to the true one (default: sim3)")
    sub.add_argument("--json", action="store_true", help="print a list of {name, value, unit, protocol}")


def _scale(sub: argparse.ArgumentParser) -> None:
    sub.usage = ("epipole scale [-h] RUN (--height M | --distance FRAME,X1,Y1,X2,Y2,M | --poses FILE |\n"
                 "    --speed V | --gps FILE | --imu FILE | --stereo FOLDER --baseline M)\n"
                 "    [--start S] [--clip CLIP] [--fps N]")  # argparse does not break what excludes each other
    _run(sub)
    known = sub.add_mutually_exclusive_group(required=True)
    known.add_argument("--height", type=positive, metavar="M", help="of the camera above the ground it sees")
    known.add_argument("--distance", type=distance, metavar="FRAME,X1,Y1,X2,Y2,M",
                       help="between what two pixels of a frame show (pixels of the footage, frames from 0)")
    known.add_argument("--poses", type=Path, metavar="FILE",
                       help="where the camera was, in metres: KITTI, TUM, `t x y z` (t in s) or `x y z` a line")
    known.add_argument("--speed", type=number_or_file, metavar="V", help="m/s, or file of lines `t v` (s, m/s)")
    known.add_argument("--gps", type=Path, metavar="FILE", help="GPX, NMEA, or lines `t lat lon [alt]` (s, degrees, m)")
    known.add_argument("--imu", type=Path, metavar="FILE",
                       help="lines `t wx wy wz ax ay az` (s, rad/s, m/s^2), as imu.csv of `epipole world --truth imu`; "
                       "in the camera's axes, or with T_camera_imu.txt (4x4) beside it")
    known.add_argument("--stereo", type=Path, metavar="FOLDER",
                       help="the right camera's images, rectified with the footage; needs --baseline")
    sub.add_argument("--baseline", type=positive, metavar="M", help="between the cameras of --stereo")
    sub.add_argument("--start", type=finite, metavar="S",
                     help="what the clock of --gps or --imu shows at the first frame, s; that of GPX and NMEA begins "
                     "with the first fix (default: 0)")
    sub.add_argument("--clip", type=Path, metavar="CLIP",
                     help="the run's footage, which --stereo reads, where it is no longer where it was")
    sub.add_argument("--fps", type=positive, metavar="N", help="frames per second of a folder of images")


def _mesh(sub: argparse.ArgumentParser) -> None:
    _run(sub)
    sub.add_argument("--clip", type=Path, metavar="CLIP", help="the run's footage, where it is no longer where it was")
    sub.add_argument("--voxel", type=positive, metavar="SIZE",
                     help="in the run's unit (default: 0.012 typical depths; doubled where memory does not suffice)")


def _calibrate(sub: argparse.ArgumentParser) -> None:
    _clip(sub)
    sub.add_argument("--board", type=board, required=True, metavar="9x6",
                     help="inner corners of the chessboard, where four squares meet")
    sub.add_argument("--square", type=positive, default=1.0, metavar="M",
                     help="side of a square; intrinsics do not depend on it (default: 1)")
    sub.add_argument("--lens", choices=("auto", "perspective", "fisheye"), default="auto",
                     help="perspective: pinhole or Brown-Conrady, whichever suffices (default: auto)")
    out(sub, "folder for camera.yaml (OpenCV), cameras.txt (COLMAP), intrinsics.txt (default: runs/<CLIP>-camera)")


def _slam(sub: argparse.ArgumentParser) -> None:
    _clip(sub)
    sub.add_argument("--model", type=Path, required=True, metavar="RUN",
                     help="folder that `epipole learn` wrote, or a model.safetensors that tells depth from one image")
    sub.add_argument("--intrinsics", type=intrinsics, metavar="K",
                     help="file with the 3x3 matrix, or fx,fy,cx,cy in pixels of the clip (default: the RUN's camera)")
    out(sub, "folder of the results (default: runs/<name of the clip>-slam)")
    sub.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")


def _show(sub: argparse.ArgumentParser) -> None:
    _run(sub)
    sub.add_argument("--no-browser", action="store_true", help="only print where the report or the page is")
    sub.add_argument("--figure", type=Path, metavar="FILE",
                     help="write one still picture instead, .png, .jpg, .webp, .pdf or .svg: frames, depth, "
                          "uncertainty, path and map")
    sub.add_argument("--live", action="store_true",
                     help="serve a page to turn the run in 3-D, on this machine alone, until interrupted (needs viser)")
    sub.add_argument("--port", type=count, default=8080, metavar="N", help="of the live page (default: 8080)")





def _demo(sub: argparse.ArgumentParser) -> None:
    out(sub, "folder of the results (default: runs/demo)")
    seeded(sub)


def _world(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("family", metavar="FAMILY",
                     help="kind of world: room, objects, tabletop, faces, street, flying, chairs; drawn flat: shapes, "
                     "digits, slopes; or the world.yaml of a clip, to make it again")
    out(sub, "folder to write (required)", required=True)
    sub.add_argument("--layout", choices=("plain", "kitti", "tartanair"), default="plain",
                     help="of the files; kitti and tartanair are in stereo (default: plain)")
    sub.add_argument("--truth", type=words, default=(), metavar="A,B",
                     help="further truth in a plain folder, any of normals, semantic, instance, flow, backward_flow, "
                     "disparity, focus, scene, imu")
    sub.add_argument("--mesh", type=Path, metavar="FILE", help="also write the geometry, as .ply or .glb")
    sub.add_argument("--frames", type=count, metavar="N", help="length of the clip (default: 160)")
    sub.add_argument("--seed", type=seed, metavar="S", help="another seed, another world (default: 0)")
    sub.add_argument("--difficulty", type=int, choices=range(4),
                     help="0: little in it, evenly lit; 3: crowded, bare and shining surfaces (default: 1)")
    sub.add_argument("--motion", metavar="M", help="of the camera: handheld, drive, drone, orbit, rotation, static "
                     "(default: the family's own)")
    sub.add_argument("--width", type=count, metavar="PX", help="of the images (default: 192; of drawn ones less)")
    sub.add_argument("--height", type=count, metavar="PX", help="of the images (default: 144; of drawn ones less)")
    sub.add_argument("--workers", type=count, default=1, metavar="N",
                     help="processes; the files are the same for any number (default: 1)")



def _clip(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("clip", type=Path, metavar="CLIP", help="video file, or folder of images")


def _run(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that `epipole learn` wrote")
