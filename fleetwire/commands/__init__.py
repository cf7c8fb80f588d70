"""What the command line has: its commands, and their options."""
