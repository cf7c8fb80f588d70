"""Commands on their way down to devices, and what comes of them."""

from ingest.commands.service import Commands

__all__ = ["Commands"]
