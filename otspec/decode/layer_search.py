"""Which layers to leave out of a target, so that what is left makes a good draft.

The measure is the overlap of the two laws, `1 - TV`, which is the acceptance of one draft under the best verifier,
averaged over all positions of some texts. All sets of layers are too many to try (593,775 ways to leave 6 of 30 out),
so layers are left out two at a time: every single layer is tried, then every pair among the best few, and the best
pair goes. Nothing is trained and nothing is copied (see `otspec.decode.skipping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.decode.skipping import PREFIX, skip_layers

SHORTLIST = 8  # of single layers among which pairs are tried: 28 pairs a step


class Shortened(NamedTuple):
    """A draft found by `search_layers`: what `load_pair` takes as ``draft``, and its mean overlap with the target."""

    draft: str
    overlap: float
    tried: int


def search_layers(model: Any, texts: Sequence[Sequence[int]], leave_out: int, *, shortlist: int = SHORTLIST,
                  tick: Callable[[str, float], Any] = lambda draft, overlap: None) -> Shortened:
    """Search the layers whose absence costs the least overlap with the whole model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The target; it is left as it is.
    texts : sequence of token lists
        The overlap is averaged over all their positions; texts are cut to the shortest. Measure the result on others.
    leave_out : int
        Number of layers to leave out.
    shortlist : int
        Of the best single layers, among which every pair is tried.
    tick : callable
        Told every draft tried and its overlap.

    Returns
    -------
    Shortened

    Raises
    ------
    BadArgument
        No texts, an empty one, or as many layers as the model has.
    """
    import torch

    count = int(model.config.get_text_config().num_hidden_layers)
    if not 0 < check_positive("leave_out", leave_out) < count:
        raise BadArgument(f"leave_out: {leave_out} of {count} layers. Fix: at least one layer has to stay.")
    if not texts or not min(map(len, texts)):
        raise BadArgument("texts: none, or an empty one. Fix: a few texts of at least one token.")
    width = min(map(len, texts))
    ids = torch.tensor([list(text[-width:]) for text in texts], device=model.device)
    scores: dict[tuple[int, ...], float] = {}
    with torch.inference_mode():
        whole = _laws(model, ids)

        def score(layers: Iterable[int]) -> float:
            key = tuple(sorted(layers))
            if key not in scores:
                scores[key] = float(torch.minimum(whole, _laws(skip_layers(model, named(key)), ids)).sum(-1).mean())
                tick(named(key), scores[key])
            return scores[key]

        found = _greedy(score, count, leave_out, check_positive("shortlist", shortlist))
    return Shortened(named(found), scores[found], len(scores))


def _greedy(score: Callable[[Iterable[int]], float], count: int, leave_out: int, shortlist: int) -> tuple[int, ...]:
    found: tuple[int, ...] = ()
    while len(found) < leave_out:
        left = [layer for layer in range(count) if layer not in found]
        alone = {layer: score((*found, layer)) for layer in left}
        ranked = sorted(left, key=alone.__getitem__, reverse=True)
        step = 1 if leave_out - len(found) == 1 or shortlist < 2 else 2
        found = max((tuple(sorted((*found, *more))) for more in combinations(ranked[:shortlist], step)), key=score)
    return found


def named(layers: Iterable[int]) -> str:
    """Return the specification of a draft without these layers, runs of them as ranges.

    Examples
    --------
    >>> named([8, 3, 4])
    'skip:3-4,8'
    """
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return PREFIX + ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _laws(model: Any, ids: Any) -> Any:
    return model(input_ids=ids, use_cache=False).logits.float().softmax(-1)
