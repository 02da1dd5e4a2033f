"""Diagnostics of a finished run, and of data before any search: one file each, registered by name."""
