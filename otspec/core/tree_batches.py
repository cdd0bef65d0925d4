"""Batched verdicts on drafted trees, and the one check of which trees a rule may verify.

A rule that knows nothing better verifies row by row from its definition, which costs at least ``N V`` per row and
enumerates the rule's coins, so it is meant for small trees; most rules override `_draw_trees` and `_expected_trees`.

Fact behind the check: a winner among n drafts has its known law only if n was fixed before the drafts were drawn. On a
tree whose widths depend on the children, such as a best-first heap, all rules but Traversal and recursive rejection
are biased, by up to 0.1. [traversal]
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import as_law, check_place, check_uniforms, dtype_name, first_index
from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.host import check_host
from otspec.core.laws import at, draw, namespace
from otspec.core.rows import row_at
from otspec.core.schemes import DraftScheme, Greedy, WithoutReplacement, WithReplacement

Array = Any


class TreeVerdicts(NamedTuple):
    """The nodes whose prefixes are kept ``[B]``, and the tokens emitted after them ``[B]``, int64."""

    node: Array
    token: Array


def check_lawful(rule: Any, trees: Any, most: int) -> None:
    """Refuse trees that a rule is not proved for.

    Parameters
    ----------
    rule : TreeVerifier
    trees : DraftTree or DraftedTrees
    most : int
        Most draws at one node; a chain, with one, is a tree of every scheme.

    Raises
    ------
    SchemeMismatch
    """
    fixed = trees.scheme == "deterministic"
    bound: type[DraftScheme] = {"without_replacement": WithoutReplacement, "greedy": Greedy}.get(
        trees.scheme, WithReplacement)
    if trees.scheme not in rule.trees or not (most <= 1 or fixed or isinstance(rule.scheme, bound)):
        raise SchemeMismatch(f"{rule!r} does not verify {trees!r}. Fix: bind the rule to the scheme that the "
                             f"children of the tree were drawn by.")
    if trees.adaptive_widths and trees.scheme not in rule.adaptive:
        raise SchemeMismatch(f"{type(rule).__name__} would be biased on {trees!r}: it must know how many children "
                             f"a node has before they are drawn. Fix: traversal, or fix the widths beforehand.")
    if not fixed and most > rule.scheme.num_drafts:
        raise SchemeMismatch(f"{rule!r}: a node of the tree has {most} draws. Fix: bind the rule to {most} drafts.")


class BatchedTrees:
    """Verdicts on `DraftedTrees`; a base of rules, on whose ``conditional`` it falls back."""

    stateful: ClassVar[bool]
    conditional: Any

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """Uniform numbers that one call of `draw_trees` consumes per row of N nodes."""
        return 2

    def draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                   uniforms: Array) -> TreeVerdicts:
        """Verify one tree per row.

        Parameters
        ----------
        drafted : DraftedTrees
            ``[B N]``.
        target_rows, draft_rows : [B N+1 V]
            Row n of each is the law after node n, row 0 after the text's end. Target rows of absent nodes and draft
            rows of nodes after which nothing was drawn are not read; those of deterministic trees may be None.
        uniforms : [B num_tree_uniforms(N)]
            Numbers in [0, 1); the same numbers give the same verdicts on every array library.

        Returns
        -------
        TreeVerdicts
            ``node`` and ``token``, ``[B]`` int64 each.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument, SchemeMismatch
        """
        return TreeVerdicts(*self._draw_trees(*self._checked_trees(drafted, target_rows, draft_rows, uniforms)))

    def expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                       uniforms: Array) -> Array:
        """Unbiased estimate ``[B]`` float64 of the number of drafted tokens kept; arguments as in `draw_trees`.

        Unbiased over trees that are drawn from the draft rows; whatever the rule can integrate out, it does.
        """
        return self._expected_trees(*self._checked_trees(drafted, target_rows, draft_rows, uniforms))

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        """Node and token ``[B]``, arguments unchecked."""
        nodes, tokens = [], []
        for row, (stop, following) in enumerate(self._laws(drafted, target_rows, draft_rows)):
            coins = np.asarray(uniforms[row, :])
            node = int(draw(stop, coins[0]))
            nodes.append(int(drafted.nodes(row)[node]))
            tokens.append(int(draw(following[node], coins[1])))
        xp = namespace(target_rows)
        return xp.asarray(nodes, dtype=xp.int64), xp.asarray(tokens, dtype=xp.int64)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        """Estimate ``[B]``, arguments unchecked."""
        means = [float(stop @ drafted.tree(row).depths)
                 for row, (stop, _) in enumerate(self._laws(drafted, target_rows, draft_rows))]
        xp = namespace(target_rows)
        return xp.asarray(means, dtype=xp.float64)

    def _laws(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None) -> Any:
        """Law of the node ``[N]`` and of the token ``[N V]`` of every row, by the definition of the rule."""
        check_host("target_rows", target_rows, self)
        if self.stateful:
            raise SchemeMismatch(f"{self!r} carries a state, which trees of many texts have no place for. "
                                 f"Fix: draw(tree, ...), text by text.")
        for row in range(drafted.tokens.shape[0]):
            nodes, tree = drafted.nodes(row), drafted.tree(row)
            target, draft = (None if rows is None else np.asarray(rows[row, ...])[nodes]
                             for rows in (target_rows, draft_rows))
            if draft is not None:  # rows after which nothing was drawn are not read, so they need be no laws
                draft = np.where(tree.draws[:, None] > 0, draft, target)
            yield self.conditional(tree, target, draft)

    def _checked_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                       uniforms: Array) -> tuple[DraftedTrees, Array, Array | None, Array]:
        if not isinstance(drafted, DraftedTrees):
            raise BadArgument(f"drafted: {type(drafted).__name__} is no DraftedTrees. "
                              f"Fix: DraftedTrees(tokens, parents), or DraftedTrees.stack(trees).")
        if drafted.tokens.shape[0] == 0:
            raise ShapeMismatch("drafted: no tree. Fix: give at least one row.")
        fixed = drafted.scheme == "deterministic"
        rows = {"target_rows": target_rows} | ({} if fixed else {"draft_rows": draft_rows})
        for name, given in rows.items():
            wanted = (drafted.tokens.shape[0], drafted.num_nodes + 1)
            if given is None or given.ndim != 3 or tuple(given.shape[:2]) != wanted:
                shape = None if given is None else tuple(given.shape)
                raise ShapeMismatch(f"{name}: shape {shape} for trees {tuple(drafted.tokens.shape)}. "
                                    f"Fix: [B N+1 V], one row after every node, that of the text's end first.")
        xp = check_place(tokens=drafted.tokens, **rows)
        kinds = {name: f"{dtype_name(given)} {tuple(given.shape)}" for name, given in rows.items()}
        if len(set(kinds.values())) > 1:
            raise ShapeMismatch(f"target_rows and draft_rows differ: {', '.join(kinds.values())}. "
                                f"Fix: both laws must live on one vocabulary, in one dtype.")
        drafted.check(target_rows.shape[-1])
        check_lawful(self, drafted, int(xp.max(drafted.draws)))
        self._check_rows(drafted, rows)
        check_uniforms(uniforms, self.num_tree_uniforms(drafted.num_nodes), target_rows=target_rows)
        if tuple(uniforms.shape[:-1]) != tuple(drafted.tokens.shape[:1]):
            raise ShapeMismatch(f"uniforms: batch shape {tuple(uniforms.shape[:-1])} differs from that of the trees, "
                                f"{tuple(drafted.tokens.shape[:1])}. Fix: one row of uniforms per tree.")
        return drafted, target_rows, rows.get("draft_rows"), uniforms

    @staticmethod
    def _check_rows(drafted: DraftedTrees, rows: dict[str, Array]) -> None:
        xp = namespace(drafted.tokens)
        ends = xp.ones_like(drafted.present[:, :1])
        read = {"target_rows": xp.concat([ends, drafted.present], axis=1), "draft_rows": drafted.draws > 0}
        for name, given in rows.items():
            stand_in = xp.zeros_like(given[:1, :1, :]) + 1.0 / given.shape[-1]
            as_law(name, xp.where(read[name][..., None], given, stand_in))
        if "draft_rows" in rows:
            for column in range(drafted.num_nodes):
                _check_drawn(xp, drafted, rows["draft_rows"], column)


def _check_drawn(xp: Any, drafted: DraftedTrees, draft_rows: Array, column: int) -> None:
    mass = at(row_at(draft_rows, drafted.above[:, column]), drafted.tokens[:, column, None])[:, 0]
    wrong = drafted.present[:, column] & (drafted.copies[:, column] > 0) & ~(mass > 0)
    if bool(xp.any(wrong)):
        row = first_index(wrong)[0]
        raise BadArgument(f"tokens[{row}, {column}] = {int(drafted.tokens[row, column])} has probability 0 under the "
                          f"draft row of node {int(drafted.above[row, column])}, so it was not drawn from it. Fix: "
                          f"pass the laws that the tokens were drawn from; drafts chosen without chance make trees "
                          f"of scheme='deterministic'.")
