"""What a decoding run was asked for and with, as plain values that go with its results."""

from __future__ import annotations

from typing import Any

from otspec.decode.drafters.base import Drafter


def settings_of(pair: Any, verifier: Any, scheme: Any, drafts: Drafter | None, **others: Any) -> dict[str, Any]:
    """Names of the models, of the rule and of the drafts, then ``others`` as they are."""
    return {"target": pair.target_name, "draft": pair.draft_name, "fingerprint": pair.fingerprint,
            "device": str(pair.device), "verifier": verifier if isinstance(verifier, str) else repr(verifier),
            "scheme": repr(getattr(verifier, "scheme", scheme)), "drafter": repr(drafts),
            "paths": (drafts.paths or 0) if drafts else 1, "draft_length": drafts.depth if drafts else 0,
            **({"lossy": True} if getattr(verifier, "lossy", False) else {}), **others}
