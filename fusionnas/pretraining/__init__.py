"""Pretraining without labels, before the search: encoders learn from what modalities say about each other."""
