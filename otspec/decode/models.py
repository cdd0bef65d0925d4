"""A target and a draft model that share one vocabulary: the unit that every decoder and recorder works on.

Verification compares the two models' laws token by token, so the pair is usable only if token id `i` means the
same text for both. `load_pair` therefore refuses two models whose vocabularies differ: with the wrong map every
rule would still emit *a* law exactly, but the draft's mass would sit on unrelated tokens and nothing would be
accepted. Models that pad their output layer to different widths (Qwen2.5 0.5B: 151,936 rows, 7B: 152,064) share
a vocabulary nevertheless; `Pair.vocab_size` is then the smaller width and logits are to be cut to it.

torch and transformers are imported inside the functions, so importing this module costs nothing.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otspec.core.errors import BadArgument, ShapeMismatch, UnknownName
from otspec.core.names import did_you_mean
from otspec.decode.arguments import as_token_ids
from otspec.decode.derived import derive, is_derived
from otspec.decode.hashes import check_hashes
from otspec.decode.live import check_live, is_live, live_fingerprint, live_name
from otspec.decode.weights import fingerprint, load_model, load_tokenizer, locate, need_transformers

POCKET = Path(__file__).resolve().parents[1] / "data" / "pocket"
POCKET_PAIRS = {"pocket": ("target", "draft"), "pocket-small": ("target", "draft-small")}


@dataclass(frozen=True)
class Pair:
    """Two causal language models over one vocabulary, in evaluation mode.

    Attributes
    ----------
    target, draft : transformers.PreTrainedModel
        The large and the small model; ``model(input_ids=ids).logits`` is ``[batch length width]`` with
        ``width >= vocab_size``. Cut it to the first ``vocab_size`` entries before the softmax.
    tokenizer : object or None
        The shared tokenizer, None if neither folder holds one.
    target_name, draft_name : str
        What was asked for: a pocket name, a folder or a hub id.
    vocab_size : int
        Number of token ids that both models can emit.
    device : str
        ``"cpu"`` or ``"cuda:<index>"``.
    fingerprint : str
        SHA-256 (hex) over weights, configuration and tokenizer of local folders, over name and commit for hub
        models: the same string means the same laws. (Of the pocket pair the weights name the rest, which is
        checked.) What was changed in memory since, `otspec.record` and `otspec.build_report` see for themselves.
    others : tuple of transformers.PreTrainedModel
        Further draft models, for drafters that read several.
    """

    target: Any
    draft: Any
    tokenizer: Any
    target_name: str
    draft_name: str
    vocab_size: int
    device: str
    fingerprint: str
    others: tuple[Any, ...] = ()

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, with the special tokens that the tokenizer adds by itself.

        Raises
        ------
        BadArgument
            If the pair was loaded without a tokenizer, or ``text`` is no string.
        """
        if not isinstance(text, str):
            raise BadArgument(f"text: {text!r} is a {type(text).__name__}, not a string. "
                              f"Fix: encode one text at a time.")
        return list(self._need_tokenizer("encode").encode(text))

    def decode(self, tokens: Any) -> str:
        """Return the text of a sequence of token ids; inverse of `encode` on byte-level vocabularies.

        Raises
        ------
        BadArgument
            If the pair was loaded without a tokenizer, or ``tokens`` is no flat list of ids of the vocabulary.
        """
        ids = as_token_ids("tokens", tokens, self.vocab_size)
        return self._need_tokenizer("decode").decode(ids, clean_up_tokenization_spaces=False)

    def __repr__(self) -> str:
        """Names of the models, vocabulary and device; the models' own repr is pages long."""
        return (f"Pair(target={self.target_name!r}, draft={self.draft_name!r}, vocab_size={self.vocab_size}, "
                f"device={self.device!r})")

    def _need_tokenizer(self, method: str) -> Any:
        if self.tokenizer is None:
            raise BadArgument(
                f"{method}: the pair {self.target_name!r} / {self.draft_name!r} has no tokenizer; put the tokenizer's "
                "files into the target's folder, or give prompts as lists of token ids (on the command line: --prompts "
                "ids.json, such as [[5, 17], [5, 3]])"
            )
        return self.tokenizer


