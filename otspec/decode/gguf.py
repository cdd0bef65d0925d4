"""Models in one GGUF file: weights in blocks of few bits, configuration and tokenizer beside them.

transformers' own reader is used. The weights are unpacked into a plain model, so that what runs afterwards is the same
code as for any other model; a file of 4 bits a weight then takes eight times its size in memory at float32.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile, MissingExtra

SUFFIX = ".gguf"
_MAGIC = b"GGUF"


def is_gguf(source: Any) -> bool:
    """Whether a source of `otspec.decode.weights.locate` is a GGUF file."""
    return isinstance(source, Path) and source.suffix == SUFFIX


def place_of(source: Any) -> tuple[Any, dict[str, str]]:
    """Return what transformers' loaders take for a source: its place, and the name of a GGUF file there."""
    return (source.parent, {"gguf_file": source.name}) if is_gguf(source) else (source, {})


def gguf_in(folder: Path, which: str) -> Path | None:
    """Return the only GGUF file of a folder, None if there is none.

    Raises
    ------
    BadFile
        There are several.
    """
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        raise BadFile(f"{which}: {folder} holds {len(files)} GGUF files. Fix: name one of them, {files[0]}, say.")
    return files[0] if files else None


def need_gguf(file: Path) -> None:
    """Raise `MissingExtra`, with the pip command, if what transformers needs to read the file is not installed."""
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f'{file}: to read GGUF files transformers needs {" and ".join(missing)}, not installed: '
                           f'pip install -e ".[gguf]"')


def architecture(file: Path) -> str:
    """Return the architecture that a GGUF file names.

    Raises
    ------
    BadFile
        It is no GGUF file, or one that is cut off.
    MissingExtra
        The package gguf is not installed.
    """
    need_gguf(file)
    with open(file, "rb") as stream:
        if (start := stream.read(4)) != _MAGIC:
            raise BadFile(f"{file}: begins with {start!r} instead of {_MAGIC!r}, so it is no GGUF file. Fix: fetch it "
                          f"again.")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        end = max(int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors)
        name = str(reader.fields["general.architecture"].contents())
    except (ValueError, KeyError, IndexError, OverflowError, TypeError, OSError) as error:  # what a cut file does to it
        raise BadFile(f"{file}: cut off or altered ({type(error).__name__}: {error}). Fix: fetch it again.") from None
    if end > (size := file.stat().st_size):
        raise BadFile(f"{file}: {size} bytes, its header promises {end}: cut off. Fix: fetch it again.")
    return name


def load_gguf(file: Path, dtype: Any) -> Any:
    """Load the model of a GGUF file with its weights unpacked.

    Parameters
    ----------
    file : Path
    dtype : torch.dtype or "auto"
        ``"auto"`` is float32: a file of blocks names no precision.

    Returns
    -------
    tuple
        The model, and transformers' report on its weights.

    Raises
    ------
    BadFile
        No GGUF file, a file that is cut off, an architecture that transformers cannot read from GGUF.
    MissingExtra
        The packages of the extra ``gguf`` are not installed.
    """
    import torch
    import transformers

    named = architecture(file)
    unpacked = {"quantization_config": config(dequantize=True)} if (config := _setting(transformers)) else {}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its bar listens to no setting
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32 if dtype == "auto" else dtype,
                trust_remote_code=False, local_files_only=True, output_loading_info=True, **unpacked)
    except Exception as error:  # transformers raises a dozen unrelated classes here
        raise BadFile(f"{file}: architecture {named!r} could not be loaded from GGUF by transformers "
                      f"{transformers.__version__} ({type(error).__name__}: {error}). Fix: a newer transformers, or "
                      f"the model as a folder with config.json and safetensors.") from error
    return _plain(model), report


def _setting(transformers: Any) -> Any:
    """Return the class that asks for unpacked weights, None in versions of transformers that do nothing else."""
    return getattr(transformers, "GgufConfig", None)


def _plain(model: Any) -> Any:
    """Take off the marks of a quantised checkpoint: the weights are plain tensors now, and saved as such."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for name, value in (("hf_quantizer", None), ("is_quantized", False)):
        if hasattr(model, name):
            setattr(model, name, value)
    return model
