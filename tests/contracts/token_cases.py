"""Rules, schemes and instances of the token-level contracts, and the exact checks they share.

Everything is enumerated: an instance has five tokens, so each scheme has at most 5^3 draft lists, and the transport
optimum is a minimum over 2^5 token sets (``1 + min_H target(H) - Pr[all drafts in H]``).
"""

import functools

import numpy as np

from otspec.core.drafters import Independent, Joint
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement
from otspec.verifiers import REGISTRY, list_verifiers, verifier

ENUMERATED = 1e-12  # at most 5^3 lists of 5 tokens, each mass a few eps off
CLOSED_FORM = 1e-11  # the same sums, once as a formula whose powers multiply the rounding by k

_rng = np.random.default_rng(20240607)
_tiny = 1e-12
INSTANCES = {
    "golden_H": ([0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]),
    "random": (_rng.dirichlet(np.ones(5)), _rng.dirichlet(np.ones(5))),
    "zeros": ([0.0, 0.5, 0.2, 0.3, 0.0], [0.4, 0.35, 0.0, 0.25, 0.0]),
    "ties": ([0.3, 0.3, 0.1, 0.1, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]),
    "ratio_ties": ([0.2, 0.4, 0.1, 0.1, 0.2], [0.1, 0.2, 0.2, 0.2, 0.3]),
    "disjoint": ([0.6, 0.4, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.3, 0.2]),
    "one_hot_target": ([0.0, 0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "one_hot_draft": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.0, 0.0, 1.0, 0.0, 0.0]),
    "equal": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "short_support": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.3, 0.0, 0.0, 0.7, 0.0]),
    "near_ties": ([0.2, 0.2 + 1e-15, 0.2 - 1e-15, 0.3, 0.1], [0.2 + 1e-15, 0.2, 0.2 - 2e-15, 0.3, 0.1 + 1e-15]),
    "tiny_draft": ([0.1, 0.2, 0.15, 0.5, 0.05], [_tiny, 2 * _tiny, 1 - 6 * _tiny, _tiny, 2 * _tiny]),
    "tiny_target": ([_tiny, 2 * _tiny, 1 - 6 * _tiny, _tiny, 2 * _tiny], [0.1, 0.2, 0.15, 0.5, 0.05]),
    # the laminar plan falls short here, both of the optimum and of a target that is the first drafter's law
    "crossed": ([0.55, 0.15, 0.05, 0.15, 0.10], [0.0, 0.05, 0.10, 0.25, 0.60]),
}
INSTANCES = {name: tuple(np.asarray(law, dtype=np.float64) for law in pair) for name, pair in INSTANCES.items()}
SIZE = 5

_table = _rng.dirichlet(np.full(SIZE**2, 0.4)).reshape(SIZE, SIZE)
SCHEMES = {
    "iid1": WithReplacement(1), "iid2": WithReplacement(2), "iid3": WithReplacement(3),
    "wor1": WithoutReplacement(1), "wor2": WithoutReplacement(2), "wor3": WithoutReplacement(3),
    "greedy1": Greedy(1), "greedy2": Greedy(2), "greedy3": Greedy(3),
    "hybrid01": Hybrid(0, 1), "hybrid13": Hybrid(1, 3), "hub": Hub(), "independent1": Independent(1),
    "independent2": Independent(2), "joint": Joint(_table),
}
ONE_DRAFT = {"iid1", "wor1", "greedy1", "hybrid01", "independent1"}
TIE_RULE = {"greedy2", "greedy3", "hybrid13", "hub"}  # which token a tie drafts for certain depends on the ids

# five tokens would all fit the published truncation: with three of them the contracts see it at work
PARAMETERS = {"importance": {"top": 3}}

TOKEN_RULES = list(list_verifiers(kind="token"))
PAIRS = [(rule, key) for rule in TOKEN_RULES for key in SCHEMES if rule in list_verifiers(SCHEMES[key])]


def claims(rule):
    return REGISTRY[rule].claims


