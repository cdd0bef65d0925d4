"""RheoSampling's tree against a plain search in the paper's letters; lossless with its rules, biased with others."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import BadArgument, SchemeMismatch  # noqa: E402
from otspec.core.schemes import Greedy  # noqa: E402
from otspec.core.tree import DraftTree  # noqa: E402
from otspec.decode.drafters import drafter, rheo  # noqa: E402
from otspec.decode.drafters.rerank import Pool  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402
from tests.decode.drafters import whole_law  # noqa: E402
from tests.decode.drafters.tables import Table, check_order, laws  # noqa: E402
from tests.decode.drafters.whole_law import ToySpeaker, all_drafts, law_after  # noqa: E402
from tests.oracles.greedy_trees import ranked, rheo_tree  # noqa: E402
from tests.verifiers.test_tree_one_draw import nested  # noqa: E402
from tests.verifiers.tree_draws import Toy, toys  # noqa: E402

EXACT = 1e-12  # sums of a few thousand products of a dozen factors
RULES = ("greedy_walk", "traversal")


def fate(law, wishes):
    """Token that is drawn from a law in this test, which is any token of it."""
    return int(np.argmax(np.asarray(law) * wishes))


@pytest.mark.parametrize(("size", "depth", "nodes", "width", "top"), [
    (5, 2, 4, 2, 1), (5, 2, 5, 3, 1), (5, 2, 5, 3, 2), (3, 3, 4, 2, 1), (6, 3, 9, 4, 1)])
def test_trees_are_those_of_the_oracle(size, depth, nodes, width, top, monkeypatch):
    drafts = drafter("rheo", nodes=nodes, width=width, max_depth=depth, top=top)
    for seed, toy in enumerate(toys(size, depth, 40, ["dirichlet", "peaked", "zeros", "close"])):
        wishes = np.random.default_rng(seed).random(size)
        monkeypatch.setattr(rheo, "draw", lambda law, _, wishes=wishes: torch.tensor(
            [fate(row, wishes) for row in law.numpy()]))

        def draws(u, toy=toy, wishes=wishes):
            q = law_after(toy, u).tolist()
            return fate([0.0 if y in ranked(q)[:top] else mass for y, mass in enumerate(q)], wishes)

        tree = tree_of(drafts, drafts.propose(ToySpeaker(toy, 1), torch.zeros(1, drafts.num_uniforms)))
        assert nested(tree) == rheo_tree(lambda u, toy=toy: law_after(toy, u).tolist(), nodes=nodes, slots=width,
                                         top=top, depth=depth, draws=draws)


def tree_of(drafts, draft):
    return whole_law.tree_of(*(part[0].tolist() for part in (draft.tokens, draft.parents, draft.copies)),
                             scheme=drafts.tree, adaptive_widths=True)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("size", "depth", "nodes", "width", "top"), [
    (5, 2, 4, 2, 1), (5, 2, 5, 3, 1), (5, 2, 5, 3, 2), (4, 2, 4, 3, 0), (3, 3, 4, 2, 1), (3, 3, 5, 2, 1)])
def test_lossless(name, size, depth, nodes, width, top):
    drafts = drafter("rheo", nodes=nodes, width=width, max_depth=depth, top=top)
    for toy in toys(size, depth, 5):
        assert toy.bias(verifier(name, Greedy(3)), all_drafts(drafts, toy, rheo)) < EXACT


def crafted(seed):
    """Toy whose draw after the text's end is kept or not by what was drawn below the likeliest token."""
    toy = Toy("dirichlet", 3, 3, seed)
    toy.draft[0][0], toy.draft[1][0] = [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]
    toy.draft[2][:3] = [[0.34, 0.33, 0.33], [0.98, 0.01, 0.01], [0.34, 0.33, 0.33]]
    return toy


def test_the_draw_first_and_leaves_first_would_be_biased():
    """Why UniVer is refused: a chosen sibling's weight would depend on whether the draw is there."""
    toy = crafted(0)
    trees = list(all_drafts(drafter("rheo", nodes=4, width=2, max_depth=3), toy, rheo))
    with pytest.raises(SchemeMismatch, match="adaptive widths"):
        toy.bias(verifier("univer", Greedy(2)), trees)
    hidden = [(chance, DraftTree(tree.parents, tree.tokens, tree.multiplicity, scheme="greedy"))
              for chance, tree in trees]
    assert toy.bias(verifier("univer", Greedy(2)), hidden) > 0.02
    for name in RULES:
        assert toy.bias(verifier(name, Greedy(2)), trees) < EXACT


class OwnRank(rheo.Rheo):
    """Planted: a draw is ranked by its own probability, so unlikely draws are pruned more often."""

    def _pool(self, law, uniforms):
        pool = super()._pool(law, uniforms)
        own = law.gather(-1, pool.token)
        return Pool(torch.where(pool.drawn & (pool.chance > 0), own, pool.chance), pool.token, pool.drawn)


class LowRank(rheo.Rheo):
    """Planted: the proxy does not depend on the draw, but lies below other tokens of the tail."""

    def _pool(self, law, uniforms):
        pool = super()._pool(law, uniforms)
        return Pool(torch.where(pool.drawn, 0.3 * pool.chance, pool.chance), pool.token, pool.drawn)


@pytest.mark.parametrize(("mutant", "nodes"), [(OwnRank, 4), (LowRank, 3)])
def test_a_wrong_proxy_is_biased(mutant, nodes):
    found = []
    for toy in toys(5, 2, 6, ["dirichlet", "close"]):
        trees = list(all_drafts(mutant(nodes=nodes, width=3, max_depth=2), toy, rheo))
        found.append([toy.bias(verifier(name, Greedy(3)), trees) for name in RULES])
    assert np.max(found, axis=0).min() > 1e-3


def test_nodes_are_found_where_the_draft_model_has_read_them():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        speaker, drafts = Table(laws(rng), 3), drafter("rheo", nodes=9, width=3, max_depth=3)
        draft = drafts.propose(speaker, torch.from_numpy(rng.random((3, drafts.num_uniforms))))
        check_order(draft)
        read = torch.cat([tokens for tokens, _ in speaker.calls], dim=1)
        inner = torch.zeros(3, 10, dtype=torch.bool).scatter(1, draft.parents, True)[:, 1:]
        assert (draft.read_at[inner] >= 2).all()
        places = (draft.read_at - 2).clamp(min=0)
        assert (read.gather(1, places)[inner] == draft.tokens[inner]).all()
        assert ((draft.copies == 0) | (draft.copies == 1)).all()
        assert (draft.rows.sum(dim=-1)[:, 0] > 0.999).all()


def test_parameters_are_checked():
    with pytest.raises(BadArgument, match="top: 4 is outside 0"):
        drafter("rheo", nodes=8, width=4, top=4)
    assert drafter("rheo", nodes=8, width=4, top=np.int64(2)) == drafter("rheo", nodes=8, width=4, top=2)
    with pytest.raises(BadArgument, match="nodes: 100"):
        drafter("rheo", nodes=100, width=2, max_depth=3)
    assert drafter("greedy_tree", widths=(2, 2)).most_draws == 2


def test_no_draft_waits_for_a_device():
    table = torch.empty(5, 5, dtype=torch.float64, device="meta")
    drafts = drafter("rheo", nodes=6, width=3, max_depth=3)
    draft = drafts.propose(Table(table, 3), table.new_empty(3, drafts.num_uniforms))
    assert draft.tokens.shape == draft.copies.shape == (3, 6)
    assert draft.rows.shape == (3, 7, 5)
