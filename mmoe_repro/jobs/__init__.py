"""From a composed config to checked cells: what is refused before any work."""
