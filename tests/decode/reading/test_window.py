"""Attention windows drawn into a mask."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from otspec.decode.reading.window import Window, windows  # noqa: E402

PLACES = torch.tensor([[2, 3]])
KEYS = torch.tensor([[0, 1, 2, 3, 3]])  # two drafts of one place


def test_a_token_sees_so_many_back():
    mask = torch.zeros(1, 1, 2, 5)
    mask[0, 0, 0, 3:] = -9.0  # hidden before: stays hidden
    seen = Window(2)(mask, PLACES, KEYS, -9.0)
    assert seen[0, 0].tolist() == [[-9, 0, 0, -9, -9], [-9, -9, 0, 0, 0]]
    assert mask[0, 0, 1].tolist() == [0] * 5  # the plain mask is left alone
    assert Window(4)(mask, PLACES, KEYS, -9.0).equal(mask)


def test_layers_with_and_without_a_window():
    mask = torch.zeros(1, 1, 2, 5)
    made = Window(2, ("full_attention", "sliding_attention"))(mask, PLACES, KEYS, -9.0)
    assert made["full_attention"].equal(mask)
    assert made["sliding_attention"].equal(Window(2)(mask, PLACES, KEYS, -9.0))


@pytest.mark.parametrize(("config", "found"), [
    ({}, [None]), ({"sliding_window": None}, [None]), ({"sliding_window": 0}, [None]),
    ({"sliding_window": True}, [None]),
    ({"sliding_window": 8}, [Window(8), None]),
    ({"sliding_window": 8, "layer_types": ["full_attention", "full_attention"]}, [None, Window(8)]),
    ({"sliding_window": 8, "layer_types": ["sliding_attention"] * 2}, [Window(8), None]),
    ({"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
     [Window(8, ("sliding_attention", "full_attention")), Window(8), None])])
def test_ways_to_try_by_configuration(config, found):
    assert windows(SimpleNamespace(**config)) == found
