"""Agents that learn where to look: the Recurrent Attention Model and the rules that train it."""
