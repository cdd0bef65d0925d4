"""What makes a CUDA program wait for its device, refused on the CPU where it costs nothing."""

from torch.utils._python_dispatch import TorchDispatchMode

# a value read by the host, and every result whose shape depends on values
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "repeat_interleave")


class NoWaiting(TorchDispatchMode):
    """Raise where an operation would wait for the device, boolean masks as indices included."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name.startswith("index") and any(
            getattr(i, "dtype", None) is not None and str(i.dtype) in ("torch.bool", "torch.uint8")
            for i in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()))
        if name.startswith(WAITS) or masks:
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))
