"""Contraction, measured: where the reverse process brings chunks together (Section 3.4)."""
