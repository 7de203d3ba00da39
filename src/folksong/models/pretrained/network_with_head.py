"""A pretrained network and a head on its layers as one network: what is fine-tuned, and what is exported.

It computes what the extractor and the head do one after the other: windows of 187 frames, evenly spread
(`folksong.shards.window_positions.spread`), the layers' values pooled over all frames of all windows, the logits.
"""

from typing import Any

import torch
from torch import Tensor, nn

from folksong.labels.space import LabelSpace
from folksong.models.front_ends import LOG_MEL
from folksong.models.heads import EmbeddingHead
from folksong.models.pretrained.musicnn import (
    N_FRAMES,
    N_MELS,
    Musicnn,
    Vgg,
    new_network,
    read_network,
)
from folksong.shards.window_positions import UNHEARD

LEFT_OUT = ("pool_norm", "dense", "dense_norm", "output")  # of a network whose own tags are not asked for
PARTS = {"mean": lambda x: x.mean(1), "max": lambda x: x.amax(1), "std": lambda x: x.std(1, correction=0)}


class NetworkWithHead(nn.Module):
    """Log-mel-spectrograms (batch, 96, frames) -> logits (batch, n_labels).

    In training, batch norms keep the statistics of the network's own training: those of a batch of a few recordings
    would be other features than the head was fitted to.

    Args:
        name: of the network: ``musicnn-mtt``, ``musicnn-msd``, ``vgg-mtt`` or ``vgg-msd``; its weights are random.
        head: takes the pooled layers.
        layer: which layers, joined by ``+``.
        pool: over all frames: ``mean``, ``max``, ``mean+max`` or ``mean+std``.
    """

    minimum_steps = 1

    def __init__(self, name: str, head: EmbeddingHead, layer: str, pool: str) -> None:
        super().__init__()
        self.network: Musicnn | Vgg = new_network(name).eval()
        self.head, self.layers, self.pool = head, layer.split("+"), pool.split("+")
        self.labels = head.labels
        self.settings: dict[str, Any] = {
            "front_end": LOG_MEL,
            "n_labels": head.settings["n_labels"],
            "n_mels": N_MELS,
            "network": name,
            "layer": layer,
            "pool": pool,
            "head": head.settings,
        }
        self.network.norm.requires_grad_(False)  # with it, each filter would need its gradient of all bands
        if not {"penultimate", "tags"}.intersection(self.layers):
            for part in LEFT_OUT:
                getattr(self.network, part, nn.Identity()).requires_grad_(False)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], labels: LabelSpace | None = None) -> "NetworkWithHead":
        """Build what `settings` describe (another one's ``.settings``), with random weights."""
        head = EmbeddingHead.from_settings(settings["head"], labels)
        return cls(settings["network"], head, settings["layer"], settings["pool"])

    def load_pretrained(self) -> str:
        """Take the network's weights as others trained them, and return their SHA-256."""
        found, sha256 = read_network(self.settings["network"])
        self.network.load_state_dict(found.state_dict())
        return sha256

    def train(self, mode: bool = True) -> "NetworkWithHead":
        """Set what is learned; batch norms stay as they are."""
        super().train(mode)
        self.network.eval()
        return self

    def embed(self, spectrograms: Tensor) -> Tensor:
        """(batch, 96, frames) -> embeddings (batch, n_features)."""
        n_frames = torch.as_tensor(
            spectrograms.shape[2]
        )  # of torch, so that an exported graph has any length
        room = (n_frames - N_FRAMES).clamp(min=0)
        gaps = torch.ceil(n_frames / N_FRAMES - UNHEARD).long().clamp(min=1) - 1
        numbers = torch.arange(gaps + 1)  # type: ignore[call-overload]
        starts = torch.where(gaps > 0, room * numbers // gaps.clamp(min=1), room // 2)
        frames = (starts[:, None] + torch.arange(N_FRAMES)) % n_frames
        heard = spectrograms.transpose(1, 2)[:, frames.to(spectrograms.device)]
        found = self.network(heard.flatten(0, 1))
        values = [
            found[layer].reshape(spectrograms.shape[0], -1, found[layer].shape[2]) for layer in self.layers
        ]
        return torch.cat([PARTS[part](one) for one in values for part in self.pool], 1)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.embed(spectrograms))
        return logits
