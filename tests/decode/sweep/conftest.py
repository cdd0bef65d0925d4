import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.decode.sweep import small


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return small.folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def whole(models, tmp_path_factory):
    """Folder of the shared request, done in one go in this process."""
    out = tmp_path_factory.mktemp("sweeps") / "whole"
    small.sweep(models, out)
    return out
