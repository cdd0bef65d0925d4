"""Laws after texts and along paths against plain passes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.laws import draw  # noqa: E402
from otspec.decode.drafters.paths import Paths  # noqa: E402
from otspec.recording.along import laws_after, laws_along  # noqa: E402
from tests.decode import tiny  # noqa: E402

TEXTS = [[1], [2, 3], [5, 6, 7, 8, 9], [4, 4, 4]]
WARP = {"temperature": 0.8, "top_k": 20, "top_p": None}


@pytest.fixture(scope="module", params=["llama", "mistral"])
def pair(request):
    return tiny.pair(family=request.param, **({"sliding_window": 3} if request.param == "mistral" else {}))


def test_laws_after_texts(pair):
    target, draft = laws_after(pair, TEXTS, WARP, 5)
    for text, *laws in zip(TEXTS, target, draft, strict=True):
        for law, model in zip(laws, (pair.target, pair.draft), strict=True):
            np.testing.assert_allclose(law, tiny.law(model, text, **WARP), atol=1e-12)  # a few eps per layer


@pytest.mark.parametrize(("paths", "copies"), [(1, 1), (3, 1), (2, 2)])
def test_laws_along_paths_that_the_numbers_name(pair, paths, copies):
    drafts, count = Paths(paths, 3), len(TEXTS) * copies
    uniforms = np.random.default_rng(0).random((count, drafts.num_uniforms))
    target, draft, tokens = laws_along(pair, TEXTS, drafts, WARP, uniforms, 8, copies)
    assert (target.shape, draft.shape) == ((count, paths, 4, 64), (count, paths, 3, 64))
    for row in range(count):
        text = TEXTS[row // copies]  # copies of one text stand together
        for path in range(paths):
            drawn = tokens[row, path].tolist()
            np.testing.assert_allclose(target[row, path], tiny.laws_along(pair.target, text, drawn, **WARP), atol=1e-12)
            along = tiny.laws_along(pair.draft, text, drawn[:-1], **WARP)
            np.testing.assert_allclose(draft[row, path], along, atol=1e-12)
            # numbers depth by depth, all paths side by side
            levels = uniforms[row].reshape(3, paths)[:, path]
            assert drawn == [int(draw(law, level)) for law, level in zip(along, levels, strict=True)]


def test_copies_of_a_prefix_share_their_laws_bit_by_bit(pair):
    uniforms = np.random.default_rng(1).random((len(TEXTS), 8 * 2))
    target, draft, tokens = laws_along(pair, TEXTS, Paths(8, 2), WARP | {"top_k": 3}, uniforms, 7)
    for row in range(len(TEXTS)):
        first = tokens[row, :, 0].tolist()
        assert len(set(first)) < 8
        assert len(np.unique(target[row, :, 0], axis=0)) == 1
        for token in set(first):
            same = [path for path in range(8) if first[path] == token]
            assert len(np.unique(target[row, same, 1], axis=0)) == len(np.unique(draft[row, same, 1], axis=0)) == 1
