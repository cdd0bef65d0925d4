"""Tiny models with random weights in double precision, and decoding without caches, batches or masks."""

from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from otspec.core.block import BlockVerifier
from otspec.core.coupling import Coupling
from otspec.core.laws import draw, law_from_logits
from otspec.core.noise import Noise
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.walk import TokenWalk
from otspec.decode.loop import generate
from otspec.decode.models import Pair
from otspec.decode.streams import sequence_seeds, streams
from otspec.verifiers.block.greedy_block import FRESH, GreedyBlock

_GPT2 = {"n_positions": 256, "n_embd": 16, "n_layer": 2, "n_head": 2}
_SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 2, "max_position_embeddings": 256}


def model(seed, size=64, family="llama", scale=1.0, **config):
    if family == "llama":
        made = LlamaForCausalLM(LlamaConfig(vocab_size=size, **(_SMALL | config)))
    elif family == "mistral":
        made = MistralForCausalLM(MistralConfig(vocab_size=size, **(_SMALL | config)))
    else:
        made = GPT2LMHeadModel(GPT2Config(vocab_size=size, **(_GPT2 | config)))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in made.named_parameters():
            noise = torch.from_numpy(rng.normal(size=tuple(value.shape)))
            value.copy_(1 + 0.1 * noise if "norm" in name or "ln_" in name else 0.4 * scale * noise)
    return made.double().eval().requires_grad_(False)


def pair(size=64, family="llama", target=1, draft=2, **config):
    return Pair(model(target, size, family, **config), model(draft, size, family, **config), None,
                "tiny/target", "tiny/draft", size, "cpu", f"tiny-{family}-{size}-{target}-{draft}")


@contextmanager
def banning_everything(one):
    """Let the model answer -inf to everything."""
    def ban(module, args, out):
        out.logits.fill_(-torch.inf)

    hook = one.register_forward_hook(ban)
    yield
    hook.remove()


@lru_cache(maxsize=20_000)
def _logits(one, text):
    with torch.no_grad():
        return one(torch.tensor([text]), use_cache=False).logits[0, -1].numpy()


def law(one, text, **warp):
    """Law after a text, by one plain forward pass over all of it."""
    return law_from_logits(_logits(one, tuple(text)), **warp)


def laws_along(one, text, tokens, **warp):
    return np.array([law(one, [*text, *tokens[:i]], **warp) for i in range(len(tokens) + 1)])


def decode(pair, prompt, rule, draft_length, max_new_tokens, *, paths=1, seed=0, place=0, **warp):
    """One sequence, decoded with a full forward pass per law; ``rule`` is an object."""
    stream, key = streams(seed, place, 1)[0], int(sequence_seeds(seed, place, 1)[0])
    text, state = list(prompt), FRESH
    while len(text) < len(prompt) + max_new_tokens:
        if isinstance(rule, Coupling):
            text += _coupled_round(pair, text, rule, paths, draft_length, key, warp)
        elif isinstance(rule, GreedyBlock):
            kept, state = _greedy_round(pair, text, rule, draft_length, stream, warp, state)
            text += kept
        elif isinstance(rule, BlockVerifier):
            text += _block_round(pair, text, rule, draft_length, stream, warp)
        elif isinstance(rule, TreeVerifier):
            text += _tree_round(pair, text, rule, draft_length, stream, warp)
        else:
            text += _paths_round(pair, text, rule, paths, draft_length, stream, warp)
    return text[len(prompt) : len(prompt) + max_new_tokens]


def _coupled_round(pair, text, rule, paths, draft_length, key, warp):
    drafts, out = [[] for _ in range(paths)], []
    for path in range(paths):
        for i in range(draft_length):
            here, noise = law(pair.draft, text + drafts[path], **warp), Noise(key, len(text) + i)
            drafts[path].append(int(rule.select_list(here, noise, paths)[path] if i == 0 else
                                    rule._select_on_path(here, noise, path)))
    for i in range(draft_length + 1):
        out.append(int(rule.select(law(pair.target, text + out, **warp), Noise(key, len(text) + i))))
        if i < draft_length and out not in [path[: i + 1] for path in drafts]:
            break
    return out


