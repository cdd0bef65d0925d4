"""Random families: laws that sum to one, with the corner each name promises."""

import numpy as np
import pytest

from otspec.analysis.instances import FAMILIES, random_models, random_pair
from otspec.core.errors import BadArgument, UnknownName


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_laws_and_repeat_with_their_seed(family):
    for size in (1, 2, 5, 20):
        pair = random_pair(family, size, np.random.default_rng(size))
        again = random_pair(family, size, np.random.default_rng(size))
        for law, other in zip(pair, again, strict=True):
            assert law.shape == (size,)
            assert np.all(law >= 0)
            assert law.sum() == pytest.approx(1, abs=1e-14)  # twenty masses
            assert np.array_equal(law, other)


def test_corners_are_there():
    rng = np.random.default_rng(1)
    target, draft = random_pair("zeros", 8, rng)
    assert np.any(target == 0)
    assert np.any((target == 0) & (draft == 0))
    assert len(set(random_pair("ties", 8, rng)[0].tolist())) <= 3
    assert np.count_nonzero(random_pair("one_hot_draft", 8, rng)[1]) == 1
    target, draft = random_pair("close", 8, rng)
    assert 0 < np.abs(target - draft).sum() < 0.3
    assert np.ptp(np.log10(random_pair("decades", 30, rng)[0])) > 6


def test_models_have_independent_rows():
    target, draft = random_models("dirichlet", 3, np.random.default_rng(0), order=2)
    assert (target.order, draft.order, target.vocabulary) == (2, 2, 3)
    assert len(np.unique(target.rows, axis=0)) == 9
    assert target.initial.shape == (3, 3)


def test_refusals():
    with pytest.raises(UnknownName, match="dirichlet"):
        random_pair("gauss", 3, np.random.default_rng(0))
    with pytest.raises(BadArgument, match="vocabulary"):
        random_pair("ties", 0, np.random.default_rng(0))
