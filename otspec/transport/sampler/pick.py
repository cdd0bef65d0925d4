"""The winner among the drafts of the top cell, compiled: a uniform choice, or the race that goes on outside the cell.

`otspec.transport.sampler.pick_parallel` has the same choices as whole-array operations, from the same uniforms.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pick_replacement(low, ranks, pick, slots):
    """Write a uniform choice among the drafts of ranks >= low [B] into ``slots`` [B]."""
    for i in range(low.size):
        inside = 0
        for rank in ranks[i]:
            inside += rank >= low[i]
        skip = min(int(pick[i] * inside), inside - 1)
        for slot in range(ranks.shape[1]):
            if ranks[i, slot] >= low[i]:
                if skip == 0:
                    slots[i] = slot
                    break
                skip -= 1


@njit(cache=True, nogil=True)
def _is_out(token, out, count):
    for place in range(count):  # noqa: SIM110 - compiled code has no generator expressions
        if out[place] == token:
            return True
    return False


@njit(cache=True, nogil=True)
def _race_on(draft, a, beyond, out, count, goal, uniforms):
    """Continue the race outside the cell; return how many of ``goal`` A tokens are out at its end."""
    step = 0
    while count < goal:
        # the free mass is summed afresh: subtracting a dominant token that is out would leave noise
        free = 0.0
        for j in range(a):
            if not _is_out(j, out, count):
                free += draft[j]
        mark = uniforms[step] * (free + beyond)
        step += 1
        if mark >= free:
            return count
        taken = -1
        for j in range(a):
            if draft[j] > 0.0 and not _is_out(j, out, count):
                taken = j
                mark -= draft[j]
                if mark < 0.0:
                    break
        out[count] = taken
        count += 1
    return count


@njit(cache=True, nogil=True)
def pick_race(draft, low, high, ranks, uniforms, slots):
    """Write the winner of every draw [B] without replacement into ``slots`` [B]."""
    out = np.empty(ranks.shape[1], np.int64)
    for i in range(low.size):
        law = draft[i] if draft.shape[0] > 1 else draft[0]
        a, b = low[i], high[i]
        drafts, count = 0, 0
        for rank in ranks[i]:
            drafts += rank >= 0
            if 0 <= rank < a:
                out[count] = rank
                count += 1
        beyond = 0.0
        for j in range(law.size - 1, b - 1, -1):
            beyond += law[j]
        quota = max(1, drafts - _race_on(law, a, beyond, out, count, drafts - 1, uniforms[i]))
        cell = 0.0
        if quota > 1:
            for j in range(a, b):
                cell += law[j]
        mark = uniforms[i, -1] * cell
        for slot in range(ranks.shape[1]):
            if ranks[i, slot] >= a:
                slots[i] = slot
                quota -= 1
                mark -= law[ranks[i, slot]]
                if quota == 0 or mark < 0.0:
                    break
