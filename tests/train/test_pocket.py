import json

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile, ShapeMismatch
from otspec.decode.models import load_pair
from otspec.train import pocket
from otspec.train.corpus import Corpus, Document, _digest
from otspec.train.evaluation import mean_overlap, source_loss
from otspec.train.optimiser import FINAL_SCALE, MuonAdamW, orthogonalise, schedule
from otspec.train.pocket import RECIPES, STOPPED, main, train_pocket
from otspec.train.recipe import Recipe, batch_starts, new_model, training_loss

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
save_file = pytest.importorskip("safetensors.torch").save_file

TINY = {"target": Recipe(32, 1, 48, 1, passes=1), "draft": Recipe(16, 1, 16, 1, passes=1, distil_from=0.5)}
SETTINGS = {
    "device": "cpu",
    "steps": {"target": 10, "draft": 8},
    "batch_tokens": 128,
    "context": 32,
    "recipes": TINY,
    "checkpoint_every": 3,
    "progress": False,
}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus():
    """A language in which token t is followed by 7 t + 1 modulo 50, three times out of four."""
    rng = np.random.default_rng(0)
    tokens = [1]
    for noise in rng.random(6000):
        tokens.append((7 * tokens[-1] + 1) % 50 if noise < 0.75 else int(rng.integers(50)))
    stream = np.asarray(tokens, np.uint16)
    heldout = [Document("source", "held.py", stream[4000:])]
    return Corpus(stream[:4000], heldout, {"source": 4000}, "3.11.7", "0" * 64)


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/model.safetensors"))}


def test_schedule_warms_up_stays_and_falls_to_two_per_cent():
    scales = [schedule(step, 1000) for step in range(1000)]
    assert scales[0] == pytest.approx(1 / 30)
    assert scales[29:350] == [1.0] * 321
    assert scales[-1] == pytest.approx(FINAL_SCALE)
    assert np.all(np.diff(scales[349:]) < 0)
    assert all(0 < schedule(step, total) <= 1 for total in range(1, 40) for step in range(total))


