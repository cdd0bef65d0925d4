"""Drafts made from the target by rounding its weights: the grid, the sharing, and what is refused."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import Pair, load_pair  # noqa: E402
from otspec.decode.quantising import quantise, round_groups, rounding  # noqa: E402
from tests.decode import tiny  # noqa: E402


@pytest.mark.parametrize(("spec", "says"), [
    ("quantised:", "names no rounding"), ("quantised:four", "names no rounding"), ("quantised:1", "asks for 1 bits"),
    ("quantized:9", "asks for 9 bits"), ("quantised:4/1", "groups of 1"), ("quantised:4/", "names no rounding"),
    ("quantised:-4", "names no rounding"), ("quantised:4.5", "names no rounding")])
def test_bad_specifications(spec, says):
    with pytest.raises(BadArgument, match=says):
        rounding(spec)


@pytest.mark.parametrize(("bits", "group", "width"), [(2, 4, 12), (3, 32, 40), (8, 64, 20)])
def test_every_group_lies_on_its_grid_and_moves_by_half_a_step_at_most(bits, group, width):
    weight = torch.randn(5, width, dtype=torch.float64, generator=torch.Generator().manual_seed(bits))
    found = round_groups(weight, bits, group)
    for row, new in zip(weight, found, strict=True):
        for start in range(0, width, group):
            old, rounded = row[start : start + group], new[start : start + group]
            step = (old.max() - old.min()) / (2**bits - 1)
            assert (rounded - old).abs().max() <= 0.5 * step * (1 + 1e-12)  # half a step, and the rounding of a product
            assert len({round(float(value), 10) for value in rounded}) <= 2**bits
            assert [float(rounded.min()), float(rounded.max())] == pytest.approx([float(old.min()), float(old.max())])


def test_groups_of_equal_weights_stay():
    weight = torch.tensor([[0.25] * 6, [0.0] * 6])
    assert torch.equal(round_groups(weight, 2, 4), weight)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_rounded_model_leaves_the_target_alone_and_keeps_what_is_shared(family):
    target = tiny.model(1, 64, family, tie_word_embeddings=True)
    text = torch.tensor([[3, 4, 5, 6]])
    before = target(text).logits
    draft = quantise(target, "quantised:3")
    assert torch.equal(target(text).logits, before)
    assert draft.get_input_embeddings().weight is draft.get_output_embeddings().weight
    assert not any(one is other for one in draft.parameters() for other in target.parameters())
    for (name, mine), theirs in zip(draft.named_parameters(), target.parameters(), strict=True):
        assert torch.equal(mine, theirs) == (theirs.ndim == 1), name


def test_more_bits_come_closer():
    target = tiny.model(1, 64)
    text = torch.tensor([[3, 4, 5, 6, 7, 8]])
    whole = target(text).logits.softmax(-1)
    overlap = [torch.minimum(whole, quantise(target, f"quantised:{bits}")(text).logits.softmax(-1)).sum(-1).mean()
               for bits in (2, 4, 8)]
    assert overlap[0] < overlap[1] < overlap[2]
    assert overlap[2] > 0.95


def test_texts_are_those_of_the_target():
    target = tiny.model(1, 64)
    pair = Pair(target, quantise(target, "quantised:2"), None, "t", "d", 64, "cpu", "quantised")
    run = generate(pair, [[5, 6, 7]], verifier="block", draft_length=3, max_new_tokens=8, temperature=0)
    for i, token in enumerate(run.tokens[0]):
        assert token == tiny.law(target, [5, 6, 7, *run.tokens[0][:i]]).argmax()


def test_a_pair_is_loaded_from_one_folder_in_either_spelling(tmp_path):
    tiny.model(1, 64).float().save_pretrained(tmp_path)
    left, right, other = (load_pair(target=str(tmp_path), draft=spec, device="cpu")
                          for spec in ("quantised:4", "quantized:4", "quantised:5"))
    text = torch.tensor([[3, 4]])
    assert torch.equal(left.draft(text).logits, right.draft(text).logits)
    assert left.fingerprint != other.fingerprint
