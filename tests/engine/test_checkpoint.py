import resource
from pathlib import Path

import pytest
import torch

from epipole.engine.checkpoint import (
    decided_once,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_bytes,
    write_tensors,
)
from epipole.types.errors import InputError
from tests.engine.tiny import make


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # as on a disk with 10 kB left
    try:
        with pytest.raises(InputError) as e:
            write_tensors(tmp_path / "a", {"x": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "a") in str(e.value)
    assert "\n" not in str(e.value)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert files(tmp_path) == {"a"}


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        write_bytes(tmp_path / "file" / "a", b"")
    with pytest.raises(InputError):
        write_bytes(Path("/proc/none/a"), b"")


def test_tensors_come_back_whatever_their_layout(tmp_path):
    x = torch.randn(2, 3, 4, 5)
    tensors = {"plain": x, "turned": x.permute(3, 1, 0, 2), "last": x.to(memory_format=torch.channels_last),
               "shared": x, "bytes": torch.arange(5, dtype=torch.uint8), "half": x.bfloat16(), "one": torch.tensor(3.0)}
    write_tensors(tmp_path / "t", tensors, {"note": "größe"})
    back, metadata = read_tensors(tmp_path / "t")
    assert metadata == {"note": "größe"}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    metadata = {f"key {i}": "ü" * i for i in range(12)}
    for i in range(4):
        write_tensors(tmp_path / f"{i}", {"x": torch.arange(7.0), "y": torch.zeros(3, 2).bool()}, metadata)
        metadata = dict(reversed(metadata.items()))
        back, said = read_tensors(tmp_path / f"{i}")
        assert said == metadata
        assert torch.equal(back["x"], torch.arange(7.0))
    assert len({(tmp_path / f"{i}").read_bytes() for i in range(4)}) == 1


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04pickle" * 9])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError):
        read_tensors(tmp_path / "f")
    with pytest.raises(InputError):
        read_tensors(tmp_path / "absent")


def test_what_was_decided_once_stands(tmp_path):
    answers = iter([{"steps": 3}, {"steps": 4}])
    assert decided_once(tmp_path / "d", lambda: next(answers)) == {"steps": 3}
    assert decided_once(tmp_path / "d", lambda: next(answers)) == {"steps": 3}
    (tmp_path / "d").write_text("{")
    with pytest.raises(InputError):
        decided_once(tmp_path / "d", lambda: next(answers))


def trained(seed: int = 0):
    system = make(seed)
    optimiser = torch.optim.AdamW(system.parameters())
    for _ in range(2):
        optimiser.zero_grad()
        system.net(torch.rand(1, 3, 8, 8)).sum().backward()
        optimiser.step()
    return system, optimiser


def test_a_checkpoint_restores_weights_buffers_moments_and_step(tmp_path):
    system, optimiser = trained(0)
    save_checkpoint(tmp_path / "c", system, optimiser, 2, "s")
    other, its = trained(1)
    assert load_checkpoint(tmp_path / "c", other, its, "s") == 2
    for name, value in system.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    a, b = optimiser.state_dict()["state"], its.state_dict()["state"]
    assert all(torch.equal(a[i][key], b[i][key]) for i in a for key in ("step", "exp_avg", "exp_avg_sq"))
    assert len(b) == len(list(system.parameters()))


def test_no_checkpoint_is_step_zero_and_a_foreign_one_refused(tmp_path):
    system, optimiser = trained()
    assert load_checkpoint(tmp_path / "c", system, optimiser, "s") == 0
    save_checkpoint(tmp_path / "c", system, optimiser, 2, "s")
    with pytest.raises(InputError):
        load_checkpoint(tmp_path / "c", system, optimiser, "other settings")
    other = torch.nn.Linear(2, 2)
    with pytest.raises(InputError):
        load_checkpoint(tmp_path / "c", other, torch.optim.AdamW(other.parameters()), "s")
    write_tensors(tmp_path / "w", dict(system.state_dict()), {})
    with pytest.raises(InputError):
        load_checkpoint(tmp_path / "w", system, optimiser, "s")