def _block_round(pair, text, rule, draft_length, stream, warp):
    drafts, given = _block_drafts(pair, text, rule, draft_length, stream, warp)
    verdict = rule.draw(*given)
    return [*drafts[: int(verdict.accepted)], int(verdict.token)]


def _greedy_round(pair, text, rule, draft_length, stream, warp, state):
    drafts, given = _block_drafts(pair, text, rule, draft_length, stream, warp)
    verdict, state = rule.draw(*given, state)
    return [*drafts[: int(verdict.accepted)], int(verdict.token)], state


def _block_drafts(pair, text, rule, draft_length, stream, warp):
    """Drafts of one path, and what a rule is asked with."""
    uniforms = stream.random(draft_length + rule.num_uniforms(draft_length))
    drafts = []
    for i in range(draft_length):
        drafts.append(int(draw(law(pair.draft, text + drafts, **warp), uniforms[i])))
    return drafts, (laws_along(pair.target, text, drafts, **warp), laws_along(pair.draft, text, drafts[:-1], **warp),
                    np.array(drafts), uniforms[draft_length:])


def _tree_round(pair, text, rule, draft_length, stream, warp):
    paths, coins = rule.scheme.num_drafts, rule.num_uniforms(draft_length)
    drafting = paths * draft_length
    # the last of the numbers are the prediction's; that of a walk needs none
    uniforms = stream.random(drafting + coins + (0 if isinstance(rule, TokenWalk) else coins))
    drafts = [[] for _ in range(paths)]
    for i in range(draft_length):
        for path, level in zip(drafts, uniforms[i * paths :], strict=False):
            path.append(int(draw(law(pair.draft, text + path, **warp), level)))
    target = np.array([laws_along(pair.target, text, path, **warp) for path in drafts])
    draft = np.array([laws_along(pair.draft, text, path[:-1], **warp) for path in drafts])
    kept, token, path = rule.draw_paths(target, draft, np.array(drafts), uniforms[drafting : drafting + coins])
    return [*drafts[int(path)][: int(kept)], int(token)]


def _paths_round(pair, text, rule, paths, draft_length, stream, warp):
    first, width = rule.scheme.num_uniforms, rule.num_uniforms
    drafting = first + paths * (draft_length - 1)
    uniforms = stream.random(drafting + draft_length * width + 1)
    heads = rule.scheme.sample(law(pair.draft, text, **warp), uniforms[:first]).tolist()
    drafted = [[head] for head in heads]
    for depth in range(1, draft_length):
        for number, path in enumerate(drafted):
            level = uniforms[first + paths * (depth - 1) + number]
            path.append(int(draw(law(pair.draft, text + path, **warp), level)))
    kept = []
    for depth in range(draft_length):
        alive = [path for path in drafted if path[:depth] == kept]
        tokens = np.array([path[depth] for path in alive] + [-1] * (paths - len(alive)))
        coins = uniforms[drafting + depth * width : drafting + (depth + 1) * width]
        token = int(rule.draw(law(pair.target, text + kept, **warp), law(pair.draft, text + kept, **warp), tokens,
                              coins).token)
        kept.append(token)
        if token not in tokens:
            return kept
    return [*kept, int(draw(law(pair.target, text + kept, **warp), uniforms[-1]))]


def text_z_scores(pair, rule, scheme, draft_length, count=3000):
    """Distance of every two-token text's share from its exact probability, in standard errors; 8 tokens."""
    run = generate(pair, [[1, 2]] * count, verifier=rule, scheme=scheme, draft_length=draft_length, max_new_tokens=2,
                   predict=False)
    first = law(pair.target, [1, 2])
    exact = np.array([first[a] * law(pair.target, [1, 2, a]) for a in range(8)])
    assert exact.shape == (8, 8)
    seen = np.zeros((8, 8))
    for a, b in run.tokens:
        seen[a, b] += 1
    kept = exact > 5 / count  # rarer texts are pooled, where the normal approximation holds
    shares = [*(seen[kept] / count), seen[~kept].sum() / count]
    return np.array([(share - p) / np.sqrt(p * (1 - p) / count)
                     for share, p in zip(shares, [*exact[kept], exact[~kept].sum()], strict=True)])
