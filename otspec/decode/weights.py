"""Model folders on disk: finding, checking and loading one model, and naming what decides its laws by a hash.

Weights are read from safetensors only and code that comes with a model is never run. A folder whose weights do
not fill the whole model is an error: transformers would draw the rest at random and carry on.
"""

import contextlib
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile, MissingExtra
from otspec.core.files import sha256
from otspec.core.names import did_you_mean
from otspec.decode.fetching.catalogue import CATALOGUE
from otspec.decode.fetching.shelf import fetched
from otspec.decode.gguf import gguf_in, is_gguf, load_gguf, place_of
from otspec.decode.identity import canonical

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_TOKENIZER_SETTINGS = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def need_transformers(caller: str) -> None:
    """Raise `MissingExtra`, with the pip command, if transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(f'{caller} needs transformers, which is not installed: pip install -e ".[models]"')


def locate(location: str | Path, which: str) -> str | Path:
    """Return a model folder or a GGUF file as a Path, or a hub id as a str.

    A name that ``otspec models fetch`` knows stands for the folder it was fetched to. What looks like a path never
    reaches the hub: a Path, anything but ``"name"`` or ``"owner/name"``, and an ``"owner/name"`` whose first part is a
    folder here.

    Parameters
    ----------
    location : str or Path
    which : str
        ``"target"`` or ``"draft"``, for the messages.

    Raises
    ------
    BadFile
        A folder that is not there, or lacks its configuration or its weights, or holds several GGUF files; a name of
        the catalogue that was not fetched.
    """
    folder = Path(location).expanduser()
    expected = "a model folder with config.json and *.safetensors, or a .gguf file"
    if folder.is_dir():
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
        if file := gguf_in(folder, which):
            return file
        raise BadFile(f"{which}: {folder} is no model folder; expected {expected}")
    if folder.is_file() and is_gguf(folder):
        return folder
    if isinstance(location, str) and location in CATALOGUE:
        return fetched(location, which)
    local = folder.exists() or (len(folder.parts) > 1 and Path(folder.parts[0]).is_dir())
    if isinstance(location, str) and _HUB_ID.fullmatch(location) and not local:
        if "/" not in location and (near := did_you_mean(location, CATALOGUE)):  # no need to ask the hub
            raise BadFile(f"{which}: there is no folder ./{location}, and no model is called so.{near}")
        return location
    raise BadFile(f"{which}: there is no folder {folder}; expected {expected}, or a hub id such as 'owner/model'")


def load_model(source: str | Path, dtype: Any, device: str) -> Any:
    """Load one causal language model in evaluation mode, without gradients.

    Parameters
    ----------
    source : str or Path
        From `locate`.
    dtype : torch.dtype or "auto"
    device : str

    Returns
    -------
    transformers.PreTrainedModel

    Raises
    ------
    BadFile
        The model cannot be loaded, or its weights do not fill it.
    """
    from transformers import AutoModelForCausalLM

    if is_gguf(source):
        with quiet():
            return _filled(source, load_gguf(Path(source), dtype)).to(device).eval().requires_grad_(False)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=isinstance(source, Path),
                output_loading_info=True,
            )
    except Exception as error:  # transformers, safetensors and the hub raise a dozen unrelated classes here
        if isinstance(source, str) and isinstance(error, OSError):  # the hub's own text is a page long
            raise BadFile(f"{source}: there is no such folder here, and the hub did not give a model of that name "
                          f"({type(error).__name__}). Fix: the path of a folder, or check the name and the network."
                          ) from error
        raise BadFile(
            f"{source}: could not be loaded as a causal language model ({type(error).__name__}: {error}); expected "
            "config.json and safetensors weights of an architecture that transformers knows"
        ) from error
    return _filled(source, loaded).to(device).eval().requires_grad_(False)


def _filled(source: str | Path, loaded: Any) -> Any:
    """Return the model of a pair of model and report, refused where weights are missing."""
    model, report = loaded  # as output_loading_info asks
    for kind in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, report.get(kind) or ())):
            raise BadFile(
                f"{source}: {len(names)} {kind.replace('_', ' ')}, the first is {names[0]}; the weights do not belong "
                "to this config.json, fetch the folder again"
            )
    return model


def tokenizer_folder(source: Path) -> Path | None:
    """Return the folder with the tokenizer's files: the model's, or the one above it."""
    return next((f for f in (source, source.parent) if any((f / name).is_file() for name in _TOKENIZER_FILES)), None)


def load_tokenizer(source: str | Path) -> Any:
    """Load the tokenizer in a GGUF file, in a model folder or in the folder above it; None if there is none.

    Raises
    ------
    BadFile
        There are tokenizer files, but they cannot be loaded.
    """
    where, inside = place_of(source)
    if isinstance(source, Path) and not inside:
        where = tokenizer_folder(source)
        if where is None:
            return None
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                where, trust_remote_code=False, local_files_only=isinstance(source, Path), **inside
            )
    except Exception as error:  # as for the models
        raise BadFile(f"{source}: the tokenizer could not be loaded ({type(error).__name__}: {error})") from error


def fingerprint(*sources: str | Path, weights_only: bool = False) -> str:
    """Return a SHA-256 over the files of folders that decide the laws, and over name and commit of hub models.

    Parameters
    ----------
    *sources : str or Path
        From `locate`. Of a folder count the weights, the configuration without what says nothing about the laws,
        and the tokenizer's files; a GGUF file counts as a whole.
    weights_only : bool
        For folders whose other files are known to be as they were shipped.
    """
    digest = hashlib.sha256()
    for source in sources:
        if is_gguf(source):
            digest.update(bytes.fromhex(sha256(source)))
        elif isinstance(source, Path):
            for file in sorted(source.glob("*.safetensors")):
                digest.update(bytes.fromhex(sha256(file)))
            if not weights_only:
                digest.update(json.dumps(_settings(source), sort_keys=True).encode())
        else:
            from huggingface_hub import try_to_load_from_cache

            # the hub keeps a revision's files in a folder named after its commit
            cached = try_to_load_from_cache(source, "config.json")
            commit = Path(cached).parent.name if isinstance(cached, str) else "unknown"
            digest.update(f"{source}@{commit}".encode())
    return digest.hexdigest()


def _settings(folder: Path) -> dict[str, Any]:
    """Return what decides the laws beside the weights: JSON values, or the hash of a file that holds none."""
    found: dict[str, Any] = {}
    for name in ("config.json", "adapter_config.json"):
        if (folder / name).is_file():
            found[name] = canonical(json.loads((folder / name).read_text(encoding="utf-8")))
    tokenizer = tokenizer_folder(folder)
    for name in (*_TOKENIZER_FILES, *_TOKENIZER_SETTINGS):
        if tokenizer and (file := tokenizer / name).is_file():
            found[name] = sha256(file)
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' bars and load reports inside the block, and put the user's settings back."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub = getLogger("huggingface_hub")
    told = hub.level
    hub.setLevel(ERROR)  # every try is told otherwise, and there are many
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.setLevel(told)
        if bars:
            logging.enable_progress_bar()
