"""``otspec recommend``: which drafts and which rule, for a pair and a budget of drafted tokens per call."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import add_models_options, command, named_pair, show
from otspec.cli.values import count, read_prompts, seed

POCKET_BLOCKS = 8  # tokens of the longest blocks that `--trace pocket` records: 34 MB of laws for each token

def add_recommend(commands: Any) -> None:
    """Add ``otspec recommend``."""
    parser = command(commands, "recommend", _recommend, "find the drafts and the rule that give most speed",
                     "recommend --pair pocket --budget 16 --measure-costs")
    parser.add_argument("--pair", default="pocket", help="pocket or pocket-small (default: pocket)")
    add_models_options(parser)
    parser.add_argument("--trace", metavar="PATH",
                        help="instead of models: recorded laws with rows along blocks, or 'pocket'")
    parser.add_argument("--prompts", metavar="FILE",
                        help="contexts, one per line, or a .json list of texts or of lists of token ids; at least 48 "
                             "(default: those of the pocket trace)")
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="most drafted tokens per target call")
    parser.add_argument("--draft-cost", type=float, metavar="C",
                        help="one draft step, in target calls (default: the ratio of the models' parameters)")
    parser.add_argument("--verify-cost", metavar="COST|TOKENS=COST,...",
                        help="a target call, or a curve by the tokens it reads, such as 1=1,17=1.4 (default: 1)")
    parser.add_argument("--measure-costs", action="store_true", help="time both models on this machine instead")
    parser.add_argument("--batch-size", type=count, default=1, help="sequences decoded together (default: 1)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", default="otspec-plan.png", metavar="FILE",
                        help="figure, with its numbers as CSV beside it (default: otspec-plan.png); none for no figure")
    parser.add_argument("--seed", type=seed, default=0)


def _recommend(given: Any) -> None:
    _check(given)
    from otspec.planner.recommend import recommend

    prompts = None if given.prompts is None else read_prompts(given.prompts)
    if given.trace is not None:
        source: Any = _trace(given)
    else:
        source = named_pair(given, given.pair)
    costs, notes = _costs(given, source, prompts)
    found = recommend(source, given.budget, **costs, temperature=given.temperature, prompts=prompts, seed=given.seed,
                      progress=not given.quiet)
    value, text = found.to_dict() | {"cost_notes": notes}, [str(found), "", *notes]
    if given.out != "none":
        path = found.save_plot(given.out)
        value["figure"] = str(path)
        text.append(f"figure: {path}, numbers: {path.with_suffix('.csv')}")
    show(given, value, "\n".join(text))


def _trace(given: Any) -> Any:
    """Recorded laws; blocks of the pocket pair are recorded where they are not there yet."""
    from otspec.recording.record import load_trace

    if given.trace != "pocket":
        return load_trace(given.trace)
    return load_trace("pocket", draft_length=min(given.budget, POCKET_BLOCKS), temperature=given.temperature,
                      progress=not given.quiet)


def _check(given: Any) -> None:
    """Refuse what cannot be answered before any model is loaded."""
    from otspec.core.checks import check_positive, check_temperature
    from otspec.core.errors import BadArgument
    from otspec.core.files import check_place
    from otspec.planner.costs import Costs

    check_temperature(given.temperature)
    check_positive("--budget", given.budget)
    if given.measure_costs and (given.draft_cost is not None or given.verify_cost is not None):
        raise BadArgument("--measure-costs: given beside costs. Fix: leave --draft-cost and --verify-cost out.")
    if given.trace is not None and (given.target or given.draft or given.prompts or given.measure_costs):
        raise BadArgument("--trace: given beside models, prompts or --measure-costs. Fix: leave them out.")
    if given.trace is not None and given.draft_cost is None:
        raise BadArgument("--draft-cost: a trace does not say what a draft step costs. Fix: --draft-cost 0.1, say.")
    Costs(1.0 if given.draft_cost is None else given.draft_cost, read_curve(given.verify_cost), given.batch_size)
    if given.out != "none":
        check_place("--out", given.out, endings=(".png", ".pdf", ".svg"))


def _costs(given: Any, pair: Any, prompts: Any) -> tuple[dict[str, Any], list[str]]:
    """Arguments of ``recommend``, and what they rest on."""
    if given.measure_costs:
        from otspec.planner.measured import measure_costs
        from otspec.recording.record import load_trace

        texts = prompts if prompts is not None else load_trace("pocket").prompts
        sizes = sorted({1, 8, 32, given.batch_size})
        measured = measure_costs(pair, texts[: max(sizes)], batch_sizes=sizes, progress=not given.quiet)
        costs = measured.at(given.batch_size)
        table = ["times on this machine (median of some calls, in ms):", *str(measured.table).splitlines()]
        return {"draft_cost": costs.draft, "verify_cost": dict(costs.verify), "batch_size": given.batch_size}, table
    notes = []
    draft_cost = given.draft_cost
    if draft_cost is None:
        draft_cost = pair.draft.num_parameters() / pair.target.num_parameters()
        notes = [f"a draft step is taken to cost {draft_cost:.3g} target calls, the ratio of the models' parameters; "
                 f"--measure-costs times them."]
    return {"draft_cost": draft_cost, "verify_cost": read_curve(given.verify_cost), "batch_size": given.batch_size}, \
        notes


def read_curve(text: str | None) -> Any:
    """Cost of a target call: one number, or a curve ``tokens=cost,...``.

    Examples
    --------
    >>> read_curve("1.5"), read_curve("1=1,17=1.4")
    (1.5, {1: 1.0, 17: 1.4})
    """
    from otspec.core.errors import BadArgument

    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        return {int(tokens): float(cost) for tokens, cost in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise BadArgument(f"--verify-cost: {text!r} is no cost. Fix: 1.5, or a curve such as 1=1,17=1.4.") from None
