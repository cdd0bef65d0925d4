"""Random rounds of a reader, checked against a plain pass over each text alone."""

import numpy as np
import torch

from tests.decode import tiny


class Texts:
    """What a reader should hold: texts as lists, nodes by their chains."""

    def __init__(self, model, rng, tolerance=1e-12):
        # masked attention sums in another order: a few eps per layer, logits of order ten
        self.model, self.rng, self.tolerance = model, rng, tolerance
        self.size = model.config.vocab_size
        self.texts, self.chains = [], []

    def tokens(self, count):
        return self.rng.integers(self.size, size=count).tolist()

    def admit(self, reader, rows, texts):
        for row, text in zip(rows, texts, strict=True):
            self.texts += [None] * (row + 1 - len(self.texts))
            self.texts[row] = list(text)
        reader.admit(rows, texts)
        self.chains = [[] for _ in self.texts]

    def read(self, reader, count, last=0):
        """Add random nodes, of random parents among all before them, and check the logits of the last ones."""
        tokens = [self.tokens(count) for _ in self.texts]
        parents = [[int(self.rng.integers(-1, len(chains) + j)) for j in range(count)]
                   for chains in self.chains]
        return self.check(reader, tokens, parents, last)

    def check(self, reader, tokens, parents, last=0):
        logits = reader.read(torch.tensor(tokens), torch.tensor(parents), last)
        assert logits.shape == (len(self.texts), last or len(tokens[0]), self.size)
        for row, chains in enumerate(self.chains):
            for token, parent in zip(tokens[row], parents[row], strict=True):
                chains.append([*(chains[parent] if parent >= 0 else []), token])
            for place in range(-logits.shape[1], 0):
                want = tiny._logits(self.model, tuple(self.texts[row] + chains[place]))
                np.testing.assert_allclose(logits[row, place].numpy(), want, atol=self.tolerance, rtol=self.tolerance)

    def keep(self, reader):
        """Keep the way to a random node of each text."""
        ways = []
        for chains in self.chains:
            node = int(self.rng.integers(len(chains)))
            ways.append([next(i for i, chain in enumerate(chains) if chain == chains[node][: depth + 1]
                              ) for depth in range(len(chains[node]))])
        width = max(map(len, ways))
        nodes = torch.tensor([way + [0] * (width - len(way)) for way in ways])
        count = torch.tensor([int(self.rng.integers(1, len(way) + 1)) for way in ways])
        for text, chains, way, kept in zip(self.texts, self.chains, ways, count.tolist(), strict=True):
            text += chains[way[kept - 1]]
        reader.keep(nodes, count, max(map(len, self.texts)))
        self.chains = [[] for _ in self.texts]

    def select(self, reader, rows):
        self.texts = [self.texts[row] for row in rows]
        self.chains = [[] for _ in rows]
        reader.select(torch.tensor(rows))


def rounds_of_random_trees(state, reader):
    """Rounds of a reader of four rows: trees, texts that end, texts that begin, and rows that move."""
    # nothing at all has been read of the text of one token, whose last token comes with the nodes
    state.admit(reader, [0, 1, 2, 3], [state.tokens(9), [], state.tokens(2), state.tokens(5)])
    for turn in range(3):
        state.read(reader, 4)
        state.read(reader, 3, last=2)  # nodes on nodes of an earlier call
        state.keep(reader)
        if turn == 0:  # new texts in single rows, while others go on; one longer than all
            state.admit(reader, [2], [state.tokens(17)])
        if turn == 1:
            state.admit(reader, [3, 0], [[], state.tokens(3)])
    state.select(reader, [3, 1])
    state.read(reader, 3)
    state.keep(reader)
    state.admit(reader, [1], [state.tokens(4)])
    state.read(reader, 2)
