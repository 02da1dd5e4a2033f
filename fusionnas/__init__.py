"""fusionnas: find where, when and how the modalities of a network should be fused."""
