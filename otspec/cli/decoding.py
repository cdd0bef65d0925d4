"""``otspec decode``: texts by speculative decoding, from one prompt or a file of them."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import add_models_options, add_warp_options, command, named_pair, show
from otspec.cli.values import (
    SCHEMES,
    check_stop_words,
    count,
    read_drafter,
    read_prompts,
    read_scheme,
    read_stop_tokens,
    seed,
)

LARGEST_SCORE = 1e9  # stands for infinity, which JSON has not


def add_decode(commands: Any) -> None:
    """Add ``otspec decode``."""
    parser = command(commands, "decode", _decode, "continue prompts by speculative decoding",
                     "decode --pair pocket --prompt 'def main():' --verifier traversal --drafter tree:widths=3x2x1",
                     "No text was finished.")
    parser.add_argument("--list", action="store_true", help="list verifiers, couplings and drafters instead")
    parser.add_argument("--pair", default="pocket", help="pocket or pocket-small (default: pocket)")
    add_models_options(parser, several=True)
    parser.add_argument("--prompt", help="text to continue")
    parser.add_argument("--prompts", metavar="FILE",
                        help="instead: one prompt per line, or a .json list of texts or of lists of token ids")
    parser.add_argument("--verifier", help="a token, block or tree rule, or a coupling, see --list (default: block; "
                                           "traversal for drafters of trees, laminar for several)")
    parser.add_argument("--scheme", help=f"{SCHEMES} (default: with-replacement)")
    parser.add_argument("-k", type=int, help="number of drafts (default: 1)")
    parser.add_argument("--draft-length", type=int, help="tokens per path (default: 4)")
    parser.add_argument("--drafter", metavar="NAME[:KEY=VALUE,...]",
                        help="instead of --scheme, -k and --draft-length: tree:widths=3x2x1, heap:nodes=8, "
                             "rerank:nodes=16,width=4,max_depth=5, lookup:draft_length=4,ngram=3, "
                             "several:models=2 or paths:scheme=4,draft_length=8")
    parser.add_argument("--samples", type=count, help="texts of each prompt, for a standard error (default: 4 of "
                                                      "--prompt, 1 of those of --prompts)")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--stop-token", metavar="ID", action="append",
                        help="a token id that ends a text, none, or model for the target's own (default); repeatable")
    parser.add_argument("--batch-size", type=count, help="texts decoded together (default: as many as fit)")
    add_warp_options(parser)
    parser.add_argument("--seed", type=seed, default=0)


def _decode(given: Any) -> None:
    if given.list:
        return _list(given)
    from otspec.decode.loop import generate

    prompts, samples = _prompts(given)
    method = _method(given)
    verifier = given.verifier or usual_verifier(method.get("drafter"))
    _check(given, verifier, method)
    pair = named_pair(given, given.pair)
    settings = {"temperature": given.temperature, "top_k": given.top_k, "top_p": given.top_p, "seed": given.seed,
                "max_new_tokens": given.max_new_tokens, "stop_token": read_stop_tokens(given.stop_token, pair),
                "batch_size": given.batch_size, "progress": not given.quiet}
    try:
        run = generate(pair, [prompt for prompt in prompts for _ in range(samples)], verifier=verifier, **method,
                       **settings)
    except BaseException as error:
        kept = getattr(error, "run", None)
        if kept is not None and kept.tokens:
            _show_run(given, pair, kept, prompts, samples)
            given.resume = "Texts that were finished are printed."
        raise
    return _show_run(given, pair, run, prompts, samples)


def _check(given: Any, verifier: str, drafted: dict[str, Any]) -> None:
    """Refuse what can be refused before any model is loaded."""
    from otspec.core.checks import check_positive
    from otspec.decode.arguments import check_warp
    from otspec.decode.method import method

    check_positive("--max-new-tokens", given.max_new_tokens)
    check_warp(given.temperature, given.top_k, given.top_p)
    check_stop_words(given.stop_token)
    method(verifier, drafted.get("scheme", 1), drafted.get("draft_length", 4), drafted.get("drafter"))


def usual_verifier(drafter: Any) -> str:
    """Name of a rule that every drafter of this kind may be verified by."""
    if getattr(drafter, "num_models", 1) > 1:
        return "laminar"
    one_path = getattr(drafter, "tree", "paths") == "paths" and getattr(drafter, "paths", 1) == 1
    return "block" if one_path else "traversal"


def _prompts(given: Any) -> tuple[list[Any], int]:
    """Prompts, and how many texts of each."""
    from otspec.core.errors import BadArgument

    if (given.prompt is None) == (given.prompts is None):
        raise BadArgument(f"--prompt: {'missing' if given.prompt is None else 'given beside --prompts'}. "
                          f"Fix: give one of --prompt TEXT and --prompts FILE.")
    if given.prompt is not None:
        return [given.prompt], given.samples or 4
    return read_prompts(given.prompts), given.samples or 1


def _method(given: Any) -> dict[str, Any]:
    """What is drafted, as arguments of ``generate``."""
    from otspec.core.errors import BadArgument

    if given.drafter is None:
        kind = given.scheme or "with-replacement"
        return {"scheme": read_scheme(kind, given.k if given.k is not None or kind == "hub" else 1),
                "draft_length": 4 if given.draft_length is None else given.draft_length}
    beside = [option for option, value in (("--scheme", given.scheme), ("-k", given.k),
                                           ("--draft-length", given.draft_length)) if value is not None]
    if beside:
        raise BadArgument(f"{beside[0]}: given beside --drafter, which says all that is drafted. Fix: leave one out.")
    return {"drafter": read_drafter(given.drafter)}


def _show_run(given: Any, pair: Any, run: Any, prompts: list[Any], samples: int) -> None:
    """Print the first text of every prompt, the measurement, and how the models were read where that is slower."""
    texts = [" ".join(map(str, tokens)) if pair.tokenizer is None else pair.decode(tokens) for tokens in run.tokens]
    value: dict[str, Any] = {"texts": texts, "tokens": [list(map(int, tokens)) for tokens in run.tokens],
                             "settings": run.settings}
    places = run.settings.get("finished", range(len(texts)))
    first = [(place, text) for place, text in zip(places, texts, strict=True) if place % samples == 0] or \
        [(places[0], texts[0])]
    lines = [f"{_heading(prompts, place // samples)}{text}" for place, text in first]
    if len(first) < len(texts):
        lines.append(f"shown: {len(first)} of {len(texts)} texts, the first of each prompt; --json prints all")
    if run.predicted is not None:
        measured, predicted, gap = run.block_efficiency, run.predicted_efficiency, run.difference
        several = len(texts) > 1  # one text has no standard error
        z = max(-LARGEST_SCORE, min(run.z_score, LARGEST_SCORE)) if several else None
        value |= {"sequences": len(texts), "z": z, "tokens_per_call": measured.mean,
                  "stderr": measured.stderr if several else None, "predicted": predicted.mean, "difference": gap.mean,
                  "difference_stderr": gap.stderr if several else None}
        compared = "" if z is None else (f" (difference {gap.mean:+.4f} ± {gap.stderr:.4f}; {len(texts)} sequences, "
                                         f"z {z:+.2f})")
        lines.append(f"tokens per target call: {measured}, predicted {predicted.mean:.4f}{compared}; "
                     f"a last round that was cut counts in full")
    read = [f"the {which} model was read {way}" for which, way in run.settings["read"].items() if way != "together"]
    show(given, value, "\n\n".join([*lines, *(["\n".join(read)] if read else [])]))


def _heading(prompts: list[Any], number: int) -> str:
    """Line above the text of one of several prompts: its number, and how it ends."""
    if len(prompts) == 1:
        return ""
    shown = repr(prompts[number])
    return f"[{number + 1}/{len(prompts)}] {shown if len(shown) <= 60 else f'...{shown[-57:]}'}\n"


def _list(given: Any) -> None:
    """Print what ``--verifier`` and ``--drafter`` may be."""
    from dataclasses import MISSING, fields

    from otspec.core.table import Table
    from otspec.couplings import list_couplings
    from otspec.decode.drafters import list_drafters
    from otspec.verifiers import list_verifiers

    def shown(field: Any) -> str:
        return field.name if field.default is MISSING else f"{field.name}={field.default}".lower()

    drafters = [{"name": name, "parameters": ",".join(map(shown, fields(entry.factory))),  # type: ignore[arg-type]
                 "from_python_only": ",".join(getattr(entry.factory, "measured", ())), "summary": entry.summary}
                for name, entry in list_drafters().items()]
    tables = {"verifiers": list_verifiers().to_table(), "couplings": list_couplings().to_table(),
              "drafters": Table(drafters)}
    show(given, {what: table.rows for what, table in tables.items()},
         "\n\n".join(f"{what}\n{table}" for what, table in tables.items()))
