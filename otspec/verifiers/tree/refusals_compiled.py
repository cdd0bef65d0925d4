"""Refusals as in `otspec.verifiers.tree.refusals`, compiled for the CPU: rows are read where they lie, none is copied.

A draw visits nodes in the order of the rule and stops at its verdict, so that only the rows on its way are read: one
pass over both rows of a node when it is entered, one for each child that is refused there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from otspec.core.drafted import DraftedTrees
from otspec.verifiers.tree.refusals import LARGEST, Refusals

Array = Any
# sums may be split into several, which lets the processor add many terms at a time
_FAST = {"reassoc", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def row_sum(row):
    """Sum of a row in float64."""
    total = 0.0
    for i in range(row.size):
        total += np.float64(row[i])
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def excess(p, q, scale, start, stop):
    """Masses of ``(p - scale q)+`` and q between two tokens."""
    rest, offer = 0.0, 0.0
    for i in range(start, stop):
        drafted = np.float64(q[i])
        more = np.float64(p[i]) - scale * drafted
        rest += more if more > 0.0 else 0.0
        offer += drafted
    return rest, offer


@njit(cache=True, nogil=True)
def _enter(node, target, draft, fixed, weight, state):
    """Start a node: its weight, and of its laws scale, mass, offer and what the refused tokens keep."""
    state[node, 0] = weight
    state[node, 1] = 0.0
    state[node, 2] = row_sum(target[node])
    state[node, 3] = 1.0 if fixed else row_sum(draft[node])
    state[node, 4] = 0.0


@njit(cache=True, nogil=True)
def _ratio(node, token, target, draft, fixed, state):
    """``min(1, a goal / offer)`` of a child, 0 where the goal has nothing."""
    weight, scale, mass, offer = state[node, 0], state[node, 1], state[node, 2], state[node, 3]
    q = 0.0 if fixed else np.float64(draft[node, token])
    more = max(np.float64(target[node, token]) - scale * q, 0.0)
    wanted = weight * more / mass
    offered = 1.0 if fixed else q / (offer if offer > 0.0 else 1.0)
    if wanted > 0.0 and wanted >= offered:
        return 1.0
    return wanted / (offered if offered > 0.0 else 1.0)


@njit(cache=True, nogil=True)
def _others(child, tokens, earlier, p, q, fixed, scale, sorted_tokens):
    """Masses of ``(p - scale q)+`` and q on the tokens that neither a child nor a sibling before it has."""
    count, sibling = 0, child
    while sibling > 0:
        place = count
        while place > 0 and sorted_tokens[place - 1] > tokens[sibling - 1]:
            sorted_tokens[place] = sorted_tokens[place - 1]
            place -= 1
        sorted_tokens[place] = tokens[sibling - 1]
        count += 1
        sibling = earlier[sibling]
    rest, offer, start = 0.0, 0.0, 0
    for place in range(count + 1):
        stop = sorted_tokens[place] if place < count else p.size
        if fixed:
            rest += row_sum(p[start:stop])
            offer = 1.0
        else:
            part, more = excess(p, q, scale, start, stop)
            rest += part
            offer += more
        start = stop + 1
    return rest, offer


@njit(cache=True, nogil=True)
def _refuse(node, child, tokens, earlier, target, draft, fixed, weighted, state, left, sorted_tokens):
    """Refuse a child of a node; ``earlier[child]`` is the sibling before it. Returns the chance that it was kept."""
    weight, scale, mass, offer = state[node, 0], state[node, 1], state[node, 2], state[node, 3]
    token = tokens[child - 1]
    p, q = np.float64(target[node, token]), 0.0 if fixed else np.float64(draft[node, token])
    later = scale
    if not fixed:
        denominator = weight * offer
        later = min(scale + mass / (denominator if denominator > 0.0 else 1.0), LARGEST)
    rest, others = _others(child, tokens, earlier, target[node], draft[node], fixed, later, sorted_tokens)
    rest_here = 0.0 if fixed else max(p - later * q, 0.0)
    rest += state[node, 4] + rest_here
    above = 0.0
    if rest > 0.0 and weight > 0.0:
        above = weight * rest / mass
        state[node, 1], state[node, 2] = later, rest
        left[child - 1] = rest_here
    else:
        left[child - 1] = max(p - scale * q, 0.0)
    state[node, 4] += left[child - 1]
    state[node, 3] = others
    if weighted:
        room = above + (1.0 - weight)
        state[node, 0] = above / room if room > 0.0 else 1.0
    return max(weight - above, 0.0)


@njit(cache=True, nogil=True)
def links(tokens, parents, first, following, earlier):
    """First child of every node, and the siblings after and before it; 0 for none."""
    first[:] = 0
    following[:] = 0
    earlier[:] = 0
    last = np.zeros(first.size, np.int64)
    for column in range(tokens.size):
        if tokens[column] >= 0:
            node, child = parents[column], column + 1
            if first[node] == 0:
                first[node] = child
            else:
                following[last[node]] = child
                earlier[child] = last[node]
            last[node] = child


@njit(cache=True, nogil=True)
def _marked(child, following, tokens, left, size):
    """Tokens of a node's children in ascending order with what is left of them; the vocabulary's end comes last."""
    marks, values = np.full(tokens.size + 1, size, np.int64), np.zeros(tokens.size + 1)
    count = 0
    while child > 0:
        place = count
        while place > 0 and marks[place - 1] > tokens[child - 1]:
            marks[place], values[place] = marks[place - 1], values[place - 1]
            place -= 1
        marks[place], values[place] = tokens[child - 1], left[child - 1]
        count += 1
        child = following[child]
    return marks, values


@njit(cache=True, nogil=True)
def quantile(p, q, scale, mass, coin, marks, values):
    """Token at the ``coin`` quantile of ``(p - scale q)+``, with other ``values`` at the ``marks``."""
    level, reached, last, mark = coin * mass, 0.0, -1, 0
    for i in range(p.size):
        if i == marks[mark]:
            more = values[mark]
            mark += 1
        else:
            more = np.float64(p[i])
            if scale > 0.0:
                more -= scale * np.float64(q[i])
        if more > 0.0:
            last = i
            reached += more
            if reached > level:
                break
    return last


@njit(cache=True, nogil=True)
def _leaf_first(tokens, target, draft, fixed, coins, work):
    """Stop node of one tree by Traversal."""
    first, following, earlier, state, left, sorted_tokens, parents = work
    node = 0
    _enter(0, target, draft, fixed, 1.0, state)
    tried = np.zeros(first.size, np.int64)  # child that was refused last
    while True:
        child = first[node] if tried[node] == 0 else following[tried[node]]
        if child > 0:
            entry = _ratio(node, tokens[child - 1], target, draft, fixed, state)
            if first[child] > 0:
                _enter(child, target, draft, fixed, entry, state)
            else:
                state[child, 0] = entry
            node = child
        elif node == 0 or coins[node - 1] < state[node, 0]:
            return node
        else:
            parent = parents[node - 1]
            _refuse(parent, node, tokens, earlier, target, draft, fixed, True, state, left, sorted_tokens)
            tried[parent] = node
            node = parent


@njit(cache=True, nogil=True)
def _root_first(tokens, target, draft, fixed, coins, work):
    """Stop node of one tree by recursive rejection without replacement."""
    first, following, earlier, state, left, sorted_tokens, _ = work
    node, child = 0, first[0]
    if child > 0:
        _enter(0, target, draft, fixed, 1.0, state)
    while child > 0:
        if coins[child - 1] < _ratio(node, tokens[child - 1], target, draft, fixed, state):
            node, child = child, first[child]
            if child > 0:
                _enter(node, target, draft, fixed, 1.0, state)
        else:
            _refuse(node, child, tokens, earlier, target, draft, fixed, False, state, left, sorted_tokens)
            child = following[child]
    return node


@njit(cache=True, nogil=True)
def _draw(tokens, parents, target, draft, fixed, weighted, coins, nodes, emitted):
    count = tokens.shape[1]
    first, following, earlier = (np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64),
                                 np.zeros(count + 1, np.int64))
    state, left, sorted_tokens = np.zeros((count + 1, 5)), np.zeros(count), np.zeros(count + 1, np.int64)
    for row in range(tokens.shape[0]):
        links(tokens[row], parents[row], first, following, earlier)
        work = (first, following, earlier, state, left, sorted_tokens, parents[row])
        if weighted:
            node = _leaf_first(tokens[row], target[row], draft[row], fixed, coins[row], work)
        else:
            node = _root_first(tokens[row], target[row], draft[row], fixed, coins[row], work)
        if first[node] == 0:
            state[node, 1], state[node, 2] = 0.0, row_sum(target[row, node])
        nodes[row] = node
        marks, values = _marked(first[node], following, tokens[row], left, target.shape[2])
        emitted[row] = quantile(target[row, node], draft[row, node], state[node, 1], state[node, 2], coins[row, count],
                                marks, values)


@njit(cache=True, nogil=True)
def _refuse_rows(tokens, parents, target, draft, fixed, weighted, ratios, passed, states, lefts):
    count = tokens.shape[1]
    first, following, earlier = (np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64),
                                 np.zeros(count + 1, np.int64))
    sorted_tokens = np.zeros(count + 1, np.int64)
    for row in range(tokens.shape[0]):
        links(tokens[row], parents[row], first, following, earlier)
        state = states[row]
        if first[0] > 0:
            _enter(0, target[row], draft[row], fixed, 1.0, state)
        state[0, 0] = 1.0
        for column in range(count):
            token, node = tokens[row, column], parents[row, column]
            if token >= 0:
                ratio = _ratio(node, token, target[row], draft[row], fixed, state)
                ratios[row, column] = ratio
                passed[row, column] = _refuse(node, column + 1, tokens[row], earlier, target[row], draft[row], fixed,
                                              weighted, state, lefts[row], sorted_tokens)
                weight = ratio if weighted else 1.0
                if first[column + 1] > 0:
                    _enter(column + 1, target[row], draft[row], fixed, weight, state)
                else:
                    state[column + 1, 0] = weight


def host_views(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None) -> tuple[Any, Any, Any, Any, bool]:
    """Views of the arguments as NumPy arrays."""
    target = np.asarray(target_rows)
    fixed = drafted.scheme == "deterministic"
    draft = target if fixed else np.asarray(draft_rows)
    tokens, parents = (np.ascontiguousarray(part, dtype=np.int64) for part in (drafted.tokens, drafted.above))
    return tokens, parents, target, draft, fixed


def draw_compiled(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, uniforms: Array,
                  weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Node and token ``[B]`` int64 by Traversal (``weighted``) or by recursive rejection.

    Parameters
    ----------
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
        NumPy, or torch on the CPU.
    uniforms : [B N+1]
        One for each node, one for the token.
    weighted : bool
    """
    arguments = host_views(drafted, target_rows, draft_rows)
    nodes, emitted = (np.empty(len(arguments[0]), dtype=np.int64) for _ in range(2))
    _draw(*arguments, weighted, np.asarray(uniforms, dtype=np.float64), nodes, emitted)
    return nodes, emitted


def refuse_compiled(drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None, weighted: bool) -> Refusals:
    """Refuse every child as in `otspec.verifiers.tree.refusals.refuse_all`, NumPy arrays."""
    arguments = host_views(drafted, target_rows, draft_rows)
    ratios, passed, left = (np.zeros(arguments[0].shape) for _ in range(3))
    states = np.zeros((*np.add(arguments[0].shape, (0, 1)), 5))
    _refuse_rows(*arguments, weighted, ratios, passed, states, left)
    return Refusals(ratios, passed, states[..., 0], states[..., 1], states[..., 2], left)
