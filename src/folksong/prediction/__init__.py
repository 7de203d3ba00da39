"""Audio in, label scores out: whole tracks cut into windows whose scores are averaged."""

from folksong.prediction.load_tagger import load_tagger
from folksong.prediction.predictor import LoadedTagger, Prediction
from folksong.prediction.windows import ArrayClip, AudioInput, Clip, score_clips
from folksong.shards.window_positions import slide, spread

__all__ = [
    "ArrayClip",
    "AudioInput",
    "Clip",
    "LoadedTagger",
    "Prediction",
    "load_tagger",
    "score_clips",
    "slide",
    "spread",
]
