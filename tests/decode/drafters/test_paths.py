"""Independent paths as nodes, on laws given by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.drafters import Independent  # noqa: E402
from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.core.schemes import WithoutReplacement, WithReplacement  # noqa: E402
from otspec.decode.drafters.paths import Paths, along_paths, as_nodes, shared_rows, shared_targets  # noqa: E402


def test_copies_of_a_prefix_share_the_first_one_s_law():
    law = torch.arange(3.0)[None, :, None].expand(1, 3, 2)
    assert shared_rows(law, torch.tensor([[[1], [2], [1]]]))[0, :, 0].tolist() == [0, 1, 0]
    assert shared_rows(law, torch.zeros(1, 3, 0, dtype=torch.long))[0, :, 0].tolist() == [0, 0, 0]


def test_target_laws_are_shared_as_far_as_paths_agree():
    rows = torch.arange(3.0)[None, :, None, None].expand(1, 3, 3, 2)  # [B K L+1 V], each path's own number
    tokens = torch.tensor([[[1, 4], [2, 5], [1, 5]]])
    assert shared_targets(rows, tokens)[0, :, :, 0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 2]]
    assert shared_targets(rows[:, :1], tokens[:, :1]).equal(rows[:, :1])


def test_paths_are_nodes_depth_by_depth():
    tokens = torch.tensor([[[1, 2, 3], [4, 5, 6]]])  # [B K L]
    nodes, parents = as_nodes(tokens)
    assert nodes.tolist() == [[1, 4, 2, 5, 3, 6]]
    assert parents.tolist() == [[0, 0, 1, 2, 3, 4]]
    laws = torch.arange(7.0)[None, :, None]  # each node's own number
    assert along_paths(laws, 2)[0, :, :, 0].tolist() == [[0, 1, 3, 5], [0, 2, 4, 6]]


def test_sizes_and_bad_arguments():
    paths = Paths(WithReplacement(3), 4)
    assert (paths.num_nodes, paths.depth, paths.paths, paths.most_draws, paths.branches) == (12, 4, 3, 3, True)
    assert Paths(1, 4).branches is False
    assert paths.num_uniforms == 12
    with pytest.raises(SchemeMismatch, match="several drafters"):
        Paths(Independent(2), 1)
    with pytest.raises(SchemeMismatch, match="2 tokens deep"):
        Paths(WithoutReplacement(2), 2)
    with pytest.raises(BadArgument, match="draft_length"):
        Paths(2, 0)


class Fixed:
    """A draft model whose law after a text is a row of a table, by its last token."""

    def __init__(self, table):
        self.table, self.parents = torch.from_numpy(table), []

    def start(self):
        return self.table[:1]

    def after(self, tokens, parents):
        self.parents.append(parents.tolist())
        return self.table[tokens]


def test_paths_are_drawn_from_the_laws_that_are_handed_on():
    table = np.random.default_rng(0).dirichlet(np.ones(4), 4)
    model, paths = Fixed(table), Paths(2, 3)
    draft = paths.propose(model, torch.tensor([[0.1, 0.9, 0.3, 0.6, 0.99, 0.01]], dtype=torch.float64))
    assert model.parents == [[[0, 0]], [[1, 2]]]
    tokens = draft.tokens.reshape(3, 2)
    for depth, levels in enumerate([[0.1, 0.9], [0.3, 0.6], [0.99, 0.01]]):
        for path, level in enumerate(levels):
            law = table[0] if depth == 0 else table[tokens[depth - 1, path]]
            np.testing.assert_array_equal(draft.rows[0, path, depth], law)
            assert tokens[depth, path] == np.searchsorted(np.cumsum(law), level)
