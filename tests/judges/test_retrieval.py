"""Recall against a naive twin and against chance."""

import numpy as np
import pytest

from epipole.judges.retrieval import Places, RetrievalProtocol, judge_retrieval
from epipole.types.errors import InputError


def random_places(n: int, seed: int) -> Places:
    r = np.random.default_rng(seed)
    positions = r.uniform(0, 200, (n, 2))
    return Places(np.concatenate([positions / 60, r.normal(0, 1, (n, 6))], 1).astype(np.float32), positions)


def values(*arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_retrieval(*arguments)}


def test_recall_equals_its_naive_twin():
    queries, database = random_places(600, 1), random_places(80, 2)  # more queries than are compared at once
    hits = {n: [] for n in (1, 5, 10, 20)}
    for d, x in zip(*queries, strict=True):
        near = np.linalg.norm(database.positions - x, axis=1) <= 25
        if near.any():
            order = np.argsort(((database.descriptors.astype(float) - d) ** 2).sum(1), kind="stable")
            for n, found in hits.items():
                found.append(bool(near[order[:n]].any()))
    assert values(queries, database) == pytest.approx({f"recall_at_{n}": 100 * np.mean(h) for n, h in hits.items()})


def test_random_order_stands_beside():
    queries, database = random_places(300, 1), random_places(60, 2)
    r = np.random.default_rng(0)
    scrambled = [judge_retrieval(queries._replace(descriptors=r.normal(size=(300, 8)).astype(np.float32)),
                                 database._replace(descriptors=r.normal(size=(60, 8)).astype(np.float32)))
                 for _ in range(20)]
    for n in range(4):
        chance = scrambled[0][n].baselines["random order"]
        assert np.mean([s[n].value for s in scrambled]) == pytest.approx(chance, abs=4), n


def test_all_of_a_small_database_is_always_enough():
    scores = judge_retrieval(random_places(50, 1), random_places(15, 2), RetrievalProtocol(top=(15, 20)))
    assert [s.value for s in scores] == [100, 100]
    assert [s.baselines["random order"] for s in scores] == [100, 100]


def test_queries_without_their_place_are_left_out_and_counted():
    queries, database = random_places(10, 1), random_places(10, 1)
    queries.positions[:4] += 10_000
    score = judge_retrieval(queries, database)[0]
    assert score.value == 100
    assert "6 of 10 queries, 10 places" in score.protocol
    for q, d in ((queries._replace(positions=queries.positions + 10_000), database),
                 (Places(np.zeros((0, 8), np.float32), np.zeros((0, 2))), database),
                 (queries, Places(np.zeros((0, 8), np.float32), np.zeros((0, 2))))):
        with pytest.raises(InputError, match="no query"):
            judge_retrieval(q, d)


def test_descriptors_that_are_no_numbers_are_refused():
    queries, database = random_places(10, 1), random_places(10, 1)
    queries.descriptors[0, 0] = np.nan
    with pytest.raises(InputError, match="1 values of the descriptors of the queries"):
        judge_retrieval(queries, database)
