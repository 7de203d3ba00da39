"""The embedded corpus, a small synthetic folksonomy with audio, and the whole path on it as any user would call it."""
