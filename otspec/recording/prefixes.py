"""Prefixes below a text, read by a pair of models: nodes of one growing tree behind one copy of the text.

Both models keep the text in their cache once, and every prefix is read once, as a node of the tree; whatever asks for
it later, another path or a rollout of the target, finds its laws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.analysis.dual.prefixes import Prefixes
from otspec.recording.along import sides

ENTRIES = 1 << 24  # of the laws of one model call: 128 MB of float64


class PairPrefixes(Prefixes):
    """Prefixes below one text.

    Parameters
    ----------
    pair : Pair
    text : sequence of int
    warp : dict
        Arguments of ``law_from_logits``, for both models.
    longest : int
        Tokens of the longest text of the whole run with its prefixes.
    """

    def __init__(self, pair: Any, text: Sequence[int], warp: dict[str, Any], longest: int) -> None:
        import torch

        with torch.inference_mode():
            self._target_side, self._draft_side = sides(pair, [text], warp, longest=longest, branches=True)
            ends = self._draft_side.ends
            none = torch.zeros(1, 0, dtype=torch.int64, device=ends.device)
            rows = self._target_side.rows(ends[:, -1], none, none)[:, 0], self._draft_side.start()
        super().__init__(*(row[0].double().cpu().numpy() for row in rows))

    def _read(self, parents: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        device, step = self._draft_side.ends.device, max(1, ENTRIES // self.size)
        found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        with torch.inference_mode():
            for start in range(0, len(tokens), step):
                nodes, above = (torch.from_numpy(np.ascontiguousarray(array[None, start : start + step])).to(device)
                                for array in (tokens, parents))
                for rows, read in zip(found, (self._target_side.after, self._draft_side.after), strict=True):
                    rows.append(_kept(read(nodes, above)[0]))
        return np.concatenate(found[0]), np.concatenate(found[1])


def _kept(rows: Any) -> np.ndarray:
    """Laws on the host in float32: models give no more, and thousands are held."""
    return rows.float().cpu().numpy()
