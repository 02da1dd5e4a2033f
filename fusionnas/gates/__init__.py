"""Gates: what a network decides sample by sample, and how it really skips the rest."""