def test_every_window_is_seen_once_per_pass_and_the_order_changes():
    tokens, context, rows = 1001, 10, 7
    windows = (tokens - 1) // context - 1
    starts = np.concatenate([batch_starts(tokens, context, rows, 0, step) for step in range(2 * windows // rows + 1)])
    first, second = starts[:windows], starts[windows : 2 * windows]
    for one in (first, second):
        assert len(set(one)) == windows
        assert np.all(np.diff(np.sort(one)) == context)
    assert starts.min() >= 0
    assert starts.max() + context + 1 <= tokens
    assert not np.array_equal(first - first.min(), second - second.min())


def test_rows_depend_on_seed_and_step_only():
    args = {"tokens": 5000, "context": 16, "rows": 8}
    np.testing.assert_array_equal(batch_starts(**args, seed=3, step=50), batch_starts(**args, seed=3, step=50))
    assert not np.array_equal(batch_starts(**args, seed=3, step=50), batch_starts(**args, seed=4, step=50))
    assert not np.array_equal(batch_starts(**args, seed=3, step=50), batch_starts(**args, seed=3, step=51))


def test_new_weights_depend_on_the_seed_and_leave_torch_alone():
    state = torch.get_rng_state()
    first, again, other = (new_model(TINY["draft"], seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_muon_gets_the_hidden_matrices_and_adam_the_rest():
    model = new_model(TINY["target"], 0)
    optimiser = MuonAdamW(model)
    rows = torch.arange(66).reshape(2, 33)
    training_loss(model, rows, None).backward()
    optimiser.step(1.0)
    kinds = {}
    for key in optimiser.state():
        name, state = key.split("|")
        kinds.setdefault(name, set()).add(state)
    assert set(kinds) == {name for name, _ in model.named_parameters()}
    for name, states in kinds.items():
        hidden = name.endswith("proj.weight")
        assert states == ({"momentum"} if hidden else {"step", "exp_avg", "exp_avg_sq"})
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(2, 12, 12), (2, 8, 20), (2, 20, 8)])
def test_orthogonal_factor_keeps_directions_and_levels_singular_values(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inner = left.mT @ orthogonalise(matrices) @ right.mT
    levels = inner.diagonal(dim1=-2, dim2=-1)
    # 0.3: the published quintic leaves the smallest singular values below 1 after five steps
    assert 0.3 < levels.min() <= levels.max() < 1.3
    assert (inner - torch.diag_embed(levels)).abs().max() < 1e-4  # float32 products of well-scaled matrices


def test_muon_moves_as_the_one_in_torch():
    model, twin = (new_model(TINY["target"], 0) for _ in range(2))
    hidden = [p for name, p in twin.named_parameters() if "layers" in name and p.ndim == 2]
    reference = torch.optim.Muon(hidden, lr=0.02, weight_decay=0.1, momentum=0.95)
    optimiser = MuonAdamW(model)
    rows = torch.arange(66).reshape(2, 33)
    training_loss(model, rows, None).backward()
    for left, right in zip(model.parameters(), twin.parameters(), strict=True):
        right.grad = left.grad.clone()
    before = [p.detach().clone() for p in hidden]
    optimiser.step(1.0)
    reference.step()
    named = dict(model.named_parameters())
    ours = [named[name] for name, p in twin.named_parameters() if "layers" in name and p.ndim == 2]
    for start, left, right in zip(before, ours, hidden, strict=True):
        # the reference rounds to bfloat16 (8 bits) in each of five steps
        assert (left - right).norm() < 0.05 * (right - start).norm()


def test_distillation_loss_is_total_variation():
    model, target = new_model(TINY["draft"], 0), new_model(TINY["target"], 1).requires_grad_(False)
    rows = torch.arange(34).reshape(2, 17)
    assert training_loss(model, rows, model).item() == 0.0
    with torch.no_grad():
        left, right = (one(input_ids=rows[:, :-1]).logits.double() for one in (model, target))
        wanted = sum(
            weight * 0.5 * ((left / t).softmax(-1) - (right / t).softmax(-1)).abs().sum(-1).mean().item()
            for weight, t in ((0.7, 1.0), (0.3, 0.6))
        )
    loss = training_loss(model, rows, target)
    assert loss.item() == pytest.approx(wanted, rel=1e-4)  # float32 softmax over 2,048 tokens
    loss.backward()
    assert model.lm_head.weight.grad.abs().sum() > 0


def test_training_reduces_the_loss_and_distillation_the_distance(corpus, tmp_path):
    record = train_pocket(
        tmp_path, corpus=corpus, **SETTINGS | {"steps": {"target": 150, "draft": 200}, "checkpoint_every": 1000}
    )
    target, draft = record["models"]["target"], record["models"]["draft"]
    # ln 50 = 3.91 is the loss of the uniform law on the 50 tokens in use, 7.62 that of the untrained model
    assert target["heldout_source_nats_per_token"] < 3.6
    pair = load_pair(target=tmp_path / "target", draft=tmp_path / "draft", device="cpu")
    untrained = new_model(TINY["draft"], 0)
    overlap = draft["mean_overlap_with_target"]["1.0"]
    assert overlap > mean_overlap(pair.target, untrained, corpus)["1.0"] + 0.2
    assert overlap == pytest.approx(mean_overlap(pair.target, pair.draft, corpus)["1.0"], abs=1e-6)  # same weights


def test_output_folder_is_a_loadable_pair_with_its_record(corpus, tmp_path):
    record = train_pocket(tmp_path, corpus=corpus, **SETTINGS)
    assert json.loads((tmp_path / "training.json").read_text()) == json.loads(json.dumps(record))
    assert record["models"]["target"]["tokens"] == 10 * 128
    assert record["corpus"]["sha256"] == corpus.sha256
    assert not (tmp_path / "checkpoints").exists()
    listed = json.loads((tmp_path / "hashes.json").read_text())
    assert {"target/model.safetensors", "draft/config.json", "tokenizer.json", "training.json"} <= set(listed)
    pair = load_pair(target=tmp_path / "target", draft=tmp_path / "draft", device="cpu")
    assert pair.decode(pair.encode("x = 1")) == "x = 1"
    assert json.loads((tmp_path / "target" / "config.json").read_text())["dtype"] == "float16"
    loss, count = source_loss(pair.target, corpus, length=512)
    assert (loss, count) == (
        record["models"]["target"]["heldout_source_nats_per_token"],
        record["models"]["target"]["heldout_source_tokens"],
    )


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(corpus, tmp_path):
    train_pocket(tmp_path / "whole", corpus=corpus, **SETTINGS)
    # a limit of zero stops after one step, so every step of the pieces starts from a checkpoint
    for _ in range(10 + 8 - 2):
        stopped = train_pocket(tmp_path / "pieces", corpus=corpus, **SETTINGS, max_seconds=0)
        assert not stopped["finished"]
        assert not (tmp_path / "pieces" / "training.json").exists()
    record = train_pocket(tmp_path / "pieces", corpus=corpus, **SETTINGS)
    assert weights(tmp_path / "pieces") == weights(tmp_path / "whole")
    whole = json.loads((tmp_path / "whole" / "training.json").read_text())
    assert record["models"] == whole["models"]


def test_another_seed_gives_other_weights(corpus, tmp_path):
    for seed in (0, 1):
        train_pocket(tmp_path / str(seed), corpus=corpus, seed=seed, **SETTINGS | {"steps": {"target": 2, "draft": 2}})
    assert weights(tmp_path / "0")["target"] != weights(tmp_path / "1")["target"]


def test_checkpoint_of_other_settings_is_refused(corpus, tmp_path):
    train_pocket(tmp_path, corpus=corpus, **SETTINGS, max_seconds=0)
    with pytest.raises(BadFile, match="belongs to a training with seed 0, this one has 5"):
        train_pocket(tmp_path, corpus=corpus, seed=5, **SETTINGS)
    (tmp_path / "checkpoints" / "target.safetensors").write_bytes(b"garbage")
    with pytest.raises(BadFile, match="delete it to start afresh"):
        train_pocket(tmp_path, corpus=corpus, **SETTINGS)
    assert train_pocket(tmp_path, corpus=corpus, resume=False, **SETTINGS)["finished"]


def test_bad_arguments_are_named(corpus, tmp_path):
    with pytest.raises(BadArgument, match="batch_tokens: 8 is less than one row of 32"):
        train_pocket(tmp_path, corpus=corpus, **SETTINGS | {"batch_tokens": 8})
    with pytest.raises(BadArgument, match="must begin with 'target'"):
        train_pocket(tmp_path, corpus=corpus, **SETTINGS | {"recipes": {"draft": TINY["draft"]}})
    with pytest.raises(BadArgument, match="no count for 'draft'"):
        train_pocket(tmp_path, corpus=corpus, **SETTINGS | {"steps": {"target": 1}})
    with pytest.raises(BadArgument, match="'target' would take 0 steps"):
        train_pocket(tmp_path, corpus=corpus, **SETTINGS | {"steps": 0})
    alien = Corpus(np.full(200, 5000, np.uint16), [], {}, "3", "")
    with pytest.raises(ShapeMismatch, match="token id 5000"):
        train_pocket(tmp_path, corpus=alien, **SETTINGS)


def test_default_sizes_fit_the_package():
    parameters = sum(new_model(recipe, 0).num_parameters() for recipe in RECIPES.values())
    assert 2 * parameters + 130_000 < 11_600_000  # float16 weights and the tokenizer, in bytes


def test_command_line_stops_at_a_checkpoint_and_reports_bad_files(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pocket, "RECIPES", TINY)
    corpus.save(tmp_path / "missing-digest.safetensors")
    bad = ["--out", str(tmp_path / "out"), "--corpus", str(tmp_path / "missing-digest.safetensors"), "--device", "cpu"]
    assert main(bad) == 2
    assert "its header says" in capsys.readouterr().err
    good = Corpus(corpus.train, corpus.heldout, {}, "3", _digest(corpus.train, corpus.heldout))
    good.save(tmp_path / "corpus.safetensors")
    limits = ["--batch-tokens", "512", "--max-seconds", "0"]
    assert main(["--out", str(tmp_path / "out"), "--corpus", str(tmp_path / "corpus.safetensors"), *limits]) == STOPPED
    assert "stopped at step 1 of" in capsys.readouterr().err
