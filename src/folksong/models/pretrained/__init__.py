"""Features of recordings that need no training: networks that others trained, and plain statistics."""
