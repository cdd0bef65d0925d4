"""Which drafter and which judge a call of the decoder stands for; pairs that are not lawful are refused here, by name.

Lawful means: the verifier is proved for drafts of that kind. Any lossless rule on the wrong kind of draft is lossy, and
the text does not show it.
"""

from __future__ import annotations

from typing import Any

from otspec.core.block import BlockVerifier
from otspec.core.checks import check_positive
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.joint_coupling import JointCoupling
from otspec.core.schemes import DraftScheme, Greedy, WithoutReplacement, WithReplacement, as_scheme
from otspec.core.sequence import SequenceVerifier
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier
from otspec.core.walk import TokenWalk
from otspec.couplings import coupling, list_couplings
from otspec.decode.drafters import Drafter, Paths, drafter
from otspec.decode.drafters.coupled import CoupledPaths
from otspec.decode.drafters.several import Several
from otspec.decode.judges import ChainJudge, CoupledJudge, Judge, PathsJudge, PlainJudge, StatefulJudge, TokenWalkJudge
from otspec.decode.several_judge import SeveralJudge
from otspec.decode.tree_judge import TreeJudge
from otspec.lossy_rules import list_lossy
from otspec.verifiers import list_verifiers
from otspec.verifiers import verifier as make_verifier


def method(verifier: Any, scheme: DraftScheme | int, draft_length: int,
           drafted_by: Any = None) -> tuple[Drafter | None, Judge]:
    """Return the drafter and the judge of a call; no drafter where nothing is drafted.

    Parameters
    ----------
    verifier : str, object or None
    scheme : DraftScheme or int
    draft_length : int
    drafted_by : str, Drafter or None
        None: paths of `scheme` and `draft_length`.

    Raises
    ------
    UnknownName
        No verifier and no coupling has that name.
    SchemeMismatch
        A rule that is not proved for such drafts.
    BadArgument
        ``draft_length < 1`` where something is to be drafted.
    """
    _refuse_lossy_name(verifier)
    if drafted_by is not None:
        return _drafted(verifier, drafter(drafted_by))
    bound = as_scheme(scheme)
    if isinstance(verifier, str):
        verifier = coupling(verifier) if verifier in list_couplings() else make_verifier(verifier, bound)
    elif isinstance(verifier, (TokenVerifier, TreeVerifier)):
        # an object brings its scheme; one draft is what `generate` passes on where nothing was asked for
        bound = make_verifier(verifier, None if bound == WithReplacement(1) else bound).scheme
    if verifier is None:
        return None, PlainJudge()
    if isinstance(verifier, Coupling):
        return _coupled(verifier, bound, draft_length)
    check_positive("draft_length", draft_length)
    if isinstance(verifier, BlockVerifier) and bound != WithReplacement(1):  # an object; a name said so when made
        raise SchemeMismatch(f"{verifier!r} reads one path; got {bound}. Fix: scheme=1.")
    if not isinstance(verifier, (TokenVerifier, SequenceVerifier)):
        raise BadArgument(f"verifier: {verifier!r} is no token rule, block rule, tree rule or coupling. "
                          f"Fix: give a name of otspec.list_verifiers() or otspec.list_couplings(), or None.")
    if isinstance(verifier, TreeVerifier) and not isinstance(verifier, TokenWalk) \
            and not isinstance(bound, WithReplacement):
        raise SchemeMismatch(f"{verifier!r} verifies drafted trees; without a drafter the decoder drafts independent "
                             f"paths. Fix: drafter=otspec.drafter('tree', widths=(4, 2, 1)), say, or "
                             f"scheme=WithReplacement(k).")
    paths = Paths(bound, draft_length)
    return paths, _path_judge(verifier, paths)


def _refuse_lossy_name(verifier: Any) -> None:
    if isinstance(verifier, str) and verifier in list_lossy():
        raise BadArgument(f"verifier: {verifier!r} is lossy: its texts do not have the target's law. Fix: "
                          f"verifier=otspec.lossy({verifier!r}, scheme), which decodes and marks the run.")


