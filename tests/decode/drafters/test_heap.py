"""Best-first trees against a tree grown by hand, node by node, over all that chance may do."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.drafters.heap import Heap  # noqa: E402
from tests.decode.drafters.tables import Table, chain, check_order, check_shares, laws  # noqa: E402


def grown(table, nodes, depth):
    """Law of ``(tokens, parents)`` of a best-first tree behind token 0, by enumeration."""
    law = {}

    def grow(tokens, parents, places, share):
        """``places``: of each node its token, depth, value, and the tokens drawn there."""
        if len(tokens) == nodes:
            law[tokens, parents] = law.get((tokens, parents), 0) + share
            return
        best = max(range(len(places)), key=lambda node: places[node][2])
        last, deep, value, used = places[best]
        left = [token for token in range(len(table)) if table[last][token] > 0 and token not in used]
        if value <= 0:
            grow((*tokens, -1), (*parents, None), [*places, (0, 0, 0.0, ())], share)
            return
        mass = sum(table[last][token] for token in left)
        for token in left:
            chance = table[last][token] / mass
            here = list(places)
            # all drafts here must fail before the next one counts; without a next one, the place is worth nothing
            here[best] = (last, deep, value * (1 - chance) if len(left) > 1 else 0.0, (*used, token))
            new = (token, deep + 1, value * chance if deep + 1 < depth else 0.0, ())
            grow((*tokens, token), (*parents, best), [*here, new], share * chance)

    grow((), (), [(0, 0, 1.0, ())], 1.0)
    return law


@pytest.mark.parametrize(("heap", "zeros"), [(Heap(3), 0), (Heap(4), 2), (Heap(4, max_depth=2), 2),
                                             (Heap(4, max_depth=1), 3)], ids=repr)
def test_trees_have_the_law_of_a_tree_grown_by_hand(heap, zeros):
    table, count = laws(np.random.default_rng(4), zeros=zeros), 20_000
    exact = grown(table, heap.nodes, heap.max_depth or heap.nodes)
    uniforms = torch.from_numpy(np.random.default_rng(5).random((count, heap.num_uniforms)))
    draft = heap.propose(Table(table, count), uniforms)
    check_order(draft)
    parents = torch.where(draft.tokens < 0, -1, draft.parents).tolist()
    seen = Counter((tuple(tokens), tuple(None if above < 0 else above for above in row))
                   for tokens, row in zip(draft.tokens.tolist(), parents, strict=True))
    if heap.max_depth == 1:  # few outcomes: a support of two tokens in either order, then nothing
        assert {key[0][2:] for key in seen} == {(-1, -1)}
        assert len(exact) == 2
        share = exact[next(iter(exact))]
        assert abs(seen[next(iter(exact))] / count - share) < 5 * np.sqrt(share * (1 - share) / count)
    else:
        check_shares(seen, exact)


def test_laws_are_those_of_the_nodes():
    table, heap = laws(np.random.default_rng(6)), Heap(8)
    uniforms = torch.from_numpy(np.random.default_rng(7).random((200, 8)))
    speaker = Table(table, 200)
    draft = heap.propose(speaker, uniforms)
    after = torch.cat([torch.zeros(200, 1, dtype=torch.int64), draft.tokens], dim=1)
    for row in range(200):
        for node in set(draft.parents[row].tolist()):
            np.testing.assert_array_equal(draft.rows[row, node], table[after[row, node]])
    assert len(speaker.calls) == 7
    depths = [[len(chain(tokens, parents, node)) for node in range(1, 9)]
              for tokens, parents in zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True)]
    assert 1 < max(map(max, depths)) <= 8
    assert len({tuple(parents) for parents in draft.parents.tolist()}) > 20  # shapes depend on what was drawn


def test_a_depth_is_kept_to():
    table, heap = np.eye(5)[[1, 2, 3, 4, 0]], Heap(4, max_depth=2)
    draft = heap.propose(Table(table, 1), torch.full((1, 4), 0.5, dtype=torch.float64))
    assert draft.tokens.tolist() == [[1, 2, -1, -1]]  # temperature 0: a chain, and nothing beside it
    assert draft.parents.tolist()[0][:2] == [0, 1]
    assert (heap.depth, Heap(3).depth, Heap(2, max_depth=9).depth) == (2, 3, 2)


def test_bad_arguments_and_sizes():
    assert (Heap(8).num_nodes, Heap(8).most_draws, Heap(8).branches, Heap(1).branches) == (8, 8, True, False)
    assert (Heap.tree, Heap.adaptive_widths) == ("without_replacement", True)
    for settings in ({"nodes": 0}, {"nodes": 2, "max_depth": 0}, {"nodes": 1.5}):
        with pytest.raises(BadArgument, match="Fix"):
            Heap(**settings)


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    draft = Heap(4).propose(Table(table, 3), table.new_empty(3, 4))
    assert draft.tokens.shape == (3, 4)
