"""The stall, measured: how it comes, and what the paper's rule and ours make of it."""
