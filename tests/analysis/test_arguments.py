"""Mistakes of a caller end in an error of otspec that says what to do."""

import numpy as np
import pytest

import otspec as ot

P, Q = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]


def test_one_name_compares_that_rule():
    assert ot.compare(P, Q, 2, "optimal").column("rule") == ["optimal"]
    assert ot.compare(P, Q, 2, ot.verifier("k_seq", 2)).column("rule") == ["KSeq"]
    with pytest.raises(ot.UnknownName, match="optimel"):
        ot.compare(P, Q, 2, "optimel")


@pytest.mark.parametrize(("rule", "scheme"), [("winner_block", 2), ("block", 1), ("traversal", 2)])
def test_rules_for_blocks_and_trees_are_no_token_rules(rule, scheme):
    for call in (ot.acceptance, ot.output_law, lambda *given: ot.sampled_acceptance(*given, n=2, seed=0),
                 lambda name, *laws: ot.compare(*laws, name)):
        with pytest.raises(ot.BadArgument, match="verifies blocks or trees"):
            call(rule, P, Q, scheme)


def test_batches_of_different_shape_are_refused():
    for call in (ot.acceptance_bound, ot.optimal_acceptance, ot.winner_law, ot.compare,
                 lambda *given: ot.acceptance("k_seq", *given), lambda *given: ot.acceptance("recursive", *given)):
        with pytest.raises(ot.ShapeMismatch, match=r"target \(2, 3\), draft \(3, 3\)"):
            call([P, P], [Q, Q, Q], 2)
    with pytest.raises(ot.ShapeMismatch, match="batch shapes do not fit"):
        ot.acceptance_bound([P, P], [[Q, Q]] * 3, ot.Independent(2))


def test_gradients_pass_or_are_refused():
    torch = pytest.importorskip("torch")
    p, q = (torch.tensor(law, dtype=torch.float64, requires_grad=True) for law in (P, Q))
    value = ot.optimal_acceptance(p, q, 2)
    (slope,) = torch.autograd.grad(value, q)
    step = 1e-6 * torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    moved = ot.optimal_acceptance(p.detach(), q.detach() + step, 2) - value.detach()
    assert float(slope @ step) == pytest.approx(float(moved), rel=1e-4)
    tokens = torch.tensor([0, 1])
    for call in (lambda: ot.acceptance_bound(p, q, 2), lambda: ot.optimal_acceptance(p, q, ot.WithoutReplacement(2)),
                 lambda: ot.winner_law(p, q, 2), lambda: ot.compare(p, q, 2), lambda: ot.output_law("k_seq", p, q, 2),
                 lambda: ot.optimal_plan(p, q, 2), lambda: ot.MarkovModel.memoryless(p),
                 lambda: ot.verifier("optimal", 2).conditional(p, q, tokens)):
        with pytest.raises(ot.BadArgument, match="requires gradients"):
            call()


def test_lists_stand_for_arrays_or_are_refused():
    assert ot.law_from_logits([0.0, 0.0]).tolist() == [0.5, 0.5]
    for call in (lambda: ot.acceptance_bound([[0.5, 0.5], [1.0]], Q, 2), lambda: ot.overlap(["a", "b"], Q),
                 lambda: ot.law_from_logits("ab"), lambda: ot.law_from_logits([[0.0], [0.0, 1.0]])):
        with pytest.raises(ot.NotALaw, match="Fix"):
            call()


@pytest.mark.parametrize("top_p", [1.5, np.nan, np.inf, 0.0, "0.9", True])
def test_a_mass_to_keep_outside_its_range_is_refused_in_the_laws_too(top_p):
    for call in (ot.truncate, ot.law_from_logits):
        with pytest.raises(ot.BadArgument, match="top_p"):
            call(np.array(P), top_p=top_p)


@pytest.mark.parametrize("temperature", [-1.0, np.nan, np.inf, None, "1", True])
def test_a_temperature_outside_its_range_is_refused_in_the_laws_too(temperature):
    with pytest.raises(ot.BadArgument, match="temperature"):
        ot.law_from_logits(np.array(P), temperature=temperature)


def test_seeds_and_sample_sizes_are_checked():
    for seed in (-1, None, 1.5):
        with pytest.raises(ot.BadArgument, match="seed"):
            ot.sampled_acceptance("k_seq", P, Q, 2, n=4, seed=seed)
    for n in (1, 0, None, 2.5):
        with pytest.raises(ot.BadArgument, match="n: "):
            ot.sampled_acceptance("k_seq", P, Q, 2, n=n, seed=0)
    with pytest.raises(ot.BadArgument, match="holds no context"):
        ot.compare(np.zeros((0, 3)), np.zeros((0, 3)), 2)


def test_one_target_law_serves_several_draft_laws():
    target, drafts = np.array([0.5, 0.3, 0.2]), np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    for rule in ("naive", "lp"):
        got = ot.acceptance(rule, target, drafts, 2)
        assert got.tolist() == [pytest.approx(float(ot.acceptance(rule, target, draft, 2))) for draft in drafts]
    assert ot.output_law("naive", target, drafts, 1).shape == (2, 3)
    assert ot.acceptance("lp", target[None], np.zeros((0, 3)), 2).shape == (0,)
