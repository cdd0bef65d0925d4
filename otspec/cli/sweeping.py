"""``otspec sweep``: many settings of the decoder over the same prompts, on one machine or on many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from otspec.cli.decoding import usual_verifier
from otspec.cli.shared import add_models_options, command, show, terminal_width
from otspec.cli.values import count, read_drafter, read_names, read_prompts, seed
from otspec.core.files import check_place

SHOWN = ("setting", "verifier", "scheme", "draft_length", "drafter", "temperature", "tokens_per_call", "stderr",
         "predicted", "z_score", "tokens_per_second")


def add_sweep(commands: Any) -> None:
    """Add ``otspec sweep``."""
    parser = command(commands, "sweep", _sweep, "decode the same prompts under many settings; resumable",
                     "sweep --pair pocket --prompts prompts.txt --verifier block,winner_block --draft-length 4,8 "
                     "--out sweep", "Finished shards are kept: run the same command again.")
    parser.add_argument("--pair", default="pocket", help="pocket or pocket-small (default: pocket)")
    add_models_options(parser, several=True)
    parser.add_argument("--prompts", metavar="FILE", required=True,
                        help="one prompt per line, or a .json list of texts or of lists of token ids")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the results, new or of the same sweep")
    parser.add_argument("--verifier", metavar="NAMES", help="several with commas between them")
    parser.add_argument("-k", metavar="NUMBERS", help="paths, such as 1,2,4 (default: 1)")
    parser.add_argument("--draft-length", metavar="NUMBERS", help="tokens per path, such as 2,4,8 (default: 4)")
    parser.add_argument("--drafter", metavar="NAME[:KEY=VALUE,...]", action="append",
                        help="instead of -k and --draft-length, see otspec decode; repeatable")
    parser.add_argument("--temperature", metavar="NUMBERS", default="1.0", help="such as 0.6,1.0 (default: 1.0)")
    parser.add_argument("--max-new-tokens", type=count, default=64)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--shard-size", type=count, default=64, help="prompts of one unit of work (default: 64)")
    parser.add_argument("--workers", type=count, help="processes of this machine that share the work")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="instead: a running Dask scheduler, tcp://HOST:PORT")


def _sweep(given: Any) -> None:
    from otspec.core.table import Table, narrowed
    from otspec.decode.sweep import decode_sweep
    from otspec.decode.sweep.plan import check_settings, settings_of

    grid = [settings | {"temperature": _numbers("--temperature", given.temperature, float),
                        "max_new_tokens": given.max_new_tokens, "seed": given.seed} for settings in _methods(given)]
    prompts = read_prompts(given.prompts)
    check_place("--out", given.out, folder=True)
    check_settings(settings_of(grid))  # before any model is loaded
    pair: Any = given.pair
    if given.target is not None or given.draft is not None:
        from otspec.cli.shared import named_pair

        pair = named_pair(given)
    with _executor(given) as executor:
        found = decode_sweep(pair, prompts, grid, out=given.out, executor=executor,
                             shard_size=given.shard_size, threads=given.threads or 1, progress=not given.quiet)
    table = found.to_table()
    path = f"{given.out}/table.csv"
    table.to_csv(path)
    shown = Table([{name: row[name] for name in row if name in SHOWN} for row in table.rows])
    with narrowed(terminal_width()):
        show(given, {"out": given.out, "rows": table.rows}, f"{shown}\n\n{found} in {path}")


def _methods(given: Any) -> list[dict[str, Any]]:
    """Drafts and rules, as parts of a grid."""
    from otspec.core.errors import BadArgument

    verifiers = None if given.verifier is None else read_names("--verifier", given.verifier)
    if given.drafter is None:
        return [{"verifier": verifiers or ["block"], "scheme": _numbers("-k", given.k or "1", int),
                 "draft_length": _numbers("--draft-length", given.draft_length or "4", int)}]
    if given.k or given.draft_length:
        raise BadArgument("--drafter: given beside -k or --draft-length. Fix: a drafter says all that is drafted.")
    drafters = [read_drafter(text) for text in given.drafter]
    return [{"verifier": verifiers or [usual_verifier(one)], "drafter": one} for one in drafters]


def _numbers(option: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    from otspec.core.errors import BadArgument

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise BadArgument(f"{option}: {text!r} holds no numbers. Fix: numbers with commas between them, such as "
                          f"1,2,4.") from None


@contextmanager
def _executor(given: Any) -> Iterator[Any]:
    """Workers that were asked for; None decodes here."""
    from otspec.core.errors import BadArgument

    if given.workers and given.scheduler:
        raise BadArgument("--workers: given beside --scheduler. Fix: leave one out.")
    if given.scheduler:
        try:
            from distributed import Client
        except ImportError:
            raise BadArgument("--scheduler: Dask is not installed. Fix: pip install -e '.[cluster]'.") from None
        try:
            client = Client(given.scheduler, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            raise BadArgument(f"--scheduler: {given.scheduler} does not answer ({error}). Fix: the address that the "
                              f"scheduler prints, tcp://HOST:PORT.") from None
        with client, client.get_executor() as executor:
            yield executor
    elif given.workers and given.workers > 1:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(given.workers, mp_context=multiprocessing.get_context("spawn")) as executor:
            yield executor
    else:
        yield None
