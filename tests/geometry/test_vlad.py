"""VLAD against its definition, word by word."""

import torch

from epipole.geometry.vlad import vlad


def naive(words: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    sums = [torch.zeros(words.shape[1], dtype=words.dtype) for _ in vocabulary]
    for word in words:
        k = int(torch.stack([(word - centre).norm() for centre in vocabulary]).argmin())
        sums[k] = sums[k] + word - vocabulary[k]
    flat = torch.cat([s / s.norm() if s.norm() > 0 else s for s in sums])
    return flat / flat.norm()


def test_it_is_the_definition(generator):
    words, vocabulary = (torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (40, 5))
    torch.testing.assert_close(vlad(words, vocabulary), naive(words, vocabulary))


def test_the_order_of_words_does_not_matter(generator):
    words, vocabulary = (torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (40, 5))
    mixed = words[torch.randperm(40, generator=generator)]
    torch.testing.assert_close(vlad(mixed, vocabulary), vlad(words, vocabulary))


def test_many_copies_of_a_word_count_like_one(generator):
    """Bursts, of windows say, do not drown the rest: every word's sum has unit length."""
    vocabulary = 10 * torch.eye(3, 8, dtype=torch.float64)
    words = vocabulary + torch.randn(3, 8, generator=generator, dtype=torch.float64)
    burst = torch.cat([words[:1].expand(50, -1), words[1:]])
    torch.testing.assert_close(vlad(burst, vocabulary), vlad(words, vocabulary))


def test_nothing_seen_is_nothing(generator):
    vocabulary = torch.randn(5, 8, generator=generator)
    assert vlad(torch.zeros(0, 8), vocabulary).abs().max() == 0
    assert vlad(vocabulary, vocabulary).isfinite().all()  # residuals of length 0
