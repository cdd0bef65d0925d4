"""Which stopping keeps verification lossless: exact laws on V = 5, a planted bug, and what repairs it."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import SchemeMismatch
from otspec.policies.length import Goodput, LengthPolicy, StepTime, TimeModel
from otspec.policies.length.blocks import Seen
from tests.oracles.lengths import emitted_law, leaves, text_law

LONGEST, SIZE = 2, 5
TIMES = TimeModel(StepTime(0.1, 0.01), StepTime(1.0, 0.01))


def models(seed=0):
    rng = np.random.default_rng(seed)
    return tuple(ot.MarkovModel(rng.dirichlet(np.full(SIZE, 0.5), SIZE)) for _ in range(2))


def policies(blocks):
    """Every policy that a drafter can use, fitted, and thresholds that make lengths differ."""
    for name, entry in ot.list_length_policies().items():
        if "needs_target" in entry.claims:
            continue
        policy = {"fixed": lambda: ot.length_policy("fixed", length=LONGEST),
                  "goodput": lambda: Goodput(TIMES, 4, max_length=LONGEST),
                  "confidence": lambda: ot.length_policy("confidence", threshold=0.5, max_length=LONGEST),
                  "min_probability": lambda: ot.length_policy("min_probability", threshold=0.45, max_length=LONGEST),
                  "entropy": lambda: ot.length_policy("entropy", threshold=0.55, max_length=LONGEST),
                  }.get(name, lambda name=name: ot.length_policy(name, max_length=LONGEST))()
        if name in ("best", "goodput", "specdec++"):
            policy = policy.fitted(blocks, draft_cost=0.1)
        if name == "specdec++":  # the threshold that stops some of the blocks
            policy = ot.length_policy(name, threshold=float(np.median(1 - policy.predictor(blocks)[:, 0])),
                                      max_length=LONGEST, predictor=policy.predictor)
        yield name, policy


class Dropping(LengthPolicy):
    """The planted bug: draw a token, and drop it if it is unlikely."""

    max_length = LONGEST

    def lengths(self, blocks):
        """Look at the token that is not in the block."""
        unlikely = np.concatenate([blocks.confidence < 0.3, np.ones((len(blocks), 1), dtype=bool)], axis=1)
        return unlikely.argmax(axis=1)

    def stops(self, seen: Seen):
        """Never asked."""
        raise AssertionError


def conditional_of(rule):
    """Of the name of a rule, its law on a chain."""
    if rule in ("block", "token_wise"):
        bound = ot.verifier(rule)
        return lambda target, draft, tokens: tuple(bound.conditional(target, draft, tokens))
    bound = ot.verifier(rule, ot.WithoutReplacement(1))

    def on_tree(target, draft, tokens):
        count = len(tokens)
        tree = ot.DraftTree(np.arange(-1, count), np.append(-1, tokens), scheme="without_replacement")
        return tuple(bound.conditional(tree, target, np.concatenate([draft, target[-1:]])))

    return on_tree


def deviation(policy, blocks, target, draft, rule):
    """Largest distance of the emitted law from the target's, over contexts."""
    order = [tuple(row) for row in np.indices((SIZE,) * LONGEST).reshape(LONGEST, -1).T.tolist()]
    length = policy.lengths(blocks).reshape(SIZE, -1)
    conditional = conditional_of(rule)
    worst = 0.0
    for context in range(SIZE):
        chains = leaves(draft.rows, context, lambda path, c=context: length[c][order.index(path)], LONGEST)
        law = emitted_law(chains, target.rows, draft.rows, context, conditional, LONGEST)
        worst = max(worst, np.abs(law - text_law(target.rows, context, LONGEST + 1)).sum())
    return worst


BLOCKS = ot.toy_blocks(*models(), LONGEST)
NAMES = [name for name, _ in policies(BLOCKS)]


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_is_known_before_the_next_token_is_drawn(name):
    length = dict(policies(BLOCKS))[name].lengths(BLOCKS).reshape(SIZE, SIZE, SIZE)
    first = length[:, :, 0]
    # all blocks that share what was drafted share the answer
    assert ((length == 0) == (length[:, :1, :1] == 0)).all()
    assert ((length == 1) == (first[:, :, None] == 1)).all()


def test_lengths_differ_between_blocks():
    lengths = {name: set(policy.lengths(BLOCKS).tolist()) for name, policy in policies(BLOCKS)}
    assert all(len(lengths[name]) > 1 for name in ("confidence", "min_probability", "entropy", "specdec++"))


# on the tree rules, one policy that looks at the last token and one that looks ahead stand for all
PAIRS = [(name, rule) for name in NAMES for rule in ("token_wise", "block")]
PAIRS += [("confidence", rule) for rule in ot.list_verifiers(ot.WithoutReplacement(1), kind="tree")]
PAIRS += [("min_probability", rule) for rule in ("traversal", "recursive_walk")]


@pytest.mark.parametrize(("name", "rule"), PAIRS)
def test_every_policy_and_rule_emit_the_target_s_law(name, rule):
    target, draft = models()
    policy = dict(policies(BLOCKS))[name]
    assert deviation(policy, BLOCKS, target, draft, rule) < 1e-12


@pytest.mark.parametrize("rule", ["token_wise", "block"])
def test_dropping_a_token_that_was_drawn_is_biased_unless_the_rule_knows(rule):
    target, draft = models()
    assert deviation(Dropping(), BLOCKS, target, draft, rule) > 0.05
    # given the draft law of the tokens that are not dropped, and a coin that does not depend on which, all is well
    likely = np.where(draft.rows >= 0.3, draft.rows, 0.0)
    mass = likely.sum(axis=1, keepdims=True)
    kept = np.where(mass > 0, likely / np.where(mass > 0, mass, 1), draft.rows)
    conditional = conditional_of(rule)
    for context in range(SIZE):
        chains = {}
        grow(chains, (), context, 1.0, mass[:, 0], kept)
        assert sum(chains.values()) == pytest.approx(1)
        law = emitted_law(chains, target.rows, kept, context, conditional, LONGEST)
        assert np.abs(law - text_law(target.rows, context, LONGEST + 1)).sum() < 1e-12


def grow(chains, chain, here, share, mass, kept):
    """Chains of a drafter that goes on with a probability of the row alone, and then draws from the kept law."""
    going = 0.0 if len(chain) == LONGEST else mass[here]
    chains[chain] = share * (1 - going)
    for token in np.flatnonzero(kept[here]) if going else ():
        grow(chains, (*chain, int(token)), int(token), share * going * kept[here, token], mass, kept)


@pytest.mark.parametrize("rule", ["greedy_block", "gumbel"])
def test_rules_that_are_not_proved_are_refused(rule):
    with pytest.raises(SchemeMismatch, match="length is decided while drafting"):
        ot.toy_blocks(*models(), LONGEST, rule=rule)
