"""Fits encoders, denoisers and predictors: one loop, one objective per network."""
