"""Model 4.2: inside each genre, spherical k-means of skip-gram tag vectors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from folksong.embeddings.skipgram import Output, train_skipgram
from folksong.labels.space import Label, LabelSpace
from folksong.labels.spherical_kmeans import SphericalKMeans
from folksong.labels.subgenres import Cuts, GenreClustering, cluster_genres
from folksong.tags.sources.read_tags import Tags, as_table


def skipgram(
    tags: Tags,
    genres: LabelSpace,
    *,
    output: Output = "softmax",
    batch_size: int | None = None,
    epochs: int | None = None,
    n_init: int = 10,
    drop_rare: bool = False,
    keep_main: bool = False,
    main_as_label: bool = False,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    on_genre: Callable[[GenreClustering], None] | None = None,
) -> LabelSpace:
    """Build Model 4.2: inside each genre, spherical k-means of skip-gram tag vectors.

    Args:
        tags: a tag table, or where to read it; ``table.select_tracks(split.training)`` learns from training tracks.
        genres: the genre clusters.
        output: of the network, "softmax" or "sigmoid".
        batch_size: None trains full-batch on the co-occurrence counts; the original took 10 samples.
        epochs: at most so many; None takes the default of `train_skipgram`.
        n_init: starts of k-means, of which the best is kept.
        drop_rare: leave out tags rarer than the fourth root of the genre's most frequent one's count.
        keep_main: cluster the main genre with the others.
        main_as_label: make the main genre a label of its own.
        seed: of the network and of k-means.
        provenance: further entries for the space's provenance.
        on_genre: called with how each genre was clustered: the distances, the silhouettes.

    Raises:
        FolksongError: an unknown output, or no label is left.
    """
    table = as_table(tags)

    def cut(_genre: Label, members: tuple[str, ...], numbers: range) -> Cuts:
        learned = train_skipgram(
            table, members, output=output, batch_size=batch_size, epochs=epochs, seed=seed
        )
        vectors = learned.vectors.astype(np.float64)
        distances = np.clip(1 - vectors @ vectors.T, 0, 2)
        np.fill_diagonal(distances, 0)
        models = {k: SphericalKMeans(k, n_init=n_init, seed=seed).fit(vectors) for k in numbers}
        return Cuts(distances, {k: model.labels_ for k, model in models.items()})

    settings: dict[str, Any] = {"builder": "skipgram", "output": output, "batch_size": batch_size}
    settings |= {"epochs": epochs, "n_init": n_init, "seed": seed}
    settings |= {"drop_rare": drop_rare, "keep_main": keep_main}
    return cluster_genres(
        table,
        genres,
        cut,
        settings=settings,
        main_as_label=main_as_label,
        provenance=provenance,
        on_genre=on_genre,
    )
