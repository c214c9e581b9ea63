"""Finished runs: how they are stored, and how those of a sweep are put together."""
