"""The embedded corpus, a small synthetic folksonomy with audio, and the whole path on it.

`write_corpus` makes the corpus, `run_demo` takes it from tags to trained and measured taggers. Nothing here knows a
short cut: the demo calls the functions that any user calls.
"""

from __future__ import annotations

from folksong.demo.corpus import Corpus, CorpusSettings, write_corpus
from folksong.demo.pipeline import DemoResult, DemoSettings, run_demo

__all__ = ["Corpus", "CorpusSettings", "DemoResult", "DemoSettings", "run_demo", "write_corpus"]
