"""Small GGUF files of the llama architecture, written for tests: a byte-level tokenizer and Q8_0 blocks."""

import gguf
import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

VOCAB, WIDTH, LAYERS, HEADS = 260, 32, 2, 2
ALPHABET = sorted(ByteLevel.alphabet())
TOKENS = ["<eos>", *ALPHABET, "th", "the", "Ġthe"]
MERGES = ["t h", "th e", "Ġ the"]
SHAPES = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
          "ffn_gate": (64, WIDTH), "ffn_up": (64, WIDTH), "ffn_down": (WIDTH, 64)}
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj"}


def _interleaved(weight):
    """Rows of query and key heads in the order of GGUF files, whose rotations pair neighbours."""
    return weight.reshape(HEADS, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def write(path, *, seed=0, architecture="llama"):
    """Write a file; return the weights under transformers' names, as the blocks hold them."""
    rng = np.random.default_rng(seed)
    out = gguf.GGUFWriter(path, architecture)
    out.add_block_count(LAYERS)
    out.add_context_length(256)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(64)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(VOCAB)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(TOKENS)
    out.add_token_types([3] + [1] * (VOCAB - 1))
    out.add_token_merges(MERGES)
    out.add_bos_token_id(0)
    out.add_eos_token_id(0)
    weights = {}

    def add(name, theirs, values, order=lambda weight: weight):
        blocks = gguf.quantize(order(values).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
        out.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        held = gguf.dequantize(gguf.quantize(values.astype(np.float32), gguf.GGMLQuantizationType.Q8_0),
                               gguf.GGMLQuantizationType.Q8_0)
        weights[theirs] = held

    add("token_embd.weight", "model.embed_tokens.weight", rng.normal(size=(VOCAB, WIDTH)))
    for layer in range(LAYERS):
        for name, shape in SHAPES.items():
            theirs = f"model.layers.{layer}.{NAMES[name]}.weight"
            add(f"blk.{layer}.{name}.weight", theirs, 0.3 * rng.normal(size=shape),
                _interleaved if name in ("attn_q", "attn_k") else lambda weight: weight)
        for name, theirs in (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
            norm = (1 + 0.1 * rng.normal(size=WIDTH)).astype(np.float32)
            out.add_tensor(f"blk.{layer}.{name}.weight", norm)
            weights[f"model.layers.{layer}.{theirs}.weight"] = norm
    out.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return weights
