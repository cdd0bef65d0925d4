"""Two ways to ask for a bound, and what each may leave out: contexts, models, or the number of tokens.

``path_bound(pair, prompts, K, L)`` names everything. ``path_bound(pair or trace, K or scheme or drafter, L)`` takes the
contexts from what it is given: a trace brings its own, and the pocket pair has those of its bundled trace. Models are
never loaded unasked: what a trace alone does not hold is refused, with the call that would load them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otspec.core.checks import check_positive, whole
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.trace import Trace
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.paths import Paths
from otspec.recording.tree_bound import check_drafter

KINDS = ("stateless", "one_call", "level")
Shape = tuple[int, int]


class Asked(NamedTuple):
    """A request: models and contexts, or a trace in their place (``pair`` None), and drafts of a shape."""

    pair: Any
    prompts: Any
    shape: Shape
    drafter: Drafter | None


def read_arguments(pair: Any, prompts: Any, num_paths: Any, draft_length: Any, kind: str) -> Asked:
    """Tell the two ways apart.

    Raises
    ------
    BadArgument, SchemeMismatch
    """
    check_kind(kind)
    # no prompts are any of these
    short = whole(prompts) is not None or isinstance(prompts, (bool, DraftScheme, Drafter))
    if short:
        if num_paths is not None and draft_length is not None:
            raise BadArgument(f"draft_length: given twice, {num_paths!r} and {draft_length!r}. Fix: path_bound(pair, "
                              f"{prompts!r}, draft_length), or path_bound(pair, prompts, num_paths, draft_length).")
        length = draft_length if num_paths is None else num_paths
        prompts, num_paths, draft_length = None, prompts, length
    if isinstance(pair, Trace):
        if prompts is not None:
            raise BadArgument("prompts: the trace before them holds its contexts. Fix: path_bound(trace, None, ...).")
        pair, prompts = None, pair
    if num_paths is None:
        raise BadArgument("num_paths: none. Fix: a number of independent paths, a scheme, or a drafter.")
    shape, drafter = _shape(num_paths, draft_length, pair, kind)
    if short and prompts is None:
        prompts = _own_contexts(pair, num_paths, draft_length)
    return Asked(pair, prompts, shape, drafter)


def check_kind(kind: str) -> str:
    """Return a kind of bound.

    Raises
    ------
    BadArgument
    """
    if kind not in KINDS:
        raise BadArgument(f"kind: {kind!r} is no bound.{did_you_mean(kind, KINDS)} Fix: one of {', '.join(KINDS)}.")
    return kind


def _shape(drafts: Any, length: Any, pair: Any, kind: str) -> tuple[Shape, Drafter | None]:
    """Number of paths or of nodes, and depth; and the drafter, where whole trees are drawn."""
    if isinstance(drafts, Drafter):
        shape = _checked_drafter(drafts, length, pair, kind)
        return shape, None if isinstance(drafts, Paths) else drafts
    if length is None:
        raise BadArgument("draft_length: none. Fix: the number of tokens per path.")
    if isinstance(drafts, DraftScheme):
        if not isinstance(drafts, WithReplacement):
            raise _no_paths(drafts, length)
        drafts = drafts.num_drafts
    return (check_positive("num_paths", drafts), check_positive("draft_length", length)), None


def _no_paths(scheme: DraftScheme, length: Any) -> SchemeMismatch:
    trees = "otspec.drafter('tree', widths=(4, 1, 1)), say, draws trees without replacement"
    exact = f"otspec.optimal_acceptance(target, draft, {scheme!r}) is the exact optimum of one token"
    return SchemeMismatch(f"num_paths: {scheme!r} draws one token, not paths. Fix: {exact if length == 1 else trees}.")


def _checked_drafter(drafter: Drafter, draft_length: int | None, pair: Any, kind: str) -> Shape:
    if draft_length not in (None, drafter.depth):
        raise BadArgument(f"draft_length: {draft_length}, but {drafter!r} drafts {drafter.depth} tokens deep. Fix: "
                          f"leave it out.")
    if isinstance(drafter, Paths) and isinstance(drafter.scheme, WithReplacement):
        return drafter.paths, drafter.depth
    check_drafter(drafter)
    if isinstance(drafter, Paths):
        raise SchemeMismatch(f"num_paths: {drafter!r} drafts one token. Fix: otspec.optimal_acceptance(target, draft, "
                             f"{drafter.scheme!r}) is the exact optimum.")
    if kind != "stateless" or pair is None:
        raise BadArgument(f"kind: {kind!r} of the trees of {drafter!r}. Fix: kind='stateless' with models.")
    return drafter.num_nodes, drafter.depth


def _own_contexts(pair: Any, drafts: Any, length: Any) -> Trace:
    """Contexts of the bundled trace, of the pair that it was recorded from."""
    from otspec.recording.record import load_trace

    bundled = load_trace("pocket")
    if pair is None or pair.target_name != bundled.provenance["target"]:
        known = "None" if pair is None else f"{pair.target_name}, whose contexts nobody has named"
        end = "" if length is None else f", {length}"
        raise BadArgument(f"pair: {known}. Fix: path_bound(pair, prompts, {drafts!r}{end}) with texts, token lists or "
                          f"a trace; only the pocket pair has contexts of its own.")
    return bundled


def loading(trace: Trace) -> str:
    """Call that loads the models a trace was recorded from, as far as it names them."""
    target, draft = (str(trace.provenance.get(side, "")) for side in ("target", "draft"))
    if target.startswith("pocket/"):
        return "otspec.load_pair('pocket')" if draft == "pocket/draft" else "otspec.load_pair('pocket-small')"
    return f"otspec.load_pair(target={target!r}, draft={draft!r})" if target and draft else "otspec.load_pair(...)"


def recording(trace: Trace, length: int) -> str:
    """Call that records the rows along drafted tokens."""
    if str(trace.provenance.get("target", "")).startswith("pocket/"):
        draft = "" if trace.provenance.get("draft") == "pocket/draft" else ", draft='draft-small'"
        return f"otspec.load_trace('pocket'{draft}, draft_length={length})"
    return f"otspec.record({loading(trace)}, prompts, draft_length={length})"
