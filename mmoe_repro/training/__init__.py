"""One step of a population, whole populations, and chunks of them trained side by side."""
