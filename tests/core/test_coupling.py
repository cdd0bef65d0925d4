"""What couplings have from their base, and what they refuse."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core import coupling
from otspec.core.joint_coupling import Coupled, JointCoupling
from otspec.core.laws import namespace
from otspec.core.noise import Noise


def test_a_joint_law_that_would_not_fit_names_its_size(monkeypatch):
    monkeypatch.setattr(coupling, "MAX_JOINT", 1200)
    law, twice = np.full((3, 20), 0.05), np.full((1, 6, 20), 0.05)
    assert ot.coupling("gumbel").joint(law, law).shape == (3, 20, 20)
    with pytest.raises(ot.TooLarge, match="use agreement") as refused:
        ot.coupling("gumbel").joint(twice, twice)
    assert refused.value.estimate == 6 * 20 * 20


def test_a_joint_law_of_more_than_2_to_the_26_entries_is_refused():
    law = np.full(2**13 + 1, 1 / (2**13 + 1))
    with pytest.raises(ot.TooLarge, match=r"^the joint law has 6\.71e\+07 entries, more than 6\.71e\+07\."):
        ot.coupling("gumbel").joint(law, law)
    assert ot.coupling("gumbel").joint(law[:8] / law[:8].sum(), law[:8] / law[:8].sum()).shape == (8, 8)


class Own(coupling.Coupling):
    """Writes no more than it must; keeps what its selection is given."""

    list_scheme = None

    def _select(self, law, noise):
        self.given = law
        return namespace(law).argmax(law, axis=-1)


class Listed(Own):
    """May send lists, of two tokens at most if told so."""

    list_scheme = ot.WithReplacement
    most = None

    def _list_agreement(self, target, draft, k):
        return k, target.shape

    @property
    def most_drafts(self):
        return self.most if self.most else super().most_drafts


def test_what_a_coupling_need_not_write():
    rule = Own()
    laws = np.array([[[0.5, 0.5, 0.0]], [[0.2, 0.3, 0.5]]]), np.array([[[0.5, 0.25, 0.25]], [[0.0, 0.0, 1.0]]])
    assert (rule.num_drafts, rule.most_drafts, Listed().most_drafts, repr(rule)) == (1, 1, None, "Own()")
    lower, upper = rule.bounds(*laws)
    assert upper.tolist() == [[0.75], [0.5]]
    assert lower == pytest.approx(np.array([[0.6], [1 / 3]]))
    assert rule.bits(*laws).tolist() == [[0.0], [0.0]]
    assert rule.agreed_law(*laws) is rule.agreement(*laws) is None
    assert rule.list_agreement(*laws, 1) is None
    assert Own()._list_agreement(*laws, 2) is Listed().list_agreement(*laws, 1) is None
    assert Listed().list_agreement(*laws, 2) == (2, (2, 1, 3))
    with pytest.raises(ot.BadArgument, match="Own has no exact joint law"):
        rule.joint(*laws)

    class Agreeing(Own):
        def _agreed(self, target, draft):
            return np.minimum(target, draft)

    assert Agreeing().agreement(*laws).tolist() == Agreeing().list_agreement(*laws, 1).tolist() == [[0.75], [0.5]]
    assert rule._select_on_path(laws[0], Noise(0, 0), 3).tolist() == [[0], [2]]
    assert rule.select_list(laws[0], Noise(0, 0), 1).tolist() == [[[0]], [[2]]]
    for law in (np.array([0.5, 0.5]), np.array([0.5, 0.5], dtype=np.float32)):
        exact = coupling.exact_pair(law * law.dtype.type(1 + 5e-7), law * law.dtype.type(1 - 5e-7))
        assert [part.tolist() for part in exact] == [[0.5, 0.5]] * 2
        assert exact[0].dtype == exact[1].dtype == np.float64


@pytest.mark.parametrize("name", list(ot.list_couplings()))
def test_a_list_of_one_agrees_as_one_token(name):
    rng = np.random.default_rng(0)
    target, draft = rng.dirichlet(np.ones(4), (2, 2, 3))
    one, listed = (ask(target, draft, *more) for ask, more in (
        (ot.coupling(name).agreement, ()), (ot.coupling(name).list_agreement, (1,))))
    if ot.coupling(name).num_drafts == 1:
        assert (one is None) == (listed is None)
        assert one is None or one.tolist() == listed.tolist()


def test_lists_are_as_long_as_the_coupling_and_the_vocabulary_allow():
    law, two = [0.25, 0.25, 0.5], Listed()
    two.most = 2
    for rule, k, size, says in [(Own(), 2, None, "Own selects one token per position, not a list of 2"),
                                (two, 3, None, r"3 drafts are more than the 2 of Listed\(\)"),
                                (Listed(), 4, 3, "4 different drafts from a vocabulary of 3")]:
        with pytest.raises(ot.BadArgument, match=f"^k: {says}"):
            rule.check_drafts(k, size)
        with pytest.raises(ot.BadArgument, match=f"^k: {says}"):
            rule.select_list(law, Noise(0, 0), k)
        with pytest.raises(ot.BadArgument, match=f"^k: {says}"):
            rule.list_agreement(law, law, k)
    assert [Own().check_drafts(1), two.check_drafts(2, 1), Listed().check_drafts(3, 3),
            Listed().check_drafts(99)] == [1, 2, 3, 99]


def test_tensors_on_the_cpu_are_selected_from_as_views():
    law = torch.tensor([[0.25, 0.75]], dtype=torch.float64, requires_grad=True)
    rule = Own()
    token = rule.select(law, Noise(0, 0))
    assert isinstance(token, torch.Tensor)
    assert token.tolist() == [1]
    assert isinstance(rule.given, np.ndarray)
    assert np.shares_memory(rule.given, law.detach().numpy())
    for other in (strict.asarray([[0.25, 0.75]]), np.array([[0.25, 0.75]])):
        rule.select(other, Noise(0, 0))
        assert rule.given is other


def test_a_noise_fits_the_batch_of_the_laws():
    laws = np.full((2, 3, 4), 0.25)
    assert coupling.check_noise(laws, Noise(0, 0)) == (2, 3)
    assert coupling.check_noise(laws[0, 0], Noise(0, np.arange(5))) == (5,)
    with pytest.raises(ot.ShapeMismatch, match=r"batch shape \(2, 3\) does not fit noise of batch shape \(2,\)"):
        coupling.check_noise(laws, Noise(0, np.arange(2)))


def test_joint_draws_take_a_noise_of_their_own_each():
    class Both(JointCoupling):
        def _couple(self, target, draft, noise):
            return Coupled(target, draft, noise.batch)

    rule, laws = Both(), np.full((2, 3, 4), 0.25)
    for given, noise, batch in ((laws, np.arange(6).reshape(2, 3), (2, 3)), (laws[0, 0], np.arange(5), (5,)),
                                (laws[0, 0], 7, ()), (laws[:1], np.arange(6).reshape(2, 3), (2, 3))):
        coupled = rule.couple(given, given.astype(np.float32).astype(np.float64), Noise(0, noise))
        assert coupled.target.shape == coupled.draft.shape == (*batch, 4)
        assert coupled.bits == batch
    for positions in (np.arange(3), np.zeros((2, 3), dtype=int), 0):
        with pytest.raises(ot.BadArgument, match="two rows share seed and position"):
            rule.couple(laws, laws, Noise(0, positions))
    assert rule.bits(laws, laws) is None
    with pytest.raises(ot.ShapeMismatch, match="vocabularies"):
        rule.bits(laws, laws[..., :2] * 2)
