"""A trained tagger for use elsewhere: a folder of safetensors and JSON, or an ONNX graph."""

DESCRIPTION_NAME = "config.json"
"""Of an exported folder, as in models that Hugging Face keeps."""
FORMAT = "folksong.model"
