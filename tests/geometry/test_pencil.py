"""Cubics and singular members of pencils."""

import numpy as np
import pytest
import torch

from epipole.geometry.pencil import cofactor, real_roots, singular_members

F64 = torch.float64


def test_cofactor_of_regular_and_singular_matrices(generator):
    M = torch.randn(20, 3, 3, generator=generator, dtype=F64)
    torch.testing.assert_close(cofactor(M), torch.linalg.det(M)[:, None, None] * torch.linalg.inv(M).mT)
    a, b = torch.randn(2, 3, generator=generator, dtype=F64)
    torch.testing.assert_close(cofactor(a[:, None] * b), torch.zeros(3, 3, dtype=F64), atol=1e-14, rtol=0)


def test_roots_agree_with_numpy(generator):
    c = torch.randn(500, 4, generator=generator, dtype=F64)
    roots, real = real_roots(c)
    for k in range(500):
        theirs = np.roots(c[k].flip(0).numpy())
        theirs = np.sort(theirs[np.abs(theirs.imag) < 1e-9].real)
        ours = np.sort(roots[k][real[k]].numpy())
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("planted", "expected"), [
    ([1.0, 1.0, 1.0], [1, 1, 1]), ([0.0, 0.0, 0.0], [0, 0, 0]), ([2.0, 2.0, -1.0], [-1, 2, 2]),
    ([-3.0, 1.0, 4.0], [-3, 1, 4]), ([1e-3, 1.0, 1e3], [1e-3, 1, 1e3])])
def test_repeated_and_spread_roots(planted, expected):
    c = torch.tensor(np.poly(planted)[::-1].copy())
    roots, real = real_roots(c)
    found = np.sort(roots.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-6)
    assert real[0]


def test_members_are_singular(generator):
    A, B = torch.randn(2, 300, 3, 3, generator=generator, dtype=F64)
    members, real = singular_members(A, B)
    M = members[..., 0, None, None] * A[:, None] + members[..., 1, None, None] * B[:, None]
    assert torch.linalg.det(M[real]).abs().max() < 1e-12
    torch.testing.assert_close(members.norm(dim=-1), torch.ones(300, 3, dtype=F64))
    assert real[:, 0].all()


def test_singular_ends_of_the_pencil_are_members():
    singular, regular = torch.diag(torch.tensor([1.0, 2, 0])).double(), torch.eye(3, dtype=F64)
    for A, B, which in ((singular, regular, 0), (regular, singular, 1)):
        members, real = singular_members(A, B)
        assert any(ok and abs(float(m[1 - which])) < 1e-9 for m, ok in zip(members, real, strict=True))
    members, real = singular_members(singular, singular)
    assert torch.isfinite(members).all()
