"""Drafts that are made from the target, by the first word of their name: ``skip:`` and ``quantised:``."""

from __future__ import annotations

from typing import Any

from otspec.decode import quantising, skipping

_MAKERS = {skipping.PREFIX: skipping.skip_layers, **dict.fromkeys(quantising.PREFIXES, quantising.quantise)}


def is_derived(draft: Any) -> bool:
    """Whether a draft is made from the target instead of loaded.

    Examples
    --------
    >>> is_derived("skip:8-20"), is_derived("quantised:4"), is_derived("owner/model")
    (True, True, False)
    """
    return str(draft).startswith(tuple(_MAKERS))


def derive(model: Any, draft: Any) -> Any:
    """Return the draft that a name describes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The target; left as it is.
    draft : str
        For which `is_derived` holds.

    Raises
    ------
    BadArgument
        The rest of the name describes nothing that the target has.
    """
    name = str(draft)
    return next(make for prefix, make in _MAKERS.items() if name.startswith(prefix))(model, name)
