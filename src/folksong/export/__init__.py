"""A trained tagger for use elsewhere: a folder of safetensors and JSON, or an ONNX graph."""
