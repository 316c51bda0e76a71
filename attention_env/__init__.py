"""Gymnasium environments seen through a retina. Importing this package registers `attention_env/<Task>-v0`."""

from attention_env.registration import environment_ids, register_environments

register_environments()

__all__ = ["environment_ids"]
