"""Tiny random models of every causal architecture that the installed transformers can build, made without a download.

A configuration class is asked for its defaults, and every size among them is replaced by a tiny one: the fields that
all families share are named in `SIZES`, lists over layers are cut to one layer of every kind, and parts such as a
text or a vision configuration are treated alike. What cannot be guessed so is in `EXTRA`; what cannot be built here
at all is in `NOT_BUILT`, with its reason.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from otspec.decode.weights import quiet

VOCABULARY = 64
MOST_PARAMETERS = 3_000_000  # 12 MB of float32, filled in some 30 ms

_LAYERS = 2
SIZES: dict[str, Any] = {}
for _value, _names in (
    (VOCABULARY, """vocab_size decoder_vocab_size vocab_size_per_layer_input pronunciation_vocab_size shape_vocab_size
     encoder_hash_byte_group_vocab unpadded_vocab_size ngram_vocab_size_base output_vocab_size"""),
    (32, """hidden_size d_model n_embd embedding_dim emb_dim embedding_size input_embedding_size output_embedding_size
     word_embed_proj_dim attention_hidden_size lru_width pronunciation_embed_dim shape_embed_dim router_hidden_size
     prompt_mid_dim backbone_hidden_size ple_embed_dim dim_model_base hidden_size_global adapter_in_dim
     adapter_out_dim adapter_input_size"""),
    (48, """intermediate_size ffn_hidden_size moe_intermediate_size shared_expert_intermediate_size dim_ff dff d_inner
     decoder_ffn_dim encoder_ffn_dim ffn_dim feed_forward_size n_inner dense_intermediate_size shared_intermediate_size
     shared_experts_intermediate_size moe_shared_expert_intermediate_size expert_ffn_hidden_size intermediate_size_mlp
     prefix_dense_intermediate_size"""),
    (4, """num_attention_heads n_head n_heads num_heads decoder_attention_heads encoder_attention_heads attention_heads
     num_decoder_attention_heads num_encoder_attention_heads n_mamba_heads swa_num_attention_heads index_n_heads
     indexer_n_heads linear_num_heads linear_num_value_heads block_size num_experts n_routed_experts num_local_experts
     moe_num_experts split_ngram_parts zero_expert_num"""),
    (2, """num_key_value_heads num_kv_heads num_query_groups swa_num_key_value_heads linear_num_key_heads
     indexer_kv_heads n_groups mamba_n_groups mamba_ngroups o_groups num_experts_per_tok num_experts_per_token moe_topk
     moe_k top_k_experts num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_blocks
     num_decoder_layers num_encoder_layers num_layers_per_stack layer_group_size global_attn_every_n_layers
     sliding_window_pattern attn_layer_period no_rope_layer_interval expert_layer_period n_heads_per_ngram"""),
    (8, """head_dim kv_channels dim_head d_head attention_head_size v_head_dim qk_nope_head_dim qk_rope_head_dim
     swa_head_dim linear_head_dim linear_key_head_dim linear_value_head_dim index_head_dim indexer_head_dim chunk_size
     mamba_chunk_size sliding_window local_attention window_size attention_window_size sliding_window_size rotary_dim
     attention_chunk_size d_rel adapter_rank gated_norm_rank index_topk state_size ssm_state_size mamba_d_state
     time_step_rank mamba_dt_rank local_attention_window_len keep_window_size rel_extent laurel_rank hc_lowrank
     hidden_size_per_layer_input loop_gate_rank num_centroids position_bias_num_buckets prompt_length heads_per_ngram
     local_attn_chunk_length lsh_attn_chunk_length global_head_dim num_mel_bins"""),
    (16, "q_lora_rank kv_lora_rank qk_head_dim o_lora_rank moe_latent_size image_size max_inference_chunksize"),
    (1, """n_group topk_group num_expert_group first_k_dense_replace num_dense_layers n_shared_experts attn_layer_offset
     num_shared_experts moe_num_shared_experts num_nextn_predict_layers pretraining_tp ffn_round_up_to_multiple_of
     index_local_blocks index_topk_blocks make_ngram_vocab_size_divisible_by n_input_layers n_output_layers
     n_recurrent_layers num_mem_blocks"""),
    (128, """max_position_embeddings n_positions max_seq_len n_ctx context_length max_target_positions model_max_length
     max_source_positions original_max_position_embeddings position_bias_max_distance"""),
):
    SIZES |= dict.fromkeys(_names.split(), _value)
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "sep_token_id": 3,
          "cls_token_id": 3, "forced_eos_token_id": None, "forced_bos_token_id": None}
BY_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type", "indexer_types")  # one layer of every kind

_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8}  # together the width, twice the hidden size
_TWO_KINDS = ["sliding_attention", "full_attention"] * 2
EXTRA: dict[str, dict[str, Any]] = {
    "bamba": _MAMBA | {"attn_layer_indices": [1]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0,
                                                                   "mrope_section": [2, 1, 1]}}},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
             "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dory": {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {"num_key_value_heads": 4, "head_dim": 16, "per_layer_config": None},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_ssm": 32},
    "gemma3n_text": {"num_hidden_layers": 4, "layer_types": _TWO_KINDS, "num_kv_shared_layers": 2,
                     "intermediate_size": [48] * 4, "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0,
                                         "vocab_size_per_layer_input": 0,
                                         "num_hidden_layers": 2, "num_kv_shared_layers": 2}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": _MAMBA | {"layer_types": ["mamba", "attention"]},
    "hrm_text": {"num_layers_per_stack": 1, "num_hidden_layers": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "qwen4_exp_text": {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8,
                       "indexer_compress_ratio": 2, "ple_layer_ids": [1], "heads_per_ngram": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_shape": [8, 16], "axial_pos_embds_dim": [16, 16], "attn_layers": ["local", "lsh"],
                 "hash_seed": 1, "num_buckets": 2},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 3, "attention_hidden_size": 64, "attention_head_dim": 16,
              "layers_block_type": ["linear_attention", "hybrid", "hybrid"]},
    "zamba2": {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
               "hybrid_layer_ids": [1, 2], "n_mamba_heads": 8, "attention_hidden_size": 64, "attention_head_dim": 16},
}
NOT_BUILT: dict[str, str] = {
    "gemma3n": "its vision tower comes from timm, which is no dependency",
}


class TooLargeToBuild(ValueError):
    """The settings here leave the model too large: it wants a line in `EXTRA`."""


def types() -> list[str]:
    """Model types of the installed transformers that have a causal class."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def settings(kind: type[PretrainedConfig]) -> dict[str, Any]:
    """Tiny values for the fields that a configuration class has."""
    extra = EXTRA.get(kind.model_type, {})
    try:
        names = vars(kind())
    except Exception:  # a class that refuses its own defaults
        names = vars(kind(**extra))
    small: dict[str, Any] = {}
    for name, value in names.items():
        if isinstance(value, PretrainedConfig):
            small[name] = settings(type(value))
        elif name in TOKENS:
            small[name] = TOKENS[name]
        elif name.endswith(("_token_id", "_token_index", "token_ids")) and value is not None:
            small[name] = [4] if isinstance(value, (list, tuple)) else 4
        elif name in SIZES and type(value) is int and name not in kind.attribute_map:
            small[name] = min(SIZES[name], value) if value > 0 else value
    kinds = {name: list(dict.fromkeys(names[name])) for name in BY_LAYER if isinstance(names.get(name), (list, tuple))}
    if kinds:
        layers = max(_LAYERS, *map(len, kinds.values()))
        small |= {name: (some * layers)[:layers] for name, some in kinds.items()}
        small |= {name: layers for name in ("num_hidden_layers", "num_layers", "n_layer") if name in small}
    if "is_decoder" in names:
        small["is_decoder"] = True
    if "kv_lora_rank" in names and "num_key_value_heads" in small:  # latent attention has keys for every head
        small["num_key_value_heads"] = small["num_attention_heads"]
    return _merged(small, extra)