def _coupled(rule: Coupling, scheme: DraftScheme, length: int) -> tuple[Drafter | None, Judge]:
    """Drafts of a coupling, and the judge that selects the target's tokens with the same noise."""
    if isinstance(rule, JointCoupling):
        raise SchemeMismatch(f"{rule!r} needs both laws where it draws, and the drafter has only its own. "
                             f"Fix: a coupling of otspec.list_couplings(kind='coupling'), or verifier='single_draft'.")
    paths = scheme.num_drafts
    if scheme != WithReplacement(1) and (rule.list_scheme is None or type(scheme) is not rule.list_scheme):
        fix = "1" if rule.list_scheme is None else f"otspec.{rule.list_scheme.__name__}({paths})"
        raise SchemeMismatch(f"{rule!r} does not select drafts as {scheme} draws them. Fix: scheme={fix}.")
    rule.check_drafts(paths)
    if length == 0:
        return None, CoupledJudge(rule, 1, 0)
    return CoupledPaths(rule, length, paths), CoupledJudge(rule, paths, length)


def _path_judge(rule: Any, paths: Drafter) -> Judge:
    count, length = paths.paths, paths.depth
    assert count is not None  # the nodes are paths
    if isinstance(rule, TokenWalk):  # the same tokens from the same numbers, and predicted exactly
        rule = rule.rule
    if isinstance(rule, TokenVerifier):
        return TokenWalkJudge(rule, count, length)
    if rule.stateful:
        return StatefulJudge(rule, count, length, rule.fresh_state())
    if isinstance(rule, BlockVerifier):
        return ChainJudge(rule, count, length)
    rule.num_uniforms(length)  # a rule for trees only says so here, before any model runs
    return PathsJudge(rule, count, length)


def _drafted(verifier: Any, drafts: Drafter) -> tuple[Drafter, Judge]:
    """Bind a verifier to a drafter that was asked for by name or object."""
    if isinstance(drafts, Several):
        rule = make_verifier(verifier, drafts.scheme) if isinstance(verifier, str) else verifier
        if not isinstance(rule, TokenVerifier) or rule.scheme != drafts.scheme:
            raise drafts.mismatch(rule, f"it is no token rule for {drafts.scheme}. Fix: 'optimal' or 'laminar'")
        return drafts, SeveralJudge(rule, drafts.paths, drafts.depth)
    if drafts.tree == "paths":
        scheme = drafts.scheme if isinstance(drafts, Paths) else WithReplacement(1)
        if isinstance(verifier, str) and verifier in list_couplings():
            raise drafts.mismatch(verifier, "a coupling drafts with noise of its own. Fix: leave the drafter out")
        rule = make_verifier(verifier, scheme) if isinstance(verifier, str) else verifier
        if rule is None or getattr(rule, "scheme", None) != scheme:
            raise drafts.mismatch(rule, f"it is not bound to {scheme}. Fix: give its name, or bind it to that scheme")
        return drafts, _path_judge(rule, drafts)
    if isinstance(verifier, (str, type(None))) and (verifier is None or verifier in list_couplings()):
        raise drafts.mismatch(verifier, "it judges no trees. Fix: a tree rule such as 'traversal'")
    rule = verifier
    if isinstance(verifier, str):
        if list_verifiers()[verifier].kind == "block":
            raise drafts.mismatch(verifier, "it reads one path. Fix: a tree rule such as 'traversal'")
        rule = make_verifier(verifier, _scheme_of(drafts))
    if isinstance(rule, TokenVerifier):
        rule = TokenWalk(rule)
    if not isinstance(rule, TreeVerifier):
        raise drafts.mismatch(rule, "it reads one path. Fix: a tree rule such as 'traversal'")
    return drafts, TreeJudge(rule, drafts)


def _scheme_of(drafts: Drafter) -> DraftScheme:
    """Scheme that a rule on the drafter's trees is bound to."""
    if drafts.tree in ("without_replacement", "greedy"):
        return (Greedy if drafts.tree == "greedy" else WithoutReplacement)(drafts.most_draws)
    return WithReplacement(1 if drafts.tree == "deterministic" else drafts.most_draws)
