"""Fine-tuning: a pretrained network is trained on with all its weights, at a small learning rate.

First a head is fitted to what the network, as it is, says of the training part (`folksong.training.fit_head`); from
there both learn together. With random outputs the first gradients would spoil the features (Kumar et al. 2022,
"Fine-tuning can distort pretrained features and underperform out-of-distribution").
"""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from folksong.errors import FolksongError
from folksong.models.front_ends import LOG_MEL
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.extractors import contamination
from folksong.models.pretrained.musicnn import DEFAULT_LAYERS, DEFAULT_POOL, N_FRAMES, N_MELS, PRESET
from folksong.models.pretrained.network_with_head import NetworkWithHead
from folksong.training.config import Config
from folksong.training.data import TrainingData
from folksong.training.fit_head import Examples, Loss, fit_head
from folksong.training.losses import learns_softmax

logger = logging.getLogger(__name__)

SLOWER = 0.1  # learning rate of pretrained weights, relative to that of the settings
LEAST_DEVIATION = 1e-3
"""Of a feature, relative to the largest one's, that the head uses."""


def build_pretrained(front_end: str, data: TrainingData, config: Config) -> NetworkWithHead:
    """Return the network that the settings name and a head for the data's labels, both with random weights.

    Raises:
        FolksongError: the shards hold something else than what it hears.
    """
    name, preset = str(config.model.unfreeze), data.shards.manifest.preset
    if front_end != LOG_MEL or preset != PRESET:
        held = "waveforms" if preset is None else f"log-mel-spectrograms of the preset {preset.name!r}"
        raise FolksongError(
            f"{data.shards.folder}: {name} hears log-mel-spectrograms of the preset {PRESET.name!r}, and these shards "
            f"hold {held}; write shards of that preset"
        )
    layer = DEFAULT_LAYERS[name.split("-")[0]]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.runtime.seed)
        alone = NetworkWithHead(name, EmbeddingHead(1, 1), layer, DEFAULT_POOL)
        with torch.inference_mode():
            n_features = alone.embed(torch.zeros(1, N_MELS, N_FRAMES)).shape[1]
        head = EmbeddingHead(
            n_features, data.space, exclusive=learns_softmax(data.targets_of("training"), config.loss)
        )
        return NetworkWithHead(name, head, layer, DEFAULT_POOL)


def start_pretrained(
    tagger: NetworkWithHead,
    batches: Iterable[tuple[Tensor, Tensor]],
    data: TrainingData,
    loss_of: Loss,
    autocast: Any,
) -> None:
    """Give the network its pretrained weights, and fit its head to what it hears.

    Args:
        tagger: as `build_pretrained` makes it; left in evaluation mode.
        batches: windows of the training part (batch, n_mels, frames) and their targets (batch, n_labels).
        data: what is learned; a warning says if the network was trained on it already.
        loss_of: (logits, targets) -> the mean loss.
        autocast: context manager for the precision wished for.
    """
    name, tags = tagger.settings["network"], (tag for label in data.space.labels for tag in label.tags)
    if (warning := contamination(name, data.reader.track_ids, tags)) is not None:
        logger.warning("%s", warning)
    tagger.load_pretrained()
    tagger.eval()
    heard, wanted = [], []
    with torch.no_grad():
        for x, y in batches:
            with autocast:
                heard.append(tagger.embed(x).float().cpu())
            wanted.append(y.float().cpu())
    embeddings, targets = torch.cat(heard), torch.cat(wanted)
    deviation = embeddings.std(dim=0, correction=0)
    # What hardly varies is made to count by its standardisation, and explodes where the filters move.
    embeddings[:, deviation < LEAST_DEVIATION * deviation.max()] = 0
    head = EmbeddingHead.from_settings(tagger.head.settings, tagger.labels)
    fitted = fit_head(head, Examples(embeddings, targets, targets), None, loss_of)
    tagger.head.load_state_dict(fitted.head.state_dict())
    logger.info(
        "%s: a head is fitted to %d windows (λ %.1e); from there all its weights learn",
        name,
        len(targets),
        fitted.penalty,
    )
