"""``otspec.recommend``: the drafts and the rule that give most speed within a budget of drafted tokens per call.

Planned on calibration contexts and tested on held-out ones. The rates of a tree are those of the rule that will verify
it: a tree made for one rule is up to a quarter worse under another. [sequoia] [traversal]
"""

from __future__ import annotations

from typing import Any

from otspec.core.checks import check_positive, check_temperature
from otspec.core.errors import BadArgument
from otspec.core.trace import Trace
from otspec.decode.arguments import check_seed
from otspec.decode.models import Pair
from otspec.planner.costs import Costs
from otspec.planner.recommendation import Recommendation
from otspec.planner.search import curve_budgets, search
from otspec.planner.sources import PairSource, TraceSource

LARGEST = 128  # drafts per call that a search is meant for


def recommend(pair_or_trace: Any, budget: int, *, draft_cost: float, verify_cost: Any = None, batch_size: int = 1,
              temperature: float = 1.0, prompts: Any = None, calibration: Any = None, curve: bool = True,
              sets: int = 1, seed: int = 0, progress: bool = False) -> Recommendation:
    """Find drafts and rule for a pair of models and a budget.

    Parameters
    ----------
    pair_or_trace : Pair or Trace
        A trace needs rows along blocks, of which only chains are planned.
    budget : int
        Most drafted tokens per target call, N.
    draft_cost : float
        One step of the draft model, in the unit of ``verify_cost``: by default, of target calls.
    verify_cost : None, float or mapping of token counts to costs
        A target call, see `otspec.planner.costs.Costs`: None for one unit however many tokens it reads.
    batch_size : int
        Sequences decoded together; a curve of costs is read at so many times the tokens.
    temperature : float
        Of both models.
    prompts : Trace, or iterable of str or of token lists, optional
        Contexts of a pair: a third of them for the choice, the rest for its test. The pocket pair brings its own.
    calibration : like ``prompts``, optional
        Contexts for the choice alone; all of ``prompts`` then test it.
    curve : bool
        Also plan for smaller budgets, for the figure.
    sets : int
        Sets of drafts after each context.
    seed : int
    progress : bool
        Show progress bars.

    Returns
    -------
    Recommendation

    Raises
    ------
    BadArgument
        Budget below 1, costs that are not positive, too few contexts for a standard error, calibration contexts among
        the held-out ones, a trace without rows along blocks or of another temperature.

    Examples
    --------
    >>> rows, tokens = np.full((48, 3, 2), np.log(0.5)), np.zeros((48, 2), dtype=np.int64)  # a draft that is the target
    >>> trace = ot.Trace([{"target_rows": rows, "draft_rows": rows[:, :2], "tokens": tokens}], {})
    >>> round(ot.recommend(trace, 2, draft_cost=0.5).speedup.mean, 6)  # 3 tokens for two steps and a call
    1.5
    """
    budget, temperature = check_positive("budget", budget), check_temperature(temperature)
    if budget > LARGEST:
        raise BadArgument(f"budget: {budget} drafts per call, the search reaches to {LARGEST}. Fix: a smaller budget.")
    costs = Costs(draft_cost, verify_cost, batch_size)
    sets, seed = check_positive("sets", sets), check_seed(seed)
    source: PairSource | TraceSource
    if isinstance(pair_or_trace, Trace):
        if prompts is not None or calibration is not None:
            raise BadArgument("prompts: a trace brings its contexts. Fix: leave it out, or give the pair.")
        source = TraceSource(pair_or_trace, budget, temperature)
    elif isinstance(pair_or_trace, Pair):
        given = _pocket_contexts(pair_or_trace) if prompts is None else prompts
        source = PairSource(pair_or_trace, given, calibration, budget, temperature, seed=seed, sets=sets,
                            progress=progress)
    else:
        raise BadArgument(f"pair_or_trace: {type(pair_or_trace).__name__} is neither. Fix: otspec.load_pair(...), or a "
                          f"trace of otspec.record(pair, prompts, draft_length=L).")
    found = search(source, budget, curve_budgets(budget) if curve else [budget], costs)
    return Recommendation.of(found, budget, costs, source.settings, _notes(source))


def _pocket_contexts(pair: Pair) -> Any:
    from otspec.recording.record import load_trace

    if not pair.target_name.startswith("pocket/"):
        raise BadArgument("prompts: none were given. Fix: prompts=texts, at least 48 of the kind that will be decoded, "
                          "or a Trace with contexts.")
    return load_trace("pocket")


def _notes(source: Any) -> tuple[str, ...]:
    if isinstance(source, TraceSource):
        return (f"The trace holds blocks of {source.lengths} tokens: chains alone were planned. Trees and several paths"
                f" need the pair.",)
    return ()
