"""The Transformer (Vaswani et al. 2017, arXiv 1706.03762), translating sentences."""
