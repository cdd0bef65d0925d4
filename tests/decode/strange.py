"""Tiny models that cannot be read through one cache with a mask, or only just, each for a reason of its own."""

import numpy as np
import torch
import transformers as tf

_SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
          "num_attention_heads": 2, "num_key_value_heads": 2}
_HALF = {"vocab_size": 64, "d_model": 16, "decoder_layers": 2, "encoder_layers": 1, "decoder_attention_heads": 2,
         "encoder_attention_heads": 2, "decoder_ffn_dim": 24, "encoder_ffn_dim": 24, "max_position_embeddings": 128,
         "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
_BERT = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 64}
_ROTARY = {"rope_theta": 10000.0, "factor": 4.0}
SHORT = 32  # tokens of the longest text that "longrope" reads with its short factors

MAKERS = {
    "mpt": lambda: tf.MptForCausalLM(tf.MptConfig(vocab_size=64, d_model=16, n_heads=2, n_layers=2, max_seq_len=128)),
    "gpt_neo": lambda: tf.GPTNeoForCausalLM(tf.GPTNeoConfig(
        vocab_size=64, hidden_size=16, num_heads=2, num_layers=2, intermediate_size=32, window_size=8, bos_token_id=0,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=128, eos_token_id=0)),
    "bart": lambda: tf.BartForCausalLM(tf.BartConfig(**_HALF)),
    "mbart": lambda: tf.MBartForCausalLM(tf.MBartConfig(**_HALF)),
    "marian": lambda: tf.MarianForCausalLM(tf.MarianConfig(**_HALF)),
    "pegasus": lambda: tf.PegasusForCausalLM(tf.PegasusConfig(**_HALF)),
    "blenderbot": lambda: tf.BlenderbotForCausalLM(tf.BlenderbotConfig(**_HALF)),
    "plbart": lambda: tf.PLBartForCausalLM(tf.PLBartConfig(**_HALF)),
    "roformer": lambda: tf.RoFormerForCausalLM(tf.RoFormerConfig(**_BERT, is_decoder=True, embedding_size=16)),
    "openai": lambda: tf.OpenAIGPTLMHeadModel(tf.OpenAIGPTConfig(vocab_size=64, n_embd=16, n_layer=1, n_head=2,
                                                                 n_positions=64)),
    "mamba": lambda: tf.MambaForCausalLM(tf.MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1,
                                                        state_size=4)),
    "bert": lambda: tf.BertLMHeadModel(tf.BertConfig(**_BERT)),
    "bert_decoder": lambda: tf.BertLMHeadModel(tf.BertConfig(**_BERT, is_decoder=True)),
    "t5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=24, num_layers=1,
                                                            num_heads=2, decoder_start_token_id=0)),
    "bloom": lambda: tf.BloomForCausalLM(tf.BloomConfig(vocab_size=64, hidden_size=16, n_layer=2, n_head=2)),
    "gemma2": lambda: tf.Gemma2ForCausalLM(tf.Gemma2Config(**_SMALL, head_dim=8, sliding_window=6,
                                                           query_pre_attn_scalar=8, max_position_embeddings=256)),
    "dynamic": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(
        **_SMALL, max_position_embeddings=SHORT, rope_parameters={"rope_type": "dynamic", **_ROTARY})),
    "longrope": lambda: tf.Phi3ForCausalLM(tf.Phi3Config(
        **_SMALL, max_position_embeddings=128, pad_token_id=0, original_max_position_embeddings=SHORT,
        rope_parameters={"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
                         "original_max_position_embeddings": SHORT, **_ROTARY})),
}


def strange(name, seed, size=64):
    """A model with random weights in double precision that makes its logits matter."""
    made, rng = MAKERS[name](), np.random.default_rng(seed)
    made.resize_token_embeddings(size)
    with torch.no_grad():
        for value in made.parameters():
            if value.ndim > 1:
                value.copy_(torch.from_numpy(0.35 * rng.normal(size=tuple(value.shape))))
    return made.double().eval().requires_grad_(False)
