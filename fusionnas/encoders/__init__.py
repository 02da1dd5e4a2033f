"""Encoders, one file each, and the stems that give level 0."""

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, encoders, register_encoder

__all__ = ["EncoderFacts", "EncoderLayer", "encoders", "register_encoder"]