def load_pair(
    name: str | None = None,
    *,
    target: Any = None,
    draft: Any = None,
    tokenizer: Any = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Pair:
    """Load a target and a draft model that share a vocabulary.

    Parameters
    ----------
    name : {"pocket", "pocket-small"}, optional
        A pair that ships with otspec: one target, with its draft or with a much weaker one.
    target, draft : str, Path or transformers.PreTrainedModel, optional (draft: also several)
        Instead of `name`: two folders in the Hugging Face layout, hub ids (``"owner/model"``), GGUF files or folders
        with one, or names that ``otspec models fetch`` knows. The tokenizer lies in the folder, in the one above, or in
        the GGUF file. A draft ``"skip:8-20"`` is the target without those layers (numbers or ranges, ends included,
        the first layer being 0), its weights shared; ``"quantised:4"`` is the target with its matrices rounded to 4
        bits in groups of 32 (a draft for study: no faster than the target). A list of drafts makes a pair for drafters
        that read several models; the first is its ``draft``, the rest its ``others``. A model in memory is used as it
        is, in evaluation mode, on its device and in its precision.
    tokenizer : object, optional
        Of a target in memory, which has none; without one, prompts are lists of token ids.
    device : str
        ``"auto"`` (that of a target in memory; else CUDA if there is one, else CPU), ``"cpu"``, ``"cuda"`` or
        ``"cuda:<index>"``.
    dtype : {"auto", "float32", "float64", "bfloat16", "float16"}
        ``"auto"``: float32 on CPU, for the pocket models and for GGUF files; on CUDA what the model's configuration
        says. The two half precisions are refused on CPU.

    Returns
    -------
    Pair
        With ``vocab_size`` the common width; where the models pad it differently, the smaller one.

    Raises
    ------
    BadFile
        A folder that is missing or incomplete, a pocket or fetched file whose hash is wrong, a GGUF file that is cut
        off or of an unknown architecture, a named model that was not fetched, a hub model that cannot be had.
    ShapeMismatch
        Two models with different vocabularies.
    BadArgument
        A device that is not there, an unknown dtype, half precision on CPU, `name` together with `target`; a model in
        memory that is in training mode, on another device or is to have another precision.
    UnknownName
        A `name` that is no pocket pair.
    MissingExtra
        transformers is not installed, or what it needs to read GGUF files.

    Examples
    --------
    >>> pair = load_pair("pocket", device="cpu")
    >>> pair.vocab_size, pair.decode(pair.encode("def f(x):"))
    (2048, 'def f(x):')
    """
    pocket = name is not None
    target_at, draft_at = _locations(name, target, draft)
    need_transformers("load_pair")
    if pocket:
        check_hashes(POCKET)
    drafts = list(draft_at) if isinstance(draft_at, (list, tuple)) else [draft_at]
    made = [str(at) for at in drafts if is_derived(at)]
    asked = [("target", target_at), *(("draft", at) for at in drafts if not is_derived(at))]
    sources = [at if is_live(at) else locate(at, which) for which, at in asked]
    _check_tokenizer(target_at, tokenizer)
    place = resolve_device(str(target_at.device) if is_live(target_at) and device == "auto" else device)
    number = _torch_dtype(dtype, place, pocket)
    if dtype != "auto" and (live := next((which for which, at in asked if is_live(at)), None)):
        raise BadArgument(f"dtype: {dtype!r}, but the {live} is in memory and keeps its precision. Fix: leave it out.")
    loaded = iter([(check_live(which, source, place), None) if is_live(source) else
                   (load_model(source, number, place), load_tokenizer(source))
                   for (which, _), source in zip(asked, sources, strict=True)])
    model, own = next(loaded)
    tokenizer = own if tokenizer is None else tokenizer
    models = [(derive(model, at), tokenizer) if is_derived(at) else next(loaded) for at in drafts]
    names = [tokens for _, tokens in ((model, tokenizer), *models) if tokens is not None]
    return Pair(
        target=model,
        draft=models[0][0],
        tokenizer=names[0] if names else None,
        target_name=f"{name}/target" if pocket else _called(target),
        draft_name=f"{name}/draft" if pocket else ", ".join(map(_called, drafts)),
        vocab_size=min(common_vocab_size(_width(model), _width(one), tokenizer, tokens) for one, tokens in models),
        device=place,
        fingerprint=_fingerprint(sources, " ".join(made)),
        others=tuple(one for one, _ in models[1:]),
    )


def common_vocab_size(target_width: int, draft_width: int, target_tokenizer: Any, draft_tokenizer: Any) -> int:
    """Return the number of token ids that mean the same for both models.

    Parameters
    ----------
    target_width, draft_width : int
        Widths of the two output layers.
    target_tokenizer, draft_tokenizer : object or None
        With ``get_vocab()``; None where a model has none.

    Raises
    ------
    ShapeMismatch
        The tokenizers disagree on a token, or the widths differ and no pair of equal tokenizers that fits into
        the smaller width shows the difference to be padding.
    """
    sizes = f"target {target_width} and draft {draft_width}"
    both = target_tokenizer is not None and draft_tokenizer is not None
    if both:
        left, right = target_tokenizer.get_vocab(), draft_tokenizer.get_vocab()
        if left != right:
            token = min(token for token in left.keys() | right.keys() if left.get(token) != right.get(token))
            raise ShapeMismatch(
                f"target and draft: the vocabularies differ ({len(left)} and {len(right)} tokens; output widths: "
                f"{sizes}); token {token!r} is id {left.get(token)} for the target and {right.get(token)} for the "
                "draft; choose a draft with the target's tokenizer"
            )
    if target_width == draft_width:
        return target_width
    smaller = min(target_width, draft_width)
    if not both:
        raise ShapeMismatch(
            f"target and draft: vocabulary sizes differ, {sizes}, and without a tokenizer beside both models the "
            "difference cannot be shown to be padding; choose a draft with the target's vocabulary"
        )
    token, highest = max(left.items(), key=lambda item: item[1], default=("", -1))
    if highest >= smaller:  # ids may have gaps, so the number of tokens says nothing
        raise ShapeMismatch(
            f"target and draft: vocabulary sizes differ, {sizes}, and token {token!r} of the shared tokenizer has id "
            f"{highest}, which the smaller lacks; choose a draft with the target's vocabulary"
        )
    return smaller


def resolve_device(device: str) -> str:
    """Return ``"cpu"`` or ``"cuda:<index>"`` for a device argument, ``"auto"`` included.

    Raises
    ------
    BadArgument
        A CUDA device that is not there, or a string that names no such device.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if there else "cpu"
    if device == "cpu":
        return "cpu"
    match = re.fullmatch(r"cuda(?::(\d+))?", str(device))
    if match is None:
        raise BadArgument(f"device: {device!r} is not one of 'auto', 'cpu', 'cuda', 'cuda:<index>'")
    index = int(match[1] or 0)
    if index >= there:
        raise BadArgument(f"device: {device!r} was asked for, but torch sees {there} CUDA devices; use device='cpu'")
    return f"cuda:{index}"


def _called(at: Any) -> str:
    return live_name(at) if is_live(at) else str(at)


def _check_tokenizer(target: Any, tokenizer: Any) -> None:
    if tokenizer is None:
        return
    if not is_live(target):
        raise BadArgument("tokenizer: given beside a folder, whose own is read. Fix: leave it out.")
    if not all(hasattr(tokenizer, name) for name in ("encode", "decode", "get_vocab")):
        raise BadArgument(f"tokenizer: {type(tokenizer).__name__} cuts no texts. Fix: AutoTokenizer.from_pretrained"
                          f"(...), or leave it out and give prompts as token ids.")


def _fingerprint(sources: list[Any], made: str) -> str:
    if live := [one for one in sources if is_live(one)]:
        rest = [one for one in sources if not is_live(one)]
        return hashlib.sha256(f"{live_fingerprint(*live)} {fingerprint(*rest)} {made}".encode()).hexdigest()
    if made:
        return hashlib.sha256(f"{fingerprint(*sources)} {made}".encode()).hexdigest()
    if all(Path(source).resolve().parent == POCKET for source in sources):
        check_hashes(POCKET)
        return fingerprint(*sources, weights_only=True)  # the name that the bundled trace gives the pair
    return fingerprint(*sources)


def _locations(name: Any, target: Any, draft: Any) -> tuple[Any, Any]:
    if name is None:
        if target is None or draft is None:
            raise BadArgument("load_pair: give a name ('pocket', 'pocket-small') or both target= and draft=")
        if isinstance(draft, (list, tuple)) and not draft:
            raise BadArgument("draft: an empty list. Fix: name at least one draft model.")
        drafts = draft if isinstance(draft, (list, tuple)) else [draft]
        for which, at in (("target", target), *(("draft", one) for one in drafts)):
            if not isinstance(at, (str, Path)) and not is_live(at):
                raise BadArgument(f"{which}: {type(at).__name__} is no model. Fix: a folder, a hub id, or a model of "
                                  f"transformers in memory.")
        return target, draft
    if target is not None or draft is not None:
        raise BadArgument(f"load_pair: name {name!r} already fixes both models; leave out target= and draft=")
    if not isinstance(name, str) or name not in POCKET_PAIRS:
        known = ", ".join(map(repr, POCKET_PAIRS))
        raise UnknownName(f"name: {name!r} is none of {known}."
                          f"{did_you_mean(name, POCKET_PAIRS)} Or pass models of your own as target= and draft=")
    left, right = POCKET_PAIRS[name]
    return POCKET / left, POCKET / right


def _torch_dtype(dtype: str, device: str, pocket: bool) -> Any:
    import torch

    known = {name: getattr(torch, name) for name in ("float32", "float64", "bfloat16", "float16")}
    if dtype == "auto":
        return torch.float32 if device == "cpu" or pocket else "auto"
    if dtype not in known:
        raise BadArgument(f"dtype: {dtype!r} is not one of 'auto', {', '.join(map(repr, known))}")
    if device == "cpu" and dtype in ("bfloat16", "float16"):
        raise BadArgument(f"dtype: {dtype!r} is refused on CPU, where logits would be rounded; use 'float32'")
    return known[dtype]


def _width(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])