def made(rule, scheme):
    """The rule on a scheme, or on the scheme of that key."""
    return verifier(rule, SCHEMES[scheme] if isinstance(scheme, str) else scheme, **PARAMETERS.get(rule, {}))


def allowed_deviation(rule, key):
    """L1 distance between output law and target that a rule declares; none for lossless rules."""
    return 0.0 if "lossless" in claims(rule) else made(rule, key).max_deviation


def draft_for(scheme, draft):
    """Draft argument of a scheme: for different drafters, the law and its reversal (one drafter: the law)."""
    return np.stack([draft, draft[::-1]])[: scheme.k] if isinstance(scheme, Independent) else draft


def first_law(scheme, draft):
    """Law of the first draft for the schemes that tie it to the draft argument."""
    if isinstance(scheme, Joint):
        return scheme.table.sum(axis=1)
    return draft[0] if isinstance(scheme, Independent) else draft


@functools.cache
def enumerated(key, name):
    """Target, draft argument, draft lists and their law, for scheme ``key`` on instance ``name``."""
    scheme = SCHEMES[key]
    target, draft = INSTANCES[name]
    draft = draft_for(scheme, draft)
    return (target, draft, *scheme.lists(draft))


def rows(target, draft, tokens):
    """One row of laws for each list."""
    return (np.broadcast_to(target, (len(tokens), *target.shape)),
            np.broadcast_to(draft, (len(tokens), *draft.shape)), tokens)


def conditional(rule, key, target, draft, tokens):
    return made(rule, key).conditional(*rows(target, draft, tokens))


@functools.cache
def conditional_on(rule, key, name):
    """Conditional laws of a rule for every list of an instance ``[n V]``."""
    target, draft, tokens, _ = enumerated(key, name)
    return conditional(rule, key, target, draft, tokens)


@functools.cache
def all_rows(key):
    """Every list of every instance, with its laws, as one batch."""
    parts = [rows(*enumerated(key, name)[:3]) for name in INSTANCES]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


@functools.cache
def conditional_on_all(rule, key):
    """`conditional_on` of every instance, stacked in the order of `all_rows`."""
    return np.concatenate([conditional_on(rule, key, name) for name in INSTANCES])


def emitted(law, given):
    """Law of the emitted token: the losslessness check compares it with the target."""
    return (law[:, None] * given).sum(axis=0)


def total_variation(a, b):
    return 0.5 * float(np.abs(np.asarray(a) - np.asarray(b)).sum())


def membership(tokens, size=SIZE):
    """Indicator ``[n V]`` of the tokens that each list holds."""
    held = np.zeros((len(tokens), size + 1))
    np.put_along_axis(held, tokens % (size + 1), 1.0, axis=1)  # -1 lands in the surplus column
    return held[:, :size]


def accepted(tokens, law, given):
    """Pr[emitted token is a draft]."""
    return float((law[:, None] * given * membership(tokens, given.shape[-1])).sum())


def subset_optimum(target, tokens, law):
    """Transport optimum by all token sets."""
    size = len(target)
    bits = 1 << np.arange(size)
    drafted = (membership(tokens, size) @ bits).astype(int)
    values = [target[(subset & bits) > 0].sum() - law[(drafted & ~subset) == 0].sum() for subset in range(2**size)]
    return 1.0 + min(values)


@functools.cache
def optimum_on(key, name):
    target, _, tokens, law = enumerated(key, name)
    return subset_optimum(target, tokens, law)


@functools.cache
def acceptance_on(rule, key, name):
    """Acceptance of a rule by enumeration."""
    _, _, tokens, law = enumerated(key, name)
    return accepted(tokens, law, conditional_on(rule, key, name))


def has_ties(draft):
    positive = draft[draft > 0]
    return len(np.unique(positive)) < len(positive)


def relabelled(scheme, target, draft, order):
    """The same problem with token ``order[i]`` called ``i``."""
    if isinstance(scheme, Joint):
        return Joint(scheme.table[np.ix_(order, order)]), target[order], None
    return scheme, target[order], draft[..., order]
