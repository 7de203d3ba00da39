from pathlib import Path

import pytest

from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus

TINY = CorpusSettings(seed=3, per_subgenre=2, seconds=1.0, genres=("rock", "folk"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """32 pieces of one second and 2 unseen ones. Read only."""
    return write_corpus(Path(tmp_path_factory.mktemp("tiny")) / "corpus", TINY, jobs=1)
