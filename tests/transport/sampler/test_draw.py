"""One front for the compiled draw and its whole-array twin."""

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.transport.sampler.draw import draw_tokens
from tests.conftest import random_law


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
def test_arrays_of_another_library_stay_in_it_and_give_the_same_tokens(replacement, minimal, rng):
    target, draft = (np.stack([random_law(rng, 9) for _ in range(50)]) for _ in range(2))
    tokens = np.stack([rng.choice(9, 3, replace=replacement, p=law) for law in draft])
    uniforms = rng.random((50, 6))
    want = draw_tokens(target, draft, tokens, uniforms, replacement=replacement, minimal=minimal)
    got = draw_tokens(*map(torch.from_numpy, (target, draft, tokens, uniforms)),
                      replacement=replacement, minimal=minimal)
    assert isinstance(got, torch.Tensor)
    assert got.tolist() == want.tolist()
    assert len(set(want)) > 1


def test_masses_hundreds_of_decades_apart_give_the_same_tokens(rng):
    """Behind a token of mass 1 the next drafts come from what is left of both laws, however little."""
    for size in (6, 8, 10):
        draft = 10.0 ** (-60.0 * rng.integers(0, 5, (400, size)))
        target = ot.normalize(draft * rng.uniform(0.5, 2, (400, size)))
        draft = ot.normalize(draft)
        scheme = ot.WithoutReplacement(4)
        tokens = np.asarray(scheme.sample(draft, rng.random((400, scheme.num_uniforms))))
        uniforms = rng.random((400, 7))
        want = draw_tokens(*map(torch.from_numpy, (target, draft, tokens, uniforms)), replacement=False)
        assert draw_tokens(target, draft, tokens, uniforms, replacement=False).tolist() == want.tolist()
