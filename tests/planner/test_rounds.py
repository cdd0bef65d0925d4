"""First rounds of many methods: common numbers of chance, no trace of one method in another, exact means."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.decode.drafters.paths import Paths  # noqa: E402
from otspec.planner.rounds import Method, chances, places_of, tokens_per_call  # noqa: E402
from tests.planner import tinies  # noqa: E402

WARP = {"temperature": 1.0, "top_k": None, "top_p": None}
TREE = ot.drafter("tree", counts=(2, 2, 0, 1))
METHODS = [Method(Paths(1, 3), "block"), Method(Paths(1, 2), "token_wise"), Method(Paths(2, 2), "winner_block"),
           Method(TREE, "traversal"), Method(TREE, "recursive_walk"), Method(ot.drafter("heap", nodes=3), "traversal"),
           Method(Paths(2, 1), "optimal")]


@pytest.fixture(scope="module")
def pair():
    return tinies.pair()


def test_a_method_gives_the_same_alone_and_among_others(pair):
    """Drafts left behind in a cache, or numbers that depend on what else is asked, would show here."""
    texts = tinies.contexts(12)
    together = tokens_per_call(pair, texts, METHODS, WARP, seed=3, sets=2)
    for method, row in zip(METHODS, together, strict=True):
        np.testing.assert_allclose(tokens_per_call(pair, texts, [method], WARP, seed=3, sets=2)[0], row, atol=1e-12)


def test_the_beginning_of_a_longer_path_is_the_shorter_path(pair):
    texts = tinies.contexts(8)
    longer = tokens_per_call(pair, texts, [Method(Paths(2, 4), "winner_block"), Method(Paths(2, 2), "winner_block")],
                             WARP, seed=1)
    shorter = tokens_per_call(pair, texts, [Method(Paths(2, 2), "winner_block")], WARP, seed=1)
    np.testing.assert_allclose(longer[1], shorter[0], atol=1e-12)
    assert (longer[0] >= longer[1] - 1e-12).all()


def test_contexts_do_not_depend_on_the_batch(pair, monkeypatch):
    texts = tinies.contexts(9)
    whole = tokens_per_call(pair, texts, METHODS[:4], WARP, seed=7)
    monkeypatch.setattr("otspec.planner.rounds.ENTRIES", 200)
    np.testing.assert_allclose(tokens_per_call(pair, texts, METHODS[:4], WARP, seed=7), whole, atol=1e-10)


@pytest.mark.parametrize("rule", ["block", "token_wise"])
def test_the_mean_is_that_of_all_blocks(pair, rule):
    """Enumeration of every drafted block, each passed to the models alone."""
    text = tinies.contexts(1)[0]
    verifier = ot.verifier(rule)
    exact = tinies.exact_chain(pair, text, 2, verifier.expected_accepted)
    found = [tokens_per_call(pair, [text], [Method(Paths(1, 2), rule)], WARP, seed=seed, sets=1)[0, 0]
             for seed in range(60)]
    assert ot.Estimate.from_samples(found).covers(exact)
    other = "token_wise" if rule == "block" else "block"
    wrong = tinies.exact_chain(pair, text, 2, ot.verifier(other).expected_accepted)
    assert abs(wrong - exact) > 1e-3  # the two rules can be told apart


def test_sets_are_averaged_within_a_context(pair):
    texts = tinies.contexts(5)
    many = tokens_per_call(pair, texts, METHODS[:1], WARP, seed=2, sets=3)
    assert many.shape == (1, 5)


def test_the_first_child_a_path_and_a_chain_draw_with_one_number():
    tree, paths, chain = (places_of(one) for one in (TREE, Paths(2, 2), Paths(1, 2)))
    assert tree == [(0,), (1,), (0, 0), (0, 1), (0, 0, 0)]
    assert set(chain) <= set(paths)
    assert set(chain) <= set(tree)
    np.testing.assert_array_equal(chances(tree, 5, 4)[:, 0], chances(chain, 5, 4)[:, 0])
    assert not np.allclose(chances(tree, 5, 4)[:, 0], chances(tree, 5, 4)[:, 1])
    assert not np.allclose(chances(tree, 5, 4), chances(tree, 6, 4))


def test_seeds_of_no_stream_are_refused_by_name():
    assert chances([(0,)], 2**64 - 1, 3).shape == (3, 1)
    with pytest.raises(ot.BadArgument, match="seed: 18446744073709551616"):
        chances([(0,)], 2**64, 3)
