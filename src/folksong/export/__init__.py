"""A trained tagger for use elsewhere: a folder of safetensors and JSON, or an ONNX graph."""

DESCRIPTION_NAME = "model.json"
"""By this file in it an exported folder is known."""
