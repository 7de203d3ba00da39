"""Learning: settings, losses and the training loop."""
