"""Functions of the shapes that engines use, written for the tests: right ones, and the ways they go wrong."""

import numpy as np
import torch


def assisted(candidate_input_ids, candidate_logits, candidate_length, new_logits, is_done_candidate, *, bug=None):
    """Assisted generation: accepted candidates and one more token, with the number of matches."""
    ids = candidate_input_ids[0, candidate_input_ids.shape[1] - candidate_length:]
    draft, target = candidate_logits[0].softmax(-1), new_logits[0].softmax(-1)
    at = torch.arange(candidate_length)
    ratio = target[at, ids] / draft[at, ids]
    coins = torch.rand(1).expand(candidate_length) if bug == "one coin" else torch.rand(candidate_length)
    passed = coins <= ratio
    matches = int(passed.sum()) if bug == "counts all" else int(passed.long().cumprod(0).sum())
    if matches == candidate_length:
        law = target[matches - 1 if bug == "row before" and matches else matches]
    else:
        law = (target[matches] - draft[matches]).clamp(min=0)
        if bug == "no residual":
            law = target[matches]
        if float(law.sum()) <= 0:
            law = target[matches]
    token = torch.multinomial(law / law.sum(), 1)
    said = matches + 1 if bug == "miscounts" else matches
    return torch.cat([ids[:matches], token])[None], said


def serving(num_draft_tokens, draft_token_ids, draft_probs, target_logits, bonus_token_ids, *, bug=None):
    """Ragged rejection sampler: rows of tokens padded with -1."""
    out = torch.full((len(num_draft_tokens), max(num_draft_tokens) + 1), -1)
    target = target_logits.double().softmax(-1)
    start = 0
    for row, count in enumerate(num_draft_tokens):
        first = max(0, start - 1) if bug == "offset" else start
        coins = torch.rand(count)
        for place in range(count):
            p, token = target[first + place], int(draft_token_ids[start + place])
            q = torch.nn.functional.one_hot(torch.tensor(token), len(p)).double() if draft_probs is None \
                else draft_probs[first + place].double()
            if coins[place] * q[token] <= p[token] and p[token] > 0:
                out[row, place] = token
                continue
            left = (p - q).clamp(min=0)
            if bug == "given drawn again":
                left = p
            out[row, place] = torch.multinomial(left if float(left.sum()) > 0 else p, 1)[0]
            break
        else:
            out[row, count] = bonus_token_ids[row, 0]
        start += count
    return out


def tree(candidates, parents, retrieve_indices, target_probs, draft_probs, coins, *, bug=None):
    """Walk down a tree whose children were drawn without replacement, or were given (no draft laws)."""
    node, kept, toss = 0, [0], iter(coins[:-1])
    while True:
        r, q = target_probs[node].copy(), None if draft_probs is None else draft_probs[node].copy()
        gone = 0.0
        for child in np.flatnonzero(parents == node):
            x = candidates[child]
            if q is None:
                chance, coin = target_probs[node][x], coins[0] if bug == "one coin" else next(toss)
                if coin < (chance if bug == "no rest" else chance / max(1 - gone, 1e-300)):
                    node = child
                    break
                gone += chance
                r[x] = 0.0
            else:
                if next(toss) * q[x] < r[x]:
                    node = child
                    break
                r = np.maximum(r - q, 0) if bug != "target again" else r
                r = r / r.sum() if r.sum() > 0 else target_probs[node]
                q[x] = 0.0
                if bug != "not renormalised":
                    q = q / q.sum() if q.sum() > 0 else q
        else:
            ends = np.cumsum(r if r.sum() > 0 else target_probs[node])
            return kept, int(np.searchsorted(ends, coins[-1] * ends[-1], side="right"))
        kept.append(node)
