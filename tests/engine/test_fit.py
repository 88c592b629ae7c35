import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from epipole.engine.checkpoint import read_tensors
from epipole.engine.fit import Train, fit, plan, seed_step, signals_held, stream, torch_device
from epipole.engine.log import Log, read_log
from epipole.types.errors import InputError, MissingField, TrainingError
from tests.engine.tiny import Tiny, batches, make

CPU = Train(steps=20, device="cpu", learning_rate=1e-2)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def test_learns():
    system, views = make().eval(), batches(0)
    before = sum(system.loss(views).values())
    fit(system, lambda _: views, Train(steps=100, learning_rate=1e-2, device="cpu"))
    assert sum(system.loss(views).values()) < before / 4
    assert not system.training


def test_one_step_without_clip_or_decay_is_adam():
    a, b = make(), make()
    fit(a, batches, Train(steps=1, learning_rate=0.01, clip=1e9, device="cpu", seed=3, channels_last=False))
    seed_step(3, 0)
    adam = torch.optim.Adam(b.parameters(), 0.01)
    sum(b.loss(batches(0)).values()).backward()
    adam.step()
    assert same(a, b)


def test_hands_over_only_what_the_system_needs():
    seen = []
    fit(make(), batches, Train(steps=1, device="cpu"), on_step=lambda step, batch, terms: seen.append(batch))
    assert set(seen[0].fields()) == Tiny.needs
    with pytest.raises(MissingField):
        fit(make(), lambda step: batches(step).keep({"image"}), CPU)


def test_another_loss_trains_a_stage():
    system = make()
    fit(system, batches, CPU, loss=lambda views: {"push": (system(views).depth - 7).square().mean()})
    assert system(batches(0)).depth.mean() > 1.5


def test_rate_rises_then_decays_to_its_final_share():
    train = Train(steps=101, learning_rate=2.0, warmup=10, final=0.1)
    assert train.rate(0) == pytest.approx(0.2, rel=1e-3)
    assert train.rate(50) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert train.rate(100) == pytest.approx(0.2)
    assert all(train.rate(s) < train.rate(s + 1) for s in range(9))
    assert all(train.rate(s) > train.rate(s + 1) for s in range(10, 100))
    assert Train(learning_rate=0.5).rate(999) == 0.5


def test_clip_bounds_the_gradient():
    norms = []

    def watch(step, batch, terms):
        norms.append(torch.cat([p.grad.flatten() for p in system.parameters()]).norm())

    system = make()
    fit(system, batches, Train(steps=3, clip=1e-3, device="cpu"), on_step=watch)
    assert max(norms) <= 1.0001e-3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_step_and_terms(bad):
    system = make()

    def loss(views):
        third = torch.equal(views.image, batches(3).image)
        return {"fine": system(views).depth.mean(), "broken": torch.tensor(bad if third else 0.0)}

    with pytest.raises(TrainingError, match=r"step 3 .*broken"):
        fit(system, batches, CPU, loss=loss)


def test_a_gradient_that_is_not_finite_stops_and_spares_the_weights():
    system = make()
    last = system.net[4].bias
    before = last.detach().clone()
    with pytest.raises(TrainingError, match="gradient"):  # sqrt has slope inf at 0, and the loss is finite
        fit(system, batches, CPU, loss=lambda views: {"root": (last * 0).sqrt().sum()})
    assert torch.equal(last, before)


def test_a_watcher_stops_a_collapse():
    def watch(step, batch, terms):
        if step == 4:
            raise TrainingError("collapsed")

    with pytest.raises(TrainingError, match="collapsed"):
        fit(make(), batches, CPU, on_step=watch)


def test_same_seed_same_weights_other_seed_other_weights():
    a, b, c = (fit(make(), batches, Train(steps=5, seed=seed, device="cpu")) for seed in (1, 1, 2))
    assert same(a, b)
    assert not same(a, c)  # by dropout alone: the batches are the same


def test_random_numbers_of_a_step_do_not_recur_in_another():
    drawn = set()
    for seed in range(3):
        for step in range(50):
            seed_step(seed, step)
            drawn.add(float(torch.rand(1, dtype=torch.float64)))
    assert len(drawn) == 150


class Shuffled:
    """An iterable of 6 batches in an order drawn from the global generator."""

    def __iter__(self):
        yield from (batches(int(i)) for i in torch.randperm(6))


@pytest.mark.parametrize("data", [batches, Shuffled()], ids=["function of the step", "iterable"])
@pytest.mark.parametrize("layout", [False, True], ids=["", "channels_last"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, data, layout):
    train = Train(steps=20, learning_rate=1e-2, device="cpu", warmup=3, final=0.1, channels_last=layout, bf16=layout,
                  checkpoint_every_seconds=0.0)

    def stop(step, batch, terms):
        if step in cuts:
            cuts.remove(step)
            raise TrainingError("stop")

    cuts = [1, 7, 8, 19]
    for _ in range(4):
        with pytest.raises(TrainingError):
            fit(make(), data, train, checkpoint=tmp_path / "c", on_step=stop)
    resumed = fit(make(), data, train, checkpoint=tmp_path / "c")
    assert same(resumed, fit(make(), data, train))


def test_an_iterable_is_begun_again_and_an_empty_one_refused():
    three = [batches(i) for i in range(3)]
    drawn = [b.image for b in stream(three, 0, 0, 7)]
    assert all(torch.equal(x, three[i % 3].image) for i, x in enumerate(drawn))
    with pytest.raises(InputError):
        list(stream(iter(three), 0, 0, 4))


def test_other_settings_and_foreign_files_are_not_resumed(tmp_path):
    fit(make(), batches, CPU, checkpoint=tmp_path / "c")
    with pytest.raises(InputError):
        fit(make(), batches, Train(steps=30, device="cpu"), checkpoint=tmp_path / "c")
    (tmp_path / "d").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError):
        fit(make(), batches, CPU, checkpoint=tmp_path / "d")


