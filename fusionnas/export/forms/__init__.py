"""Forms of an exported network, one file each."""
