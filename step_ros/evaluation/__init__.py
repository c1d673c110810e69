"""Rollouts, statistics, tables, plots and reports."""
