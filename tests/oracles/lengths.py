"""Length policies the slow way: prefix by prefix, coin by coin, in the notation of the papers."""

import itertools

import numpy as np


def leaves(draft, context, lengths, longest):
    """Drafted chains and their probabilities; ``lengths(path)`` of a whole path says where it was left."""
    found = {}
    for path in itertools.product(range(draft.shape[1]), repeat=longest):
        share, here = 1.0, context
        for token in path:
            share *= draft[here, token]
            here = token
        stop = int(lengths(path))
        found[path[:stop]] = found.get(path[:stop], 0.0) + share
    return found


def emitted_law(chains, target, draft, context, conditional, longest):
    """Law ``[V] * (longest + 1)`` of what a round emits, carried on by the target up to ``longest + 1`` tokens.

    ``chains`` maps drafted chains to probabilities; models are of order one.
    """
    size = target.shape[1]
    law = np.zeros((size,) * (longest + 1))
    for chain, share in chains.items():
        if share == 0:
            continue
        places = [context, *chain]
        stop, following = (np.ones(1), target[[context]]) if not chain else \
            conditional(target[places], draft[places[:-1]], np.array(chain))
        for kept, chance in enumerate(stop):
            for token in range(size):
                carry(law, [*chain[:kept], token], share * chance * following[kept][token], target)
    return law


def carry(law, text, mass, target):
    """Add the mass of a text that the target carries on."""
    if len(text) == law.ndim:
        law[tuple(text)] += mass
        return
    for token, chance in enumerate(target[text[-1]]):
        carry(law, [*text, token], mass * chance, target)


def text_law(target, context, length):
    """Law ``[V] * length`` of the target's own text."""
    law = np.zeros((target.shape[1],) * length)
    for text in itertools.product(range(target.shape[1]), repeat=length):
        places = [context, *text]
        law[text] = np.prod([target[a, b] for a, b in itertools.pairwise(places)])
    return law


def round_numbers(target, draft, context, stops, longest):
    """Tokens, drafts and next contexts of a round of token-wise verification that stops where ``stops(chain)``."""
    size = target.shape[1]
    after = np.zeros(size)

    def walk(chain, here, share, alive):
        """``share``: probability of the chain; ``alive``: that all of it is accepted."""
        if len(chain) == longest or stops(chain):
            after[:] += share * alive * target[here]
            return share * alive, 0.0
        tokens, drafts = 0.0, share
        for token in range(size):
            chance = draft[here, token]
            if chance == 0:
                continue
            kept = min(1.0, target[here, token] / chance)
            excess = np.maximum(target[here] - draft[here], 0)
            if kept < 1:
                after[:] += share * chance * alive * (1 - kept) * excess / excess.sum()
            tokens += share * chance * alive * (1 - kept)
            more = walk((*chain, token), token, share * chance, alive * kept)
            # a token kept is one more than the bonus of its subtree says
            tokens += more[0] + share * chance * alive * kept
            drafts += more[1]
        return tokens, drafts

    tokens, drafts = walk((), context, 1.0, 1.0)
    return tokens, drafts, after


def cost_per_token(target, draft, stops, longest, draft_cost, verify_cost):
    """Long-run cost per token, by power iteration over the contexts that rounds start in."""
    rounds = [round_numbers(target, draft, context, stops, longest) for context in range(len(target))]
    step = np.array([after for _, _, after in rounds])
    law = np.full(len(target), 1.0 / len(target))
    for _ in range(1000):
        law = law @ step / (law @ step).sum()
    tokens, drafts = (law @ np.array([one[i] for one in rounds]) for i in (0, 1))
    return (verify_cost + draft_cost * drafts) / tokens


def cheapest_of_all(target, draft, longest, draft_cost, verify_cost):
    """Least cost per token over *all* ways to stop, listed one by one; memoryless pairs only."""
    size = target.shape[1]

    def ways(chain):
        """All sets of chains that are left below a chain."""
        if len(chain) == longest:
            return [frozenset([chain])]
        below = [frozenset().union(*parts) for parts in
                 itertools.product(*(ways((*chain, token)) for token in range(size)))]
        return [frozenset([chain]), *below]

    return min(cost_per_token(target, draft, way.__contains__, longest, draft_cost, verify_cost) for way in ways(()))
