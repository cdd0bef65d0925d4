"""Planted bugs: pairs (list law, rule) whose emitted law is not p, with the exact bias on instance H, k = 2.

Each entry is a mistake found in real code. A losslessness test that lets one of them pass tests nothing. Two-
and three-token instances hide most of them.
"""

from tests.oracles import drafting, token_rules
from tests.oracles.token_rules import accept, residual


def distinct(xs):
    """Return the tokens of ``xs`` without repeats, in order of first appearance."""
    return tuple(dict.fromkeys(xs))


def top_k(q, k):
    """List law: the k likeliest tokens, likeliest first, with probability one."""
    return {tuple(drafting.by_probability(q)[:k]): 1}


def deduplicated(q, k):
    """List law: k i.i.d. draws with repeats merged, as a token tree does."""
    law = {}
    for xs, weight in drafting.iid(q, k).items():
        law[distinct(xs)] = law.get(distinct(xs), 0) + weight
    return law


def k_seq_rho_one(p, q, xs):
    """K-SEQ at rho = 1, below the smallest valid value; the negative residual is clipped."""
    return token_rules.k_seq_loop(p, q, xs, len(xs), 1)


def k_seq_for(k):
    """Return K-SEQ tuned for k drafts and run over whatever list it is given."""

    def rule(p, q, xs):
        return token_rules.k_seq_loop(p, q, xs, k, token_rules.smallest_rho(p, q, k))

    return rule


def rrs_wor_unnormalised(p, q, xs):
    """Recursive rejection that removes a refused token from q but does not renormalise q."""
    law, survive, r, left = [0] * len(p), 1, list(p), list(q)
    for x in xs:
        keep = accept(r[x], left[x])
        law[x] += survive * keep
        survive *= 1 - keep
        r = residual(r, left)
        left[x] = 0
    return [a + survive * v for a, v in zip(law, r, strict=True)]


# name -> (list law of (q, k), rule, total variation from the emitted law to p on H, k = 2, as printed)
TOKEN_MUTANTS = {
    "top_k_as_without_replacement": (top_k, token_rules.rrs_wor, 0.5433),
    "greedy_as_without_replacement": (drafting.greedy, token_rules.rrs_wor, 0.3959),
    "k_seq_rho_below_smallest": (drafting.iid, k_seq_rho_one, 0.1575),
    "k_seq_after_deduplication": (deduplicated, k_seq_for(2), 0.0428),
    "rrs_after_deduplication": (deduplicated, token_rules.rrs_iid, 0.0131),
    "iid_as_without_replacement": (drafting.iid, token_rules.rrs_wor, 0.0223),
    "draft_not_renormalised": (drafting.without_replacement, rrs_wor_unnormalised, 0.0195),
}
