"""Best paths by brute force, laws of the bigrams, and prefixes."""

from itertools import product

import numpy as np
import pytest

import otspec as ot
from otspec.neighbours.lattice import Bigram, Lattice, verified_prefix

SIZE = 6


@pytest.fixture(scope="module")
def bigram():
    rng = np.random.default_rng(0)
    text = [0]
    chain = rng.dirichlet(np.full(SIZE, 0.3), SIZE)
    for _ in range(400):
        text.append(int(rng.choice(SIZE, p=chain[text[-1]])))
    return Bigram.fitted(text, SIZE + 1, 3)  # the last token never occurs


def lattices(batch, length, k, seed=1):
    return Lattice.top(np.log(np.random.default_rng(seed).dirichlet(np.ones(SIZE), (batch, length))), k)


@pytest.mark.parametrize(("length", "k", "paths"), [(1, 3, 3), (3, 2, 8), (4, 3, 5), (5, 3, 1), (3, 4, 20)])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_list_viterbi_finds_the_best_of_all_paths(bigram, length, k, paths, weight):
    lattice, previous = lattices(4, length, k), np.array([0, 3, 5, SIZE])
    found, scores = lattice.best_paths(previous, bigram, weight=weight, paths=paths)
    assert found.shape == (4, paths, length)
    for row in range(4):
        every = {}
        for choice in product(range(k), repeat=length):
            path = tuple(lattice.tokens[row, np.arange(length), choice])
            before = (previous[row], *path[:-1])
            every[path] = lattice.scores[row, np.arange(length), choice].sum() + weight * sum(
                float(np.log(bigram.law(a)[b] / bigram.frequency[b])) for a, b in zip(before, path, strict=True))
        best = sorted(every.values(), reverse=True)[:paths]
        np.testing.assert_allclose(scores[row], best, atol=1e-12)
        np.testing.assert_allclose([every[tuple(path)] for path in found[row]], best, atol=1e-12)
        assert len({tuple(path) for path in found[row]}) == paths


def test_without_bigrams_the_best_path_is_the_greedy_one():
    lattice = lattices(5, 4, 3)
    np.testing.assert_array_equal(lattice.best_paths(np.zeros(5, int), None)[0][:, 0], lattice.greedy())


def test_the_bigrams_change_the_choice(bigram):
    lattice = lattices(40, 4, 3)
    found = lattice.best_paths(np.zeros(40, int), bigram, weight=2.0)[0][:, 0]
    assert (found != lattice.greedy()).any(axis=1).mean() > 0.2


def test_bigram_laws_sum_to_one_and_follow_the_counts(bigram):
    for token in range(SIZE + 1):
        law = bigram.law(token)
        assert abs(law.sum() - 1) < 1e-12
        assert (law > 0).all()
    np.testing.assert_allclose(bigram.law(SIZE), bigram.frequency)  # never seen: nothing is listed
    counted = Bigram.fitted([0, 1, 0, 1, 0, 2, 0, 1], 4, 2)
    np.testing.assert_allclose(counted.law(0)[[1, 2]], [2.25 / 4, 0.25 / 4])


def test_no_path_of_a_lattice_beats_its_oracle(bigram):
    lattice = lattices(30, 5, 3)
    right = np.random.default_rng(2).integers(0, SIZE, (30, 5))
    oracle = lattice.oracle(right)
    found, _ = lattice.best_paths(np.zeros(30, int), bigram, paths=3**5)
    np.testing.assert_array_equal(verified_prefix(found, right[:, None]).max(axis=1), oracle)
    assert 0 < oracle.mean() < 5


def test_verified_prefix():
    np.testing.assert_array_equal(verified_prefix([[1, 2, 3], [1, 9, 3], [9, 2, 3]], [1, 2, 3]), [3, 1, 0])


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: Lattice.top(np.zeros((2, 3)), 4), ot.BadArgument, "k: 4"),
    (lambda: Lattice.top(np.zeros((2, 3)), 0), ot.BadArgument, "k: 0"),
    (lambda: Lattice(np.zeros((2, 3), int), np.zeros((2, 2))), ot.ShapeMismatch, "lattice"),
    (lambda: lattices(1, 2, 2).best_paths(0, None, paths=5), ot.BadArgument, "paths: 5"),
    (lambda: lattices(1, 2, 2).best_paths(0, None, paths=0), ot.BadArgument, "paths: 0"),
    (lambda: verified_prefix([1, 2], [1, 2, 3]), ot.ShapeMismatch, "length"),
], ids=["k 4", "k 0", "shapes", "paths 5", "paths 0", "prefix"])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
