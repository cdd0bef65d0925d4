"""How to run what the planner recommends: a line of Python, a command, and the nearest settings of other engines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from otspec.decode.drafters import DRAFTERS
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.paths import Paths
from otspec.planner.candidates import Candidate
from otspec.planner.search import Option

POCKET = {("pocket/target", "pocket/draft"): "pocket", ("pocket/target", "pocket/draft-small"): "pocket-small"}


def python_line(one: Candidate, temperature: float) -> str:
    """Call of ``otspec.generate``.

    Examples
    --------
    >>> python_line(Candidate("lookahead", Paths(2, 8), "lookahead_block"), 1.0)
    "ot.generate(pair, prompts, verifier='lookahead_block', scheme=2, draft_length=8, temperature=1.0)"
    """
    if one.drafter is None:
        drafts = ""
    elif isinstance(one.drafter, Paths):
        drafts = f", scheme={one.drafter.paths}, draft_length={one.drafter.depth}"
    else:
        name, given = _named(one.drafter)
        listed = "".join(f", {key}={value!r}" for key, value in given.items())
        drafts = f", drafter=ot.drafter({name!r}{listed})"
    return f"ot.generate(pair, prompts, verifier={one.verifier!r}{drafts}, temperature={temperature})"


def command_line(one: Candidate, settings: Mapping[str, Any]) -> str | None:
    """Command that decodes so; None where the command line has no words for the drafts.

    Where no tokenizer is known of, prompts come from a file ``ids.json``, a list of lists of token ids.

    Examples
    --------
    >>> models = {"target": "pocket/target", "draft": "pocket/draft", "temperature": 0.6}
    >>> command_line(Candidate("chain", Paths(1, 8), "block"), models)
    "otspec decode --pair pocket --prompt 'def main():' --verifier block -k 1 --draft-length 8 --temperature 0.6"
    """
    if one.drafter is None:
        return None
    if isinstance(one.drafter, Paths):
        drafts = ["-k", str(one.drafter.paths), "--draft-length", str(one.drafter.depth)]
    else:
        name, given = _named(one.drafter)
        words = [_word(key, value) for key, value in given.items()]
        if None in words:
            return None
        drafts = ["--drafter", f"{name}:{','.join(map(str, words))}"]
    target, draft = (str(settings.get(name)) for name in ("target", "draft"))
    pocket = POCKET.get((target, draft))
    models = ["--pair", pocket] if pocket else ["--target", target, "--draft", draft]
    # without a tokenizer there are no texts; a trace does not say whether its models had one
    texts = ["--prompt", "def main():"] if pocket or settings.get("tokenizer") else ["--prompts", "ids.json"]
    return shlex.join(["otspec", "decode", *models, *texts, "--verifier", str(one.verifier),
                       *drafts, "--temperature", f"{settings['temperature']:g}"])


def engine_lines(choice: Option, others: Iterable[Option]) -> tuple[str, ...]:
    """Nearest settings of vLLM and llama.cpp: the best chain that is verified token by token, as they verify."""
    found = [one for one in (choice, *others) if one.candidate.family == "token_wise"]
    if not found or choice.candidate.drafter is None:
        return ()
    best = found[0]
    length = best.candidate.drafts
    return (f"engines verify one chain token by token; their nearest setting, {best.tokens.mean:.3f} tokens per call:",
            f"""vLLM: --speculative-config '{{"model": "DRAFT", "num_speculative_tokens": {length}}}'""",
            f"llama.cpp: llama-server -m TARGET -md DRAFT --draft-min {length} --draft-max {length} --draft-p-min 0")


def _named(drafter: Drafter) -> tuple[str, dict[str, Any]]:
    """Name of a drafter, and its parameters that are not the default ones."""
    name = next(name for name, entry in DRAFTERS.items() if entry.factory is type(drafter))
    given = {field.name: getattr(drafter, field.name) for field in fields(drafter)}  # type: ignore[arg-type]
    return name, {key: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
                  for key, value in given.items() if value is not None}


def _word(key: str, value: Any) -> str | None:
    """A parameter as the command line has it; None where it has no such words."""
    if isinstance(value, int):
        return f"{key}={value}"
    if isinstance(value, tuple) and all(isinstance(one, int) for one in value):
        return f"{key}={'x'.join(map(str, value))}"
    return None
