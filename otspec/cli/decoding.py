"""``otspec decode``: texts by speculative decoding, from one prompt or a file of them."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import add_models_options, add_warp_options, command, named_pair, show
from otspec.cli.values import SCHEMES, count, read_scheme, seed

LARGEST_SCORE = 1e9  # stands for infinity, which JSON has not


def add_decode(commands: Any) -> None:
    """Add ``otspec decode``."""
    parser = command(commands, "decode", _decode, "continue a prompt by speculative decoding",
                     "decode --pair pocket --prompt 'def main():' --verifier optimal -k 4")
    parser.add_argument("--pair", default="pocket", help="pocket or pocket-small (default: pocket)")
    add_models_options(parser)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--verifier", default="block", help="a token, block or tree rule, or a coupling")
    parser.add_argument("--scheme", default="with-replacement", help=SCHEMES)
    parser.add_argument("-k", type=int, default=None, help="number of drafts (default: 1)")
    parser.add_argument("--draft-length", type=int, default=4)
    parser.add_argument("--samples", type=count, default=4, help="texts, for a standard error")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    add_warp_options(parser)
    parser.add_argument("--seed", type=seed, default=0)


def _decode(given: Any) -> None:
    from otspec.decode.loop import generate

    scheme = read_scheme(given.scheme, given.k if given.k is not None or given.scheme == "hub" else 1)
    pair = named_pair(given, given.pair)
    run = generate(pair, [given.prompt] * given.samples, verifier=given.verifier, scheme=scheme,
                   draft_length=given.draft_length, temperature=given.temperature, top_k=given.top_k,
                   top_p=given.top_p, seed=given.seed, max_new_tokens=given.max_new_tokens,
                   progress=not given.quiet)
    value: dict[str, Any] = {"texts": [pair.decode(tokens) for tokens in run.tokens], "settings": run.settings}
    text = value["texts"][0]
    if given.samples > 1:
        measured, predicted, gap = run.block_efficiency, run.predicted_efficiency, run.difference
        z = max(-LARGEST_SCORE, min(run.z_score, LARGEST_SCORE))
        value |= {"sequences": given.samples, "z": z, "tokens_per_call": measured.mean, "stderr": measured.stderr,
                  "predicted": predicted.mean,
                  "difference": gap.mean, "difference_stderr": gap.stderr}
        text += (f"\n\ntokens per target call: {measured}, predicted {predicted.mean:.4f} "
                 f"(difference {gap.mean:+.4f} ± {gap.stderr:.4f}; {given.samples} sequences, z {z:+.2f})")
    show(given, value, text)
