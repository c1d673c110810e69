"""Many runs of `step-ros eval` as tables, plots and a page, and what the published set of them is."""
