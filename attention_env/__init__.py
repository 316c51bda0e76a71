"""Gymnasium environments of attention. Importing this package registers `attention_env/<Task>-v0`."""

from attention_env.registration import caption_ids, environment_ids, register_environments

register_environments()

__all__ = ["caption_ids", "environment_ids"]
