"""The one table of environment ids."""

import gymnasium as gym

NAMESPACE = "attention_env"
# Task name -> (module, class of the single environment, class of the batched one), below attention_env.envs.
ENVIRONMENTS = {
    "Digits-v0": ("digits", "DigitsEnv", "DigitsVectorEnv"),
    "MNIST-v0": ("mnist", "MNISTEnv", "MNISTVectorEnv"),
    "FashionMNIST-v0": ("fashion_mnist", "FashionMNISTEnv", "FashionMNISTVectorEnv"),
    "TranslatedMNIST-v0": ("translated_mnist", "TranslatedMNISTEnv", "TranslatedMNISTVectorEnv"),
    "RotatedMNIST-v0": ("rotated_mnist", "RotatedMNISTEnv", "RotatedMNISTVectorEnv"),
    "ScaledMNIST-v0": ("scaled_mnist", "ScaledMNISTEnv", "ScaledMNISTVectorEnv"),
    "ClutteredMNIST-v0": ("cluttered_mnist", "ClutteredMNISTEnv", "ClutteredMNISTVectorEnv"),
    "ClutteredMNIST100-v0": ("cluttered_mnist_100", "ClutteredMNIST100Env", "ClutteredMNIST100VectorEnv"),
    "Catch-v0": ("catch", "CatchEnv", "CatchVectorEnv"),
    "CircleSquare-v0": ("circle_square", "CircleSquareEnv", "CircleSquareVectorEnv"),
}


def environment_ids() -> list[str]:
    """List the ids, `attention_env/<Task>-v0`."""
    return [f"{NAMESPACE}/{task}" for task in ENVIRONMENTS]


def register_environments() -> None:
    """Make every id known to `gymnasium.make` and `gymnasium.make_vec`; importing `attention_env` calls this.

    No spec has `max_episode_steps`: an episode's end is a termination that the environment itself decides on.
    """
    for task, (module, single, vector) in ENVIRONMENTS.items():
        gym.register(
            id=f"{NAMESPACE}/{task}",
            entry_point=f"attention_env.envs.{module}:{single}",
            vector_entry_point=f"attention_env.envs.{module}:{vector}",
        )
