"""Verification rules: one file for each, one line here.

The registry is what makes a rule exist: contract tests, `compare`, the figures and the decoder iterate over it. Its
claims are data, and each switches a contract test on: ``lossless``, ``tight_at_one`` (acceptance ``1 - TV`` for one
draft), ``reflexive`` (acceptance 1 when the target is the law of the first draft), ``optimal`` (acceptance is the
optimum of its scheme), ``one_draft`` (proved for one draft only), ``small_vocabulary``
(``conditional`` is too much work at a real vocabulary), ``numpy_only`` (``conditional`` runs on NumPy arrays only),
``carries_state`` (a state goes from block to block of a text; numbers of single blocks are those of the first).
A rule without ``lossless`` declares in ``max_deviation`` how far its output law may be from the target in L1. Rules
from outside join by `otspec.register` or by an entry point of the group ``otspec.verifiers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.names import did_you_mean
from otspec.core.open_registry import OpenRegistry
from otspec.core.registry import Entry, Registry, Source, refuse_parameters_of_made
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement, as_scheme
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.greedy_block import GreedyBlock
from otspec.verifiers.block.layer_block import LayerBlock
from otspec.verifiers.block.lookahead_block import LookaheadBlock
from otspec.verifiers.block.score_block import ScoreBlock
from otspec.verifiers.block.token_wise import TokenWise
from otspec.verifiers.block.vertex_block import VertexBlock
from otspec.verifiers.block.winner_block import WinnerBlock
from otspec.verifiers.token.global_resolution import GlobalResolution
from otspec.verifiers.token.greedy import GreedyRejection
from otspec.verifiers.token.importance import Importance
from otspec.verifiers.token.k_seq import KSeq
from otspec.verifiers.token.laminar import Laminar
from otspec.verifiers.token.lp import PlanPlayer
from otspec.verifiers.token.naive import Naive
from otspec.verifiers.token.nss import TargetDraw
from otspec.verifiers.token.recursive import Recursive
from otspec.verifiers.token.recursive_wor import RecursiveWithoutReplacement
from otspec.verifiers.token.single_draft import SingleDraft
from otspec.verifiers.token.spechub import SpecHub
from otspec.verifiers.tree.greedy_walk import GreedyWalk
from otspec.verifiers.tree.grouped import GroupedTraversal
from otspec.verifiers.tree.token_walk import OptimalWalk, RecursiveWalk, SpecTrPaths
from otspec.verifiers.tree.traversal import Traversal
from otspec.verifiers.tree.univer import UniVer


def _optimal(scheme: DraftScheme | int = 1, *, ordered: bool = True, kind: Any = "universal") -> Any:
    if isinstance(scheme, (Independent, Joint)):
        if not ordered or kind != "universal":
            raise BadArgument(f"ordered, kind: {ordered}, {kind!r} do not apply to {scheme}, whose drafts are told "
                              f"apart by their drafter. Fix: leave them out.")
        from otspec.verifiers.token.priority import PriorityMixture

        return PriorityMixture(scheme)
    from otspec.verifiers.token.optimal import Optimal  # compiles its scans with numba: loaded when it is first made

    return Optimal(scheme, ordered=ordered, kind=kind)


def _line(name: str, factory: Callable[..., Any], source: str, claims: str, summary: str, *, kind: str = "token",
          schemes: tuple[type, ...] = ()) -> Entry:
    proved = schemes or getattr(factory, "schemes")  # noqa: B009 (a class says it itself)
    return Entry(name, factory, Source(source), kind, proved, frozenset(claims.split()), summary)


KINDS = ("token", "block", "tree")
CLAIMS = ("lossless", "tight_at_one", "reflexive", "optimal", "one_draft", "small_vocabulary", "numpy_only",
          "carries_state")

REGISTRY = OpenRegistry(
    "verifier", "otspec.verifiers",
    _line("single_draft", SingleDraft, "leviathan2023", "lossless tight_at_one reflexive optimal one_draft",
          "rejection of the only draft"),
    _line("nss", TargetDraw, "specinfer", "lossless", "draw from the target, accept by luck"),
    _line("naive", Naive, "leviathan2023", "lossless tight_at_one reflexive",
          "rejection of the first draft, accept by luck among the others"),
    _line("recursive", Recursive, "specinfer", "lossless tight_at_one reflexive",
          "rejection of each draft in turn, i.i.d. drafts"),
    _line("recursive_wor", RecursiveWithoutReplacement, "sequoia", "lossless tight_at_one reflexive",
          "rejection of each draft in turn, drafts without replacement"),
    _line("k_seq", KSeq, "spectr", "lossless tight_at_one reflexive", "the same test for every draft"),
    _line("spechub", SpecHub, "spechub", "lossless reflexive optimal", "a draw paired with the likeliest token"),
    _line("greedy", GreedyRejection, "mdsd", "lossless tight_at_one reflexive optimal",
          "rejection of the one random draft beside the likeliest tokens"),
    _line("importance", Importance, "khisti", "lossless tight_at_one",
          "importance-weighted choice of a draft, then its rejection"),
    _line("global_resolution", GlobalResolution, "global-resolution", "small_vocabulary",
          "softmax plan of a convex problem: the target law up to 15 times its tolerance"),
    _line("optimal", _optimal, "mdsd", "lossless tight_at_one reflexive optimal small_vocabulary",
          "exactly optimal: the convex-hull sampler, or a mixture of laminar plans and priority orders",
          schemes=(WithReplacement, Hybrid, Independent, Joint)),
    _line("laminar", Laminar, "mdsd", "lossless tight_at_one",
          "near-optimal for different drafters from one sort, with an exact winner law"),
    _line("lp", PlanPlayer, "mdsd", "lossless tight_at_one reflexive optimal small_vocabulary",
          "plays the plan of the linear programme"),
    _line("token_wise", TokenWise, "leviathan2023", "lossless one_draft", "rejection of each token in turn",
          kind="block"),
    _line("block", Block, "block", "lossless one_draft", "joint verification of the block", kind="block"),
    _line("hierarchical", Block, "hsd", "lossless one_draft",
          "capped hierarchical verification, which is block verification", kind="block"),
    _line("greedy_block", GreedyBlock, "block", "lossless one_draft carries_state",
          "most tokens from one block, with a state carried to the next", kind="block"),
    _line("winner_block", WinnerBlock, "block", "lossless",
          "winner at each level, then joint verification of its path", kind="tree"),
    _line("lookahead_block", LookaheadBlock, "block", "lossless",
          "winning cells survive whole and are thinned by later tokens", kind="tree"),
    _line("score_block", ScoreBlock, "block", "lossless",
          "independent scores, split row by row, of which the highest wins; joint verification of its path",
          kind="tree"),
    _line("layer_block", LayerBlock, "layer-verification", "lossless small_vocabulary numpy_only",
          "winners at each level, all choices weighed at once and decided layer by layer", kind="tree"),
    _line("vertex_block", VertexBlock, "gbv", "lossless",
          "draft of largest ratio at each level, then joint verification of its path", kind="tree"),
    _line("traversal", Traversal, "traversal", "lossless", "leaves first, child by child", kind="tree"),
    _line("univer", UniVer, "univer", "lossless",
          "conditional plans for top tokens and one draw, leaves first (our reconstruction)", kind="tree"),
    _line("grouped_traversal", GroupedTraversal, "traversal", "lossless",
          "leaves first, children in groups with a winner each", kind="tree"),
    _line("spectr_paths", SpecTrPaths, "spectr", "lossless", "K-SEQ on the surviving paths", kind="tree"),
    _line("recursive_walk", RecursiveWalk, "specinfer", "lossless", "recursive rejection down a tree", kind="tree"),
    _line("optimal_walk", OptimalWalk, "mdsd", "lossless", "the optimal token rule down a tree", kind="tree"),
    _line("greedy_walk", GreedyWalk, "mdsd", "lossless",
          "the optimal token rule for top tokens and one draw, down a tree", kind="tree"),
)


def list_verifiers(scheme: DraftScheme | int | type | None = None, *, kind: str | None = None) -> Registry:
    """Rules by name, in display order.

    Parameters
    ----------
    scheme : DraftScheme, int or scheme class, optional
        Keep the rules that are proved for it; a class keeps those proved for some scheme of that class.
    kind : {"token", "block", "tree"}, optional

    Returns
    -------
    Mapping from names to entries.

    Raises
    ------
    BadArgument
        No such kind, no scheme.

    Examples
    --------
    >>> from otspec.core.schemes import Hub
    >>> "spechub" in list_verifiers(Hub()), "spechub" in list_verifiers(2)
    (True, False)
    """
    if kind is not None and kind not in KINDS:
        raise BadArgument(f"kind: {kind!r} is none of {', '.join(map(repr, KINDS))}.{did_you_mean(kind, KINDS)}")
    if not (scheme is None or isinstance(scheme, type)):
        scheme = as_scheme(scheme)
    kept = (entry for entry in REGISTRY.values() if kind in (None, entry.kind) and _proved_for(entry, scheme))
    return Registry("verifier", *kept)


def _proved_for(entry: Entry, scheme: DraftScheme | type | None) -> bool:
    if scheme is None:
        return True
    if isinstance(scheme, type):
        return issubclass(scheme, entry.schemes)
    return entry.supports(scheme) and ("one_draft" not in entry.claims or scheme.num_drafts == 1)


def verifier(name: Any, scheme: DraftScheme | int | None = None, **params: Any) -> Any:
    """Make a rule and bind it to the scheme that its drafts are drawn by.

    Parameters
    ----------
    name : str or verifier
        A name of `list_verifiers`; a verifier object is returned as it is.
    scheme : DraftScheme or int, optional
        An int means `WithReplacement`; the default is one draft. Beside an object: the scheme it must have.
    **params
        Parameters of the rule, such as ``rho`` of ``k_seq``.

    Returns
    -------
    TokenVerifier or BlockVerifier

    Raises
    ------
    UnknownName, SchemeMismatch, BadArgument
        No such rule; not proved for the scheme; a parameter that the rule does not have.

    Examples
    --------
    >>> verifier("k_seq", 2)
    KSeq(WithReplacement(k=2))
    """
    if not isinstance(name, str):
        return _checked_object(name, scheme, params)
    return REGISTRY[name].make(scheme, params)


def _checked_object(rule: Any, scheme: DraftScheme | int | None, params: dict[str, Any]) -> Any:
    if not hasattr(rule, "scheme"):
        raise BadArgument(f"name: {rule!r} is neither a name nor a verifier. Fix: one of {', '.join(REGISTRY)}.")
    refuse_parameters_of_made(rule, params)
    if scheme is not None and as_scheme(scheme) != rule.scheme:
        raise SchemeMismatch(f"{rule!r} is bound to {rule.scheme}; got {as_scheme(scheme)}. "
                             f"Fix: make it for that scheme, otspec.verifier(name, scheme).")
    return rule


__all__ = ["CLAIMS", "REGISTRY", "list_verifiers", "verifier"]
