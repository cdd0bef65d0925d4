"""The dual bound: how many tokens per call no rule can exceed, exactly on small models and by sampling on any.

A *drafted tree* hangs below a context; a *stateless* rule keeps one of its nodes and adds one token, and what follows
is the target's fresh continuation. Let ``a(u)`` be the probability that a call keeps the node u or one below it, and
``p(.|u)`` the target's law after u.

Theorem. For any function ``pi >= 0`` on prefixes of 1 .. L tokens (0 beyond), with
``g(u) = 1 + sum_y p(y|u) pi(uy) - pi(u)`` and ``G(v)`` the sum of g along the path to v, a stateless lossless rule
emits on average at most ``1 + sum_y p(y) pi(y) + E max_v G(v)`` tokens per call, v over the nodes of the tree and its
root (where G is 0). *Proof.* Such a rule has ``a(uy) <= a(u) p(y|u)``, so the sum of all a(u) is at most itself plus
``sum pi(uy) (a(u) p(y|u) - a(uy)) = sum_y p(y) pi(y) + sum_u a(u) g(u)``; and the last sum is the mean of G at the node
where the rule stops. For the *one-call* problem (``a(u) <= P(u)``, the target's mass of the prefix) the same steps give
``1 + sum_u P(u) kappa(u) + E max_v sum_{u <= v} (1 - kappa(u))`` for any ``0 <= kappa <= 1``.

Equality is reached by the prices of the linear programme of `otspec.block_optimum`. Any other function only loosens the
bound, so a function that was fixed beforehand and is evaluated on fresh samples gives a bound with a standard error, at
any vocabulary. We know of no published source.
"""