def _merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for name, value in more.items():
        part = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = _merged(both[name], value) if part else value
    return both


def configuration(model_type: str, **more: Any) -> PretrainedConfig:
    """Tiny configuration of a model type, or of its part that the causal class reads; ``more`` overrides fields."""
    kind = CONFIG_MAPPING[model_type]
    whole = kind(**_merged(settings(kind), more))
    wanted = causal_class(model_type).config_class
    parts = [part for part in vars(whole).values() if isinstance(part, wanted)]
    return whole if isinstance(whole, wanted) or not parts else parts[0]


def causal_class(model_type: str) -> Any:
    """Class that the installed transformers gives a causal model of this type."""
    return getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type])


def tiny(model_type: str, seed: int, *, attention: str | None = None, scale: float = 0.3, **more: Any) -> Any:
    """Random model of a type, in float32 on the CPU; the same seed gives the same weights.

    Raises
    ------
    TooLargeToBuild
        Before anything is allocated.
    """
    which = {} if attention is None else {"attn_implementation": attention}
    made, config = causal_class(model_type), partial(configuration, model_type, **more)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            size = sum(p.numel() for p in made._from_config(config(), **which).parameters())
        if size > MOST_PARAMETERS:
            raise TooLargeToBuild(f"{model_type}: {size} parameters. Fix: add smaller settings to EXTRA.")
        model = made._from_config(config(), dtype=torch.float32, **which)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(std=scale, generator=generator)
    return model.float().eval().requires_grad_(False)
