"""The optimiser of the pocket models: Muon on the hidden matrices, AdamW on the embedding and the norms.

Muon replaces a matrix's momentum by its orthogonal factor, so that every direction of a weight matrix moves
equally fast; it needs about half the steps of AdamW on hidden matrices and does not apply to embeddings, whose
rows are looked up one at a time. Both learning rates follow one schedule.

`torch.optim.Muon` does the same one matrix at a time and in bfloat16 wherever it runs; on a CPU without bfloat16
arithmetic that is a hundred times slower than the model itself, and on a GPU it is bound by kernel launches.
"""

from typing import Any

WARM_UP_STEPS = 30
FLAT_UNTIL = 0.35
FINAL_SCALE = 0.02
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def schedule(step: int, total: int) -> float:
    """Return the learning-rate factor of a step: linear warm-up, flat, then linear to 2 %.

    Parameters
    ----------
    step : int
        Steps done so far, 0 to ``total - 1``.
    total : int
        Length of the run in steps.

    Returns
    -------
    float
        In (0, 1].

    Examples
    --------
    >>> schedule(100, 1000), round(schedule(999, 1000), 2)
    (1.0, 0.02)
    """
    warm_up = max(1, min(WARM_UP_STEPS, total // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    flat_end = max(warm_up, int(FLAT_UNTIL * total))
    if step < flat_end:
        return 1.0
    done = (step + 1 - flat_end) / max(1, total - flat_end)
    return 1.0 - (1.0 - FINAL_SCALE) * done


def orthogonalise(matrices: Any) -> Any:
    """Return the orthogonal factor of each matrix, about: five Newton-Schulz steps towards `U V^T` of `U S V^T`.

    The coefficients trade exactness for speed: most singular values end between 0.7 and 1.2 instead of at 1.

    Parameters
    ----------
    matrices : torch.Tensor [n rows columns]

    Returns
    -------
    torch.Tensor [n rows columns]
        In bfloat16 on CUDA and in float32 elsewhere: CPUs without bfloat16 arithmetic take seconds per matrix.
    """
    import torch

    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonAdamW:
    """Two optimisers over one model that step together and whose state is a flat table of tensors.

    Parameters
    ----------
    model : torch.nn.Module
        Matrices with "layers" in their name go to Muon, everything else to AdamW.
    muon_rate, adam_rate : float
        Peak learning rates.
    weight_decay : float
        Decoupled decay of the hidden matrices; embeddings and norms have none.
    """

    def __init__(self, model: Any, muon_rate: float = 0.02, adam_rate: float = 3e-3, weight_decay: float = 0.1) -> None:
        import torch

        self._muon_rate, self._adam_rate, self._decay = muon_rate, adam_rate, weight_decay
        self._groups: dict[tuple[int, ...], dict[str, Any]] = {}
        rest = {}
        for name, tensor in model.named_parameters():
            if "layers" in name and tensor.ndim == 2:
                self._groups.setdefault(tuple(tensor.shape), {})[name] = tensor
            else:
                rest[name] = tensor
        # matrices of one shape share a buffer, so that one batched product serves them all
        self._momentum = {
            shape: torch.zeros(len(group), *shape, device=next(iter(group.values())).device)
            for shape, group in self._groups.items()
        }
        self._rest = list(rest)
        self._adam = torch.optim.AdamW(rest.values(), lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, scale: float) -> None:
        """Apply the gradients with both learning rates multiplied by `scale`, then clear them."""
        import torch

        with torch.no_grad():
            for shape, group in self._groups.items():
                self._muon(shape, list(group.values()), self._muon_rate * scale)
        for entry in self._adam.param_groups:
            entry["lr"] = self._adam_rate * scale
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def _muon(self, shape: tuple[int, ...], parameters: list[Any], rate: float) -> None:
        import torch

        gradients = torch.stack([parameter.grad for parameter in parameters])
        buffer = self._momentum[shape].lerp_(gradients, 1.0 - MOMENTUM)
        # Nesterov: the step looks one momentum update ahead; a tall matrix moves by the same share of its size
        directions = orthogonalise(gradients.lerp_(buffer, MOMENTUM)).float()
        size = max(1.0, shape[0] / shape[1]) ** 0.5
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.mul_(1.0 - rate * self._decay).add_(direction, alpha=-rate * size)
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """Return all state tensors by ``"<parameter name>|<state name>"``."""
        table = {
            f"{name}|momentum": self._momentum[shape][index]
            for shape, group in self._groups.items()
            for index, name in enumerate(group)
        }
        for index, entries in self._adam.state_dict()["state"].items():
            table |= {f"{self._rest[index]}|{key}": tensor for key, tensor in entries.items()}
        return table

    def load_state(self, table: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        for shape, group in self._groups.items():
            for index, name in enumerate(group):
                self._momentum[shape][index].copy_(table[f"{name}|momentum"])
        state: dict[int, dict[str, Any]] = {}
        for index, name in enumerate(self._rest):
            prefix = f"{name}|"
            entries = {key[len(prefix) :]: value for key, value in table.items() if key.startswith(prefix)}
            if entries:
                state[index] = entries
        self._adam.load_state_dict({"state": state, "param_groups": self._adam.state_dict()["param_groups"]})
