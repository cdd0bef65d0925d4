"""Coupling with O(log(n / epsilon)) bits of communication. [coupling].

The drafter rounds its law ``q`` on ``n`` tokens down to multiples of ``epsilon / n``, which gives ``r <= q``.

1. It draws ``x ~ q`` and sends ``(x, r(x))`` with probability ``r(x) / q(x)``, else a flag.
2. The target party, with law ``p``, keeps ``y = x`` with probability ``min(1, p(x) / r(x))``.
3. On a flag or a refusal it repeats: draw ``y ~ p``, send y, be told ``r(y)``, and keep y with probability
   ``1 - min(1, r(y) / p(y))``.

Theorem: both marginals are exact; the tokens agree with probability at least ``sum min(p, r) >= 1 - TV - epsilon``, and
more where a retry hits the drafter's token after all; step 3 takes one round on average, whatever the laws, because a
retry is needed as often as a retry passes.

Bits are those of a fixed-length code: one for flag or token; ``ceil log2 n`` for a token; ``ceil log2 L`` for one of
the ``L = floor(n / epsilon)`` positive multiples, and ``ceil log2 (L + 1)`` where zero is one of them; and one by which
the target party says, after each answer, whether it is done. The mean is at most
``2 log2 n + 2 log2 (n / epsilon) + 7``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from otspec.core.checks import check_number, check_positive
from otspec.core.coupling import exact_pair
from otspec.core.errors import BadArgument
from otspec.core.host import to_host
from otspec.core.joint_coupling import Coupled, JointCoupling
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part, total
from otspec.core.noise import Noise
from otspec.couplings.maximal import spread

Array = Any
# float64 counts whole numbers up to here
MOST_LEVELS = 2.0**52


class Communicated(JointCoupling):
    """A protocol of few bits that loses at most ``epsilon`` of the maximal agreement. [coupling].

    Parameters
    ----------
    epsilon : float
        In (0, 1], with ``V / epsilon <= 2**52`` for the laws it is used on.

    Raises
    ------
    BadArgument

    Examples
    --------
    >>> float(Communicated(0.5).agreement([0.5, 0.5], [0.5, 0.5]))
    1.0
    """

    def __init__(self, epsilon: float = 0.01) -> None:
        wanted = "give a loss of agreement in (0, 1], such as 0.01"
        self.epsilon = check_number("epsilon", epsilon, wanted)
        if not 0 < self.epsilon <= 1:
            raise BadArgument(f"epsilon: {epsilon} is outside (0, 1]. Fix: {wanted}.")

    def levels(self, vocabulary: int) -> int:
        """Number ``floor(V / epsilon)`` of positive multiples that a mass may be rounded to.

        Raises
        ------
        BadArgument
            More than float64 can count.
        """
        levels = check_positive("vocabulary", vocabulary) / self.epsilon
        if levels > MOST_LEVELS:
            raise BadArgument(f"epsilon: {self.epsilon} asks {vocabulary} tokens for {levels:.3g} levels, more than "
                              f"{MOST_LEVELS:.3g}, which float64 can count. "
                              f"Fix: epsilon >= {vocabulary / MOST_LEVELS:.3g}.")
        return math.floor(levels)

    def rounded(self, law: Array) -> Array:
        """Law ``[*batch V]`` rounded down to multiples of ``epsilon / V``."""
        xp, size = namespace(law), law.shape[-1]
        self.levels(size)
        level = xp.floor(law * (size / self.epsilon))
        # the product may have been rounded up to a whole number
        level = xp.where(level * (self.epsilon / size) > law, level - 1, level)
        return level * (self.epsilon / size)

    def mean_bits(self, sent: Array, rounds: Array, vocabulary: int) -> Array:
        """Bits where a token is ``sent`` at first, and of a number of retries; linear, so that means may be given."""
        token, levels = (vocabulary - 1).bit_length(), self.levels(vocabulary)
        return 2 + sent * (token + (levels - 1).bit_length()) + rounds * (token + levels.bit_length() + 1)

    def bits(self, target: Array, draft: Array) -> Array:
        """Expected bits ``[*batch]`` of one run."""
        target, draft = exact_pair(target, draft)
        rounded = self.rounded(draft)
        xp = namespace(target)
        retried = total(positive_part(target - rounded)) > 0
        return self.mean_bits(total(rounded), xp.astype(retried, xp.float64), target.shape[-1])

    def bits_bound(self, vocabulary: int) -> float:
        """What the expected bits never exceed, ``2 log2 V + 2 log2 (V / epsilon) + 7``.

        Examples
        --------
        >>> Communicated(0.5).bits_bound(2)
        13.0
        """
        return 2 * math.log2(vocabulary) + 2 * math.log2(vocabulary / self.epsilon) + 7

    def _couple(self, target: Array, draft: Array, noise: Noise) -> Coupled:
        xp, batch, device = namespace(target), tuple(target.shape[:-1]), target.device
        # row by row on the host: most rows are done after the first message, and few need many
        target, draft = (to_host(law, np.float64).reshape(-1, law.shape[-1]) for law in (target, draft))
        noise = noise.like(target).take(np.arange(len(target)))
        rounded = self.rounded(draft)
        drafted, sent, kept = _offer(target, draft, rounded, noise.coins(3))
        emitted, rounds = np.where(kept, drafted, -1), np.zeros_like(drafted)
        waiting = np.flatnonzero(emitted < 0)
        while waiting.size:
            rounds[waiting] += 1
            coins = noise.take(waiting).coins(2, stream=int(rounds[waiting[0]]))  # round after round its own
            token, passed = _retry(target[waiting], rounded[waiting], coins)
            emitted[waiting[passed]] = token[passed]
            waiting = waiting[~passed]
        bits = self.mean_bits(sent.astype(np.int64), rounds, target.shape[-1])
        return Coupled(*(xp.asarray(part.reshape(batch), device=device) for part in (emitted, drafted, bits)))

    def _agreed(self, target: Array, draft: Array) -> Array:
        rounded = self.rounded(draft)
        kept, again = namespace(target).minimum(target, rounded), positive_part(target - rounded)
        return kept + (draft - kept) * normalized_or(again, 0.0 * again)

    def _joint(self, target: Array, draft: Array) -> Array:
        rounded = self.rounded(draft)
        return spread(target, draft, namespace(target).minimum(target, rounded), positive_part(target - rounded))

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        shared = total(namespace(target).minimum(target, draft))
        return positive_part(shared - self.epsilon), shared

    def __repr__(self) -> str:
        """Class and parameter."""
        return f"Communicated(epsilon={self.epsilon:g})"


def _offer(target: Array, draft: Array, rounded: Array, coins: Array) -> tuple[Array, Array, Array]:
    """Steps 1 and 2 with three coins: the drafter's token, whether it is sent, whether it is kept."""
    drafted = draw(draft, coins[..., 0])
    token = drafted[..., None]
    mass = at(rounded, token)[..., 0]
    sent = coins[..., 1] * at(draft, token)[..., 0] < mass
    return drafted, sent, sent & (coins[..., 2] * mass < at(target, token)[..., 0])


def _retry(target: Array, rounded: Array, coins: Array) -> tuple[Array, Array]:
    """Step 3 with two coins: the target party's token, and whether it is kept."""
    emitted = draw(target, coins[..., 0])
    token = emitted[..., None]
    return emitted, coins[..., 1] * at(target, token)[..., 0] >= at(rounded, token)[..., 0]
