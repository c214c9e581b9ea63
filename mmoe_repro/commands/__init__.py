"""The commands: each takes a composed config, and leaves files and lines in the terminal."""
