"""The command line: one front door to every part."""