def test_a_finished_training_comes_back_without_a_step(tmp_path):
    a = fit(make(), batches, CPU, checkpoint=tmp_path / "c")
    assert same(a, fit(make(1), lambda step: pytest.fail("drew a batch"), CPU, checkpoint=tmp_path / "c"))


def test_logs_every_nth_and_the_last_step(tmp_path):
    fit(make(), batches, Train(steps=12, log_every=5, device="cpu"), log=Log(tmp_path / "log.jsonl", "learn"))
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [0, 5, 10, 11]
    assert all(set(line["loss"]) == {"depth", "worst"} for line in lines)


def test_bf16_networks_learn_too():
    system, views = make().eval(), batches(0)
    before = sum(system.loss(views).values())
    fit(system, lambda _: views, Train(steps=60, learning_rate=1e-2, device="cpu", bf16=True, channels_last=True))
    assert sum(system.loss(views).values()) < before / 3
    assert system.net[0].weight.dtype == torch.float32


def test_plan_turns_a_budget_into_steps_and_leaves_the_weights():
    system, untouched = make(), make()

    def slow(step):
        time.sleep(0.02)
        return batches(step)

    planned = plan(system, slow, Train(seconds=4.0, device="cpu"))
    assert same(system, untouched)
    assert planned.seconds is None
    assert 50 < planned.steps <= 0.97 * 4 / 0.02
    assert plan(system, slow, CPU) == CPU
    with pytest.raises(ValueError, match="plan"):
        fit(system, batches, Train(seconds=4.0))


def test_unknown_device_is_refused():
    assert torch_device("cpu").type == "cpu"
    with pytest.raises(InputError):
        torch_device("abacus")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_then_checkpoints_and_is_passed_on(tmp_path, number):
    heard, old = [], signal.getsignal(number)
    signal.signal(number, lambda n, _: heard.append(n))

    def shoot(step, batch, terms):
        if step == 4:
            os.kill(os.getpid(), number)

    try:
        with pytest.raises(KeyboardInterrupt):
            fit(make(), batches, CPU, checkpoint=tmp_path / "c", on_step=shoot)
    finally:
        signal.signal(number, old)
    assert heard == [number]
    assert read_tensors(tmp_path / "c")[1]["step"] == "5"
    assert same(fit(make(), batches, CPU, checkpoint=tmp_path / "c"), fit(make(), batches, CPU))


def test_a_second_signal_interrupts_at_once():
    with signals_held() as held:
        os.kill(os.getpid(), signal.SIGINT)
        assert held == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_trains_in_another_thread():
    out = []
    thread = threading.Thread(target=lambda: out.append(fit(make(), batches, CPU)))
    thread.start()
    thread.join()
    assert same(out[0], fit(make(), batches, CPU))


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from epipole.engine.checkpoint import write_tensors
from epipole.engine.fit import Train, fit
from epipole.engine.log import Log
from tests.engine.tiny import batches, make

def train(out, begun, kill_after, kill_delay):
    def shoot(step, batch, terms):
        if not begun.exists():
            begun.write_text(str(step))
        if step == int(begun.read_text()) + kill_after and os.fork() == 0:
            time.sleep(kill_delay)
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(0)

    settings = Train(steps=150, learning_rate=1e-2, device="cpu", checkpoint_every_seconds=0.0, log_every=7)
    system = fit(make(), batches, settings, log=Log(out / "log.jsonl"), checkpoint=out / "checkpoint", on_step=shoot)
    write_tensors(out / "weights", system.state_dict(), {})

for turn, kill in enumerate(sys.argv[2:]):
    if (child := os.fork()) == 0:  # a process of its own; only the imports are shared
        after, delay = kill.split(",")
        train(Path(sys.argv[1]), Path(sys.argv[1], f"begun{turn}"), int(after), float(delay))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_at_random_moments_and_rerun_ends_bit_equal(tmp_path):
    """SIGKILL may fall anywhere: into a step, into the writing of a checkpoint, into a line of the log."""
    dice = random.Random(5)
    kills = [f"{dice.randrange(1, 20)},{0.01 * dice.random()}" for _ in range(5)]
    out = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), *kills, "1000,0"], check=True, text=True,
                         cwd=Path(__file__).parents[2], stdout=subprocess.PIPE).stdout
    assert [int(code) for code in out.split()] == [-signal.SIGKILL] * 5 + [0]
    begun = [int((tmp_path / f"begun{turn}").read_text()) for turn in range(6)]
    assert begun[0] == 0
    assert all(a < b for a, b in pairwise(begun)), "each run went on from where the last was killed"
    whole = fit(make(), batches, Train(steps=150, learning_rate=1e-2, device="cpu")).state_dict()
    resumed = load_file(tmp_path / "weights")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == sorted({*range(0, 150, 7), 149})
