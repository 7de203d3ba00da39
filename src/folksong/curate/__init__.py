"""A local web app to look, listen and decide: the label board, the listening queue, dropped recordings, merges."""
