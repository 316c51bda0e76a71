"""Models that make pictures by looking: the variational auto-encoder, DRAW, and DRAW's eye as a recogniser."""
