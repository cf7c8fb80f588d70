"""Redis, as ingest and stream both see it: where it is, links to it, and what it may have lost."""
