"""Drafts made from the target by leaving layers out: same tensors, right laws, clear refusals."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import Pair, load_pair  # noqa: E402
from otspec.decode.skipping import skip_layers, skipped_layers  # noqa: E402
from tests.decode import tiny  # noqa: E402


@pytest.mark.parametrize(("spec", "left_out"), [("skip:0", [0]), ("skip:1,3-4", [1, 3, 4]), ("skip:2-2, 0", [0, 2])])
def test_specifications(spec, left_out):
    assert skipped_layers(spec, 5) == left_out


@pytest.mark.parametrize(("spec", "says"), [("skip:", "names no layers"), ("skip:a", "names no layers"),
                                            ("skip:3-1", "names no layers"), ("skip:5", "layers 0 to 4"),
                                            ("skip:0-4", "at least one"), ("skip:-1", "names no layers")])
def test_bad_specifications(spec, says):
    with pytest.raises(BadArgument, match=says):
        skipped_layers(spec, 5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_a_shorter_model_shares_every_tensor_and_leaves_the_target_alone(family):
    config = {"n_layer": 4} if family == "gpt2" else {"num_hidden_layers": 4}
    target = tiny.model(1, 64, family, **config) if family != "gpt2" else tiny.model(1, 64, family)
    spec = "skip:1" if family == "gpt2" else "skip:1-2"
    text = torch.tensor([[3, 4, 5, 6]])
    before = target(text).logits
    draft = skip_layers(target, spec)
    own = {id(weight) for weight in target.parameters()}
    assert all(id(weight) in own for weight in draft.parameters())
    assert len(list(draft.parameters())) < len(list(target.parameters()))
    assert torch.equal(target(text).logits, before)
    assert not torch.allclose(draft(text).logits, before)
    assert draft.config.num_hidden_layers == target.config.num_hidden_layers - (1 if family == "gpt2" else 2)


def test_a_shorter_model_is_the_model_built_without_those_layers():
    target = tiny.model(1, 64, num_hidden_layers=3)
    built = tiny.model(9, 64, num_hidden_layers=2)
    weights = target.state_dict()
    mine = {name.replace("layers.2.", "layers.1."): value for name, value in weights.items() if "layers.1." not in name}
    built.load_state_dict(mine)
    text = torch.tensor([[3, 4, 5, 6]])
    assert torch.equal(skip_layers(target, "skip:1")(text).logits, built(text).logits)


@pytest.mark.parametrize(("name", "paths"), [("block", 1), ("winner_block", 2)])
def test_texts_are_those_of_the_target(name, paths):
    target = tiny.model(1, 64, num_hidden_layers=3)
    pair = Pair(target, skip_layers(target, "skip:1"), None, "t", "d", 64, "cpu", "skip")
    run = generate(pair, [[5, 6, 7], [1]], verifier=name, scheme=paths, draft_length=3, max_new_tokens=8, temperature=0)
    for prompt, text in zip([[5, 6, 7], [1]], run.tokens, strict=True):
        for i, token in enumerate(text):
            assert token == tiny.law(target, prompt + text[:i]).argmax()


def test_a_pair_is_loaded_from_one_folder(tmp_path):
    tiny.model(1, 64, num_hidden_layers=3).float().save_pretrained(tmp_path)
    pair, other = (load_pair(target=str(tmp_path), draft=spec, device="cpu") for spec in ("skip:1", "skip:2"))
    assert pair.draft.config.num_hidden_layers == 2
    assert pair.draft_name == "skip:1"
    assert pair.fingerprint != other.fingerprint
    with pytest.raises(BadArgument, match="layers 0 to 2"):
        load_pair(target=str(tmp_path), draft="skip:7", device="cpu")
