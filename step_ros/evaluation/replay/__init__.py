"""Open-loop evaluation of policies on recorded bags: the same observations for every method."""
