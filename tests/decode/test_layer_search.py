"""The search for layers to leave out, against all sets of layers of a small model."""

from itertools import combinations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.layer_search import named, search_layers  # noqa: E402
from otspec.decode.skipping import skip_layers, skipped_layers  # noqa: E402
from tests.decode import tiny  # noqa: E402

TEXTS = [[3, 4, 5, 6, 7], [9, 8, 7, 6, 5]]


def overlap(model, layers):
    ids = torch.tensor(TEXTS)
    laws = [one(input_ids=ids).logits.softmax(-1) for one in (model, skip_layers(model, named(layers)))]
    return float(torch.minimum(*laws).sum(-1).mean())


@pytest.mark.parametrize("leave_out", [1, 2])
def test_up_to_two_layers_the_search_is_complete(leave_out):
    model = tiny.model(2, 64, num_hidden_layers=5)
    best = max(combinations(range(5), leave_out), key=lambda layers: overlap(model, layers))
    found = search_layers(model, TEXTS, leave_out)
    assert found.draft == named(best)
    assert found.overlap == pytest.approx(overlap(model, best), abs=1e-5)  # float32 laws in the search


def test_three_layers_go_in_two_steps():
    model = tiny.model(2, 64, num_hidden_layers=5)
    tried = []
    found = search_layers(model, TEXTS, 3, shortlist=2, tick=lambda draft, value: tried.append(draft))
    assert len(skipped_layers(found.draft, 5)) == 3
    assert len(tried) == len(set(tried)) == found.tried == 5 + 1 + 3


@pytest.mark.parametrize(("texts", "leave_out", "says"), [(TEXTS, 5, "at least one layer"), ([], 1, "texts: none"),
                                                          ([[1], []], 1, "an empty one"), (TEXTS, 0, "leave_out")])
def test_bad_requests(texts, leave_out, says):
    with pytest.raises(BadArgument, match=says):
        search_layers(tiny.model(2, 64, num_hidden_layers=5), texts, leave_out)
