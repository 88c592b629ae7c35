"""The options of the commands that train systems of the table of contents, or look into them."""

from __future__ import annotations

import argparse
from pathlib import Path

from .option_types import count, intrinsics, natural, out, pixel, positive, seeded, share, words


def train(sub: argparse.ArgumentParser) -> None:
    """Of `epipole train`."""
    sub.add_argument("system", metavar="SYSTEM", help="a name that `epipole list` shows")
    sub.add_argument("--data", required=True, nargs="+", metavar="FOOTAGE",
                     help="plain folder, folder of pairs (left/, right/), video, scenes of a world such as "
                     "`room:0-7`, or `world`: a procedural room; of several, each is shown as often as the others")
    sub.add_argument("--preset", default="small", help="size of the network (default: small)")
    sub.add_argument("--steps", type=count, default=1000, metavar="N", help="training steps (default: 1000)")
    sub.add_argument("--frames", type=count, metavar="N",
                     help="length of a clip (default: 3) or of a focal stack (default: what the preset asks for)")
    sub.add_argument("--gap", type=count, default=1, metavar="N",
                     help="frames from one of a clip to the next (default: 1)")
    sub.add_argument("--width", type=count, default=256, metavar="PX", help="of the images (default: 256)")
    pace(sub, None, "2e-4; with --staged that of the paper's first stage")
    sub.add_argument("--augment", action="store_true",
                     help="show every sample through another window under another light each time; flow and stereo")
    sub.add_argument("--staged", action="store_true",
                     help="train in the stages of the paper, where it has some; they share the steps")
    sub.add_argument("--bf16", action="store_true",
                     help="networks compute in bfloat16, in half the time or less where the processor knows it")
    sub.add_argument("--intrinsics", type=intrinsics, metavar="K",
                     help="file with the 3x3 matrix, or fx,fy,cx,cy in pixels of the footage (default: the folder's)")
    out(sub, "folder of the results (default: runs/<SYSTEM>)")
    seeded(sub)


def pace(sub: argparse.ArgumentParser, rate: float | None, usual: str) -> None:
    """How much a step learns from, and how fast: `rate` where nobody says, which is `usual` in words."""
    sub.add_argument("--batch", type=count, default=4, metavar="N", help="samples a step (default: 4)")
    sub.add_argument("--rate", type=positive, default=rate, metavar="R",
                     help=f"learning rate; of the first stage, if there are several (default: {usual})")
    sub.add_argument("--final", type=share, default=1.0, metavar="S",
                     help="share of it that is left at the end, after a cosine (default: 1)")


def bench(sub: argparse.ArgumentParser) -> None:
    """Of `epipole bench`."""
    sub.add_argument("field", metavar="FIELD", choices=("depth", "focus", "motion", "pose", "stereo", "flow"),
                     help="depth, focus, motion, pose, stereo or flow")
    sub.add_argument("systems", metavar="SYSTEM", nargs="*",
                     help="names that `epipole list` shows, or NAME:PRESET (default: all of the field that --train "
                     "can teach)")
    sub.add_argument("--train", nargs="+", default=("room:0-7",), metavar="DATA",
                     help="scenes of a world, plain folder, folder of pairs, or video; `@0-799` behind it picks "
                     "frames; of several, each is shown as often as the others (default: room:0-7)")
    sub.add_argument("--test", nargs="+", default=("room:100-103",), metavar="DATA",
                     help="the same with known truth, a table for each (default: room:100-103)")
    sub.add_argument("--preset", default="small", help="size of the networks (default: small)")
    budget = sub.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=count, default=1000, metavar="N", help="steps a training (default: 1000)")
    budget.add_argument("--minutes", type=positive, metavar="M", help="minutes a training, in place of steps")
    sub.add_argument("--seeds", type=count, default=3, metavar="N", help="trainings a system (default: 3)")
    sub.add_argument("--frames", type=count, metavar="N",
                     help="length of a clip or focal stack (default: 3; focus 5, pose 1, flow 2)")
    sub.add_argument("--gap", type=count, default=1, metavar="N",
                     help="frames from one of a clip to the next (default: 1)")
    sub.add_argument("--width", type=count, default=128, metavar="PX", help="of training images (default: 128)")
    sub.add_argument("--test-width", type=natural, metavar="PX",
                     help="of test images; 0: as they are (default: as in training)")
    sub.add_argument("--spoil", nargs="+", default=(), choices=("dark", "blur"), metavar="HOW",
                     help="judge on worse test images, too, a table for each: dark, blur")
    sub.add_argument("--colmap", action="store_true", help="motion: COLMAP beside the baselines (needs pycolmap)")
    sub.add_argument("--world-frames", type=count, default=64, metavar="N", help="length of a world (default: 64)")
    pace(sub, 2e-4, "2e-4")
    sub.add_argument("--augment", action="store_true", help="as for train; flow and stereo")
    sub.add_argument("--staged", action="store_true", help="as for train; those that have stages")
    sub.add_argument("--bf16", action="store_true", help="as for train")
    out(sub, "folder of the results (default: runs/bench-<FIELD>)")
    sub.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")


def saliency(sub: argparse.ArgumentParser) -> None:
    """Of `epipole saliency`."""
    sub.add_argument("model", type=Path, metavar="MODEL", help="model.safetensors of a training, or its folder")
    sub.add_argument("data", metavar="PAIRS", help="folder of rectified pairs (left/, right/), or scenes of a world")
    sub.add_argument("--pair", type=natural, default=0, metavar="N", help="which of them (default: 0)")
    sub.add_argument("--at", type=pixel, metavar="X,Y", help="of the left image as shown (default: its middle)")
    sub.add_argument("--width", type=count, default=256, metavar="PX", help="of the images (default: 256)")
    sub.add_argument("-o", "--out", type=Path, metavar="FILE",
                     help="the page to write (default: saliency.html beside the model)")


def predict(sub: argparse.ArgumentParser) -> None:
    """Of `epipole predict`."""
    sub.add_argument("model", metavar="MODEL",
                     help="folder of `epipole train` or of a bench's cell, or what learned nothing: SGM (disparity), "
                     "DIS (flow)")
    sub.add_argument("data", metavar="DATA",
                     help="folder of pairs (left/ and right/, or first/ and second/), plain folder, video, or scenes "
                     "of a world, as for train")
    out(sub, "folder to write, a new or empty one (required)", required=True)
    sub.add_argument("--width", type=natural, metavar="PX",
                     help="of the images that the model sees; 0: as they are, as is usual for SGM and DIS (default: as "
                     "in training)")
    sub.add_argument("--intrinsics", type=intrinsics, metavar="K",
                     help="file with the 3x3 matrix, or fx,fy,cx,cy in pixels of the footage (default: the folder's)")
    sub.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")


def pretrain(sub: argparse.ArgumentParser) -> None:
    """Of `epipole pretrain`."""
    out(sub, "folder of the weights (default: runs/pretrain)")
    sub.add_argument("--worlds", type=words, default=("room",), metavar="A,B", help="families (default: room)")
    sub.add_argument("--scenes", type=count, default=400, metavar="N", help="to render, 6 views each (default: 400)")
    sub.add_argument("--minutes", type=positive, default=20.0, metavar="M", help="of learning (default: 20)")
    sub.add_argument("--steps", type=count, metavar="N", help="training steps instead of minutes")
    seeded(sub)
