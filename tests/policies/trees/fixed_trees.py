"""Every tree of fixed child counts behind a small model, with its probability."""

from otspec.core.schemes import WithoutReplacement
from tests.decode.drafters.whole_law import law_after, tree_of


def fixed_trees(toy, counts):
    """Trees ``(probability, tree)``: children of a node drawn without replacement, nodes numbered as drawn."""
    def grow(node, chance, tokens, parents, prefixes):
        if node == len(counts):
            yield chance, tree_of(tokens, parents, scheme="without_replacement")
            return
        if not counts[node]:
            yield from grow(node + 1, chance, tokens, parents, prefixes)
            return
        if prefixes[node] is None:
            lists = [([-1] * counts[node], 1.0)]
        else:
            drawn, law = WithoutReplacement(counts[node]).lists(law_after(toy, prefixes[node]))
            lists = zip(drawn.tolist(), law.tolist(), strict=True)
        for drawn, share in lists:
            below = [None if token < 0 else (*prefixes[node], token) for token in drawn]
            yield from grow(node + 1, chance * share, [*tokens, *drawn], [*parents, *[node] * len(drawn)],
                            [*prefixes, *below])

    yield from grow(0, 1.0, [], [], [()])
