"""A trained tagger for use elsewhere: safetensors and JSON, or ONNX with the audio front inside."""
