"""Parts of the walk over paths; the rules that use it are tested with the verifiers."""

import numpy as np

from otspec.core.survivors import compact


def test_many_living_drafts_move_to_the_front_in_order(rng, convert):
    tokens = np.tile(np.arange(200), (5, 1))
    alive = rng.random((5, 200)) < 0.5
    moved = np.asarray(compact(convert(tokens), convert(alive)))
    for row, mask in zip(moved, alive, strict=True):
        assert row.tolist() == np.flatnonzero(mask).tolist() + [-1] * int((~mask).sum())
