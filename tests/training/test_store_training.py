"""Training and evaluating from shards in an object store: the very run that shards on disk give."""

from __future__ import annotations

from pathlib import Path

import torch

from folksong.evaluation.evaluate import evaluate
from folksong.models.checkpoint import load_model
from folksong.stores import local_copy, open_store
from folksong.training.resume import resume
from object_store import Proxy


def test_a_run_from_a_store_is_that_from_disk(shards: Path, train_small, s3: Proxy, tmp_path: Path) -> None:
    address = f"s3://{s3.bucket}/mel"
    store = open_store(address)
    for path in shards.iterdir():
        if not path.name.startswith("."):
            store.put(path.name, path.read_bytes())
    far, near = train_small("far", shards_folder=address), train_small("near")
    assert far.config["shards"]["folder"] == address
    far, near = resume(far, epochs=2), resume(near, epochs=2)
    one, other = (load_model(run).state_dict() for run in (far, near))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert evaluate(far).macro_roc_auc == evaluate(near).macro_roc_auc

    run = open_store(f"s3://{s3.bucket}/runs/far")
    for path in far.path.rglob("*"):
        if path.is_file():
            run.put(path.relative_to(far.path).as_posix(), path.read_bytes())
    copy = Path(local_copy(str(run)))
    assert {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()} == {
        path.relative_to(far.path) for path in far.path.rglob("*") if path.is_file()
    }
