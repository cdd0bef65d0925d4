"""A chain whose length is decided while it is drafted, by a policy of `otspec.policies.length`.

The policy is asked before each token is drawn, so every node knows whether it has a child before the child is drawn,
and every rule for trees of one branch verifies these drafts without bias; `traversal` on a chain is block
verification. Texts that have stopped wait for the others of their batch: a step of the draft model is saved only when
all have stopped, and the host learns that by waiting for the device once a step. The row after the text is always read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.host import to_host
from otspec.core.laws import draw
from otspec.decode.asking import on_device
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.policies.length import LengthPolicy, length_policy
from otspec.policies.length.blocks import Seen, features


@dataclass(frozen=True)
class Adaptive(Drafter):
    """One chain, as long as ``policy`` lets it grow.

    Parameters
    ----------
    policy : LengthPolicy or str
        A policy, fitted where it needs to be, or the name of one that has defaults.

    Raises
    ------
    BadArgument
        A policy that knows the target, or that has not been fitted.
    UnknownName

    Examples
    --------
    >>> Adaptive(length_policy("confidence", threshold=0.4, max_length=6)).depth
    6
    """

    policy: LengthPolicy | str = "confidence"

    tree: ClassVar[str] = "without_replacement"

    def __post_init__(self) -> None:
        """Ask the policy once, so that one that cannot decide says so before any model runs."""
        policy = length_policy(self.policy)
        object.__setattr__(self, "policy", policy)
        if policy.needs_target:
            raise BadArgument(f"policy: {policy!r} knows the target's laws, which no drafter does. Fix: one of "
                              f"otspec.list_length_policies() without the claim 'needs_target'.")
        if policy.max_length < 1:
            raise BadArgument(f"policy: {policy!r} drafts nothing. Fix: a length of at least 1, or verifier=None.")
        ahead = np.ones((1, int(policy.looks_ahead)))
        policy.stops(Seen(0, np.ones((1, 0)), ahead, 0.0 * ahead))

    @property
    def num_nodes(self) -> int:
        """Most tokens of the chain."""
        return length_policy(self.policy).max_length

    @property
    def depth(self) -> int:
        """Most tokens of the chain."""
        return self.num_nodes

    @property
    def most_draws(self) -> int:
        """One."""
        return 1

    @property
    def branches(self) -> bool:
        """No."""
        return False

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw until every text has stopped."""
        import torch

        law, ahead = speaker.start(), length_policy(self.policy).looks_ahead
        size, device = len(law), law.device
        tokens = torch.full((size, self.depth), -1, dtype=torch.int64, device=device)
        parents = torch.arange(self.depth, device=device).expand(size, -1)
        # rows of nodes that were never read are not read by any rule either, but must be laws
        rows = torch.full((size, self.depth + 1, law.shape[1]), 1.0 / law.shape[1], dtype=law.dtype, device=device)
        seen = {name: np.zeros((size, self.depth)) for name in ("confidence", "top", "entropy")}
        going = np.ones(size, dtype=bool)
        for n in range(self.depth):
            if not ahead:
                going = going & ~self._stops(seen, n)
            if not going.any():
                break
            if n:
                law = speaker.after(tokens[:, n - 1 : n], parents[:, n - 1 : n])[:, 0]
            rows[:, n] = law
            token = draw(law, uniforms[:, n])
            # the token is drawn already, but the policy is shown its row alone
            for name, values in features(to_host(law), to_host(token)).items():
                seen[name][:, n] = values
            if ahead:
                going = going & ~self._stops(seen, n)
            tokens[:, n] = torch.where(on_device(going, device), token, -1)
        return Draft(tokens, parents, rows)

    def _stops(self, seen: dict[str, np.ndarray], drafted: int) -> np.ndarray:
        policy = length_policy(self.policy)
        rows = slice(0, drafted + policy.looks_ahead)
        return policy.stops(Seen(drafted, seen["confidence"][:, :drafted], seen["top"][:, rows],
                                 seen["entropy"][:, rows]))
