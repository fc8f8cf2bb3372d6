"""Makes an MLX model folder of a llama GGUF (Q4_0, Q4_1 or Q8_0): convert.py MODEL.gguf FOLDER

Needs mlx and tokenizers alone. For the tests' small model; whoever has a model in MLX's own form needs none of this.
"""

import json
import os
import shutil
import sys

import mlx.core as mx
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
SPECIAL = 3


def renamed(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return ".".join(["model.layers", parts[1], NAMES[parts[2]], *parts[3:]])
    return ".".join([TOP[parts[0]], *parts[1:]])


def plain(value):
    return value.item() if hasattr(value, "item") else value


def config_of(meta, quantized_bits):
    def of(key):
        return plain(meta[f"llama.{key}"])

    heads = of("attention.head_count")
    return {
        "model_type": "llama",
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": of("attention.head_count_kv"),
        "head_dim": of("embedding_length") // heads,
        "rms_norm_eps": of("attention.layer_norm_rms_epsilon"),
        "rope_theta": of("rope.freq_base"),
        "rope_traditional": True,
        "max_position_embeddings": of("context_length"),
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": True,
        "bos_token_id": plain(meta["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": plain(meta["tokenizer.ggml.eos_token_id"]),
        "quantization": {"group_size": 32, "bits": quantized_bits},
    }


def write_tokenizer(meta, folder):
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    kinds = kinds.tolist() if hasattr(kinds, "tolist") else kinds
    tokenizer.add_special_tokens([token for token, kind in zip(tokens, kinds) if plain(kind) == SPECIAL])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[plain(meta["tokenizer.ggml.bos_token_id"])],
        "eos_token": tokens[plain(meta["tokenizer.ggml.eos_token_id"])],
        "chat_template": meta["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
    }
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump(settings, file)


def main(source, folder):
    weights, meta = mx.load(source, return_metadata=True)
    new = f"{folder}.new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    bits = 8 if source.endswith("Q8_0.gguf") else 4
    mx.save_safetensors(
        os.path.join(new, "model.safetensors"),
        {renamed(name): array for name, array in weights.items()},
        metadata={"format": "mlx"},
    )
    with open(os.path.join(new, "config.json"), "w") as file:
        json.dump(config_of(meta, bits), file)
    write_tokenizer(meta, new)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(new, folder)


main(sys.argv[1], sys.argv[2])
