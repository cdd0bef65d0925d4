"""Every causal architecture of the installed transformers is decoded exactly, or refused by the property it lacks.

The truth is one whole pass over each text alone, without a cache. A greedy text must follow that pass's largest logits,
a sampled one must be what the same random numbers give when every law comes from such a pass.
"""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from tests.decode import architectures, tiny  # noqa: E402

PROMPTS = [[11, 24, 5, 46, 37, 18], [33, 7, 52]]
NEW = 10  # tokens: a text ends past the windows and chunks of 8 that the builder sets
NEAR = 1e-4  # of the largest logit: below it the sums of two orders may disagree about which is larger
KNOWN_VERSION = "5.24"
EAGER = ("llama", "mistral", "gpt2", "gpt_neox", "qwen2", "qwen3", "gemma2", "phi3", "mixtral", "falcon", "opt",
         "bert", "deepseek_v3")
ROTARY = {"dynamic": {"factor": 2.0, "max_position_embeddings": 16},
          "yarn": {"factor": 4.0, "original_max_position_embeddings": 8},
          "longrope": {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "factor": 4.0,
                       "original_max_position_embeddings": 8}}
CASES = {name: (name, {}) for name in architectures.types()}
CASES |= {f"{name}-eager": (name, {"attention": "eager"}) for name in EAGER}
CASES |= {
    "bert-encoder": ("bert", {"is_decoder": False}),
    "roberta-encoder": ("roberta", {"is_decoder": False}),
    "electra-encoder": ("electra", {"is_decoder": False}),
    "xlm-causal": ("xlm", {"causal": True}),
    "xlnet-causal": ("xlnet", {"attn_type": "uni"}),
    "falcon-alibi": ("falcon", {"alibi": True}),
    "reformer-local": ("reformer", {"attn_layers": ["local", "local"]}),
    "gemma4-shared": ("gemma4_text", {"num_hidden_layers": 4, "num_kv_shared_layers": 2,
                                      "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "qwen2-window": ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
                               "layer_types": ["full_attention", "sliding_attention"]}),
    "llama-positions-full": ("llama", {"max_position_embeddings": len(PROMPTS[0]) + NEW}),
}
CASES |= {f"llama-{kind}": ("llama", {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0} | more})
          for kind, more in ROTARY.items()}

# what the known version cannot do, by the words that the refusal must have
NOT_CAUSAL, NOT_ALONE = "not causal: its logits move when later tokens change", "cannot be run on token ids alone"
REFUSED = dict.fromkeys(("cpmant", "reformer", "xlm", "xlnet", "bert-encoder", "electra-encoder", "roberta-encoder"),
                        NOT_CAUSAL)
REFUSED |= dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant", "musicgen", "musicgen_melody"), NOT_ALONE)


class Whole:
    """A model as its own definition: every call is a whole pass, without a cache; keeps what it has said."""

    def __init__(self, model):
        self.model, self.said = model, {}

    def __call__(self, ids, use_cache=False):
        assert not use_cache
        key = tuple(ids[0].tolist())
        if key not in self.said:
            with torch.inference_mode():
                out = self.model(input_ids=ids, use_cache=False).logits[:, -1:, : architectures.VOCABULARY]
            self.said[key] = out.clone()
        return type("Out", (), {"logits": self.said[key]})

    def last(self, text):
        return self(torch.tensor([text])).logits[0, -1].double().numpy()


def built(name):
    model_type, more = CASES[name]
    try:
        return [architectures.tiny(model_type, seed, **more) for seed in (1, 2)]
    except Exception as error:
        if model_type in architectures.NOT_BUILT:
            pytest.skip(f"{model_type}: {architectures.NOT_BUILT[model_type]}")
        if not transformers.__version__.startswith(KNOWN_VERSION):
            pytest.skip(f"{model_type} is not built with transformers {transformers.__version__}: {error!r:.200}")
        raise


def pair_of(name):
    target, draft = built(name)
    return ot.Pair(target, draft, None, "t", "d", architectures.VOCABULARY, "cpu", name)


def quietly(call, *args, **settings):
    """Answer of a call, without the warnings of slow ways to read a model and of transformers itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **settings)


def decode(pair, **settings):
    return quietly(ot.generate, pair, PROMPTS, max_new_tokens=NEW, stop_token=None, predict=False, **settings)


def check_greedy(pair, whole, **how):
    run = decode(pair, temperature=0, **how)
    for prompt, new in zip(PROMPTS, run.tokens, strict=True):
        assert len(new) == NEW
        for place, token in enumerate(new):
            logits = whole.last(prompt + new[:place])
            assert logits[token] >= logits.max() - NEAR * np.abs(logits).max(), (how, prompt, new, place)
    return run


def check_sampled(pair, whole, draft):
    together = decode(pair, verifier="block", draft_length=2, seed=4).tokens
    oracle = ot.Pair(whole, draft, None, "t", "d", architectures.VOCABULARY, "cpu", "oracle")
    tiny._logits.cache_clear()
    for place, (prompt, new) in enumerate(zip(PROMPTS, together, strict=True)):
        assert new == tiny.decode(oracle, prompt, ot.verifier("block", 1), 2, NEW, seed=4, place=place)
    assert decode(pair, verifier="block", draft_length=2, seed=4, batch_size=1).tokens == together
    return together


def check_recorded(pair, whole, draft, texts):
    trace = quietly(ot.record, pair, texts, progress=False)
    for model, laws in ((whole, trace.target), (draft, trace.draft)):
        for text, law in zip(texts, laws, strict=True):
            logits = model.last(text)
            truth = np.exp(logits - logits.max())
            # a trace keeps logarithms in half precision
            np.testing.assert_allclose(law, truth / truth.sum(), atol=1e-3)


def check(pair):
    whole, draft = Whole(pair.target), Whole(pair.draft)
    check_greedy(pair, whole, verifier="block", draft_length=3)
    check_greedy(pair, whole, verifier="winner_block", scheme=2, draft_length=2)
    texts = check_sampled(pair, whole, draft)
    check_recorded(pair, whole, draft, [prompt + new for prompt, new in zip(PROMPTS, texts, strict=True)])


@pytest.mark.parametrize("name", sorted(CASES))
def test_decoded_exactly_or_refused_by_name(name):
    pair = pair_of(name)
    if name not in REFUSED:
        try:
            check(pair)
        except ot.OtspecError as error:
            if transformers.__version__.startswith(KNOWN_VERSION):
                raise
            pytest.skip(f"refused with transformers {transformers.__version__}: {error}")
        return
    long = [prompt * 4 for prompt in PROMPTS]  # a text within one chunk of a reformer is read causally
    for call in (lambda: decode(pair, verifier="block"), lambda: decode(pair, verifier="winner_block", scheme=2),
                 lambda: quietly(ot.record, pair, long, progress=False)):
        with pytest.raises(ot.OtspecError, match=REFUSED[name]):
            call()


def test_tables_name_types_that_exist():
    assert set(architectures.NOT_BUILT) | set(EAGER) <= set(CASES)
    assert set(REFUSED) <= set(CASES)


def test_seed_gives_the_weights():
    first, again, other = (architectures.tiny("llama", seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_large_models_are_not_allocated():
    with pytest.raises(architectures.TooLargeToBuild, match=r"llama: .* parameters"):
        architectures.tiny("llama", 1, vocab_size=1_000_000, hidden_size=65_536)
