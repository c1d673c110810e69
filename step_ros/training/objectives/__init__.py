"""One file per network that is trained: what a batch is and what the loss is."""
