"""The public names: each is loaded from here when it is first asked for."""

from folksong import labels as labels
from folksong import metrics as metrics
from folksong import splits as splits
from folksong import tags as tags
from folksong.audio.catalogue import read_catalogue as read_catalogue
from folksong.audio.catalogue import scan_folder as scan_folder
from folksong.embeddings.import_embeddings import import_embeddings as import_embeddings
from folksong.embeddings.read_vectors import read_vectors as read_vectors
from folksong.embeddings.store import join_embeddings as join_embeddings
from folksong.embeddings.tags import embed_tags as embed_tags
from folksong.embeddings.words import WordVectors as WordVectors
from folksong.errors import FolksongError as FolksongError
from folksong.evaluation.compare import compare as compare
from folksong.evaluation.cross_validate import cross_validate as cross_validate
from folksong.evaluation.evaluate import evaluate as evaluate
from folksong.evaluation.tune_thresholds import tune_thresholds as tune_thresholds
from folksong.evaluation.unseen import evaluate_unseen as evaluate_unseen
from folksong.experiment.run_experiment import run_experiment as run_experiment
from folksong.from_mirdata import from_mirdata as from_mirdata
from folksong.labels.space import LabelSpace as LabelSpace
from folksong.models.tagger import Tagger as Tagger
from folksong.official_splits import read_official_split as read_official_split
from folksong.prediction.embed_audio import embed_audio as embed_audio
from folksong.prediction.load_tagger import load_tagger as load_tagger
from folksong.prediction.search import search as search
from folksong.runs import Run as Run
from folksong.shards.writer import write_shards as write_shards
from folksong.splits import Split as Split
from folksong.tags import cooccurrence as cooccurrence
from folksong.tags.cleaning.clean import clean as clean
from folksong.tags.sources.read_tags import read_tags as read_tags
from folksong.tags.table import TagTable as TagTable
from folksong.training import losses as losses
from folksong.training.config import Config as Config
from folksong.training.probe import Probe as Probe
from folksong.training.resume import resume as resume
from folksong.training.train import train as train

__version__: str
