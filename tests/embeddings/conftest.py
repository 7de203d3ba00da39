import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the cache of word vectors out of the user's folder, and each test's apart."""
    monkeypatch.setenv("FOLKSONG_CACHE", str(tmp_path_factory.mktemp("cache")))
