"""The tables of environment ids."""

import gymnasium as gym

NAMESPACE = "attention_env"
# Those seen through a retina.
# Task name -> (module below attention_env.envs, name before Env and VectorEnv of its classes, success rate that counts as solved).
# "Paper": what the best agent of Mnih et al. 2014 (arXiv 1406.6247) reaches; the others are set by hand, for want of a published
# figure for agents that see glimpses.
ENVIRONMENTS = {
    "Digits-v0": ("digits", "Digits", 0.96),  # by hand: within reach of five minutes of training
    "MNIST-v0": ("mnist", "MNIST", 0.9893),  # paper: 1.07 % error with 7 glimpses
    "FashionMNIST-v0": ("fashion_mnist", "FashionMNIST", 0.90),  # by hand: its classes overlap far more than digits do
    "TranslatedMNIST-v0": ("translated_mnist", "TranslatedMNIST", 0.988),  # paper: 1.20 % error with 8 glimpses
    "RotatedMNIST-v0": ("rotated_mnist", "RotatedMNIST", 0.90),  # by hand: translated, and turned by up to 45° besides
    "ScaledMNIST-v0": ("scaled_mnist", "ScaledMNIST", 0.95),  # by hand: translated, and of another size besides
    "ClutteredMNIST-v0": ("cluttered_mnist", "ClutteredMNIST", 0.9596),  # paper: 4.04 % error with 8 glimpses
    "ClutteredMNIST100-v0": ("cluttered_mnist_100", "ClutteredMNIST100", 0.9189),  # paper: 8.11 % error with 8 glimpses
    "Catch-v0": ("catch", "Catch", 0.85),  # paper: about 85 % caught
    "CircleSquare-v0": ("circle_square", "CircleSquare", 0.99),  # by hand: who finds the shape can tell it
}
# Those in which a picture is described. Rewards are log-likelihoods, of which none counts as solved.
CAPTIONING: dict[str, tuple[str, str, float | None]] = {"Caption-v0": ("caption", "Caption", None)}


def environment_ids() -> list[str]:
    """List the ids of the environments seen through a retina, `attention_env/<Task>-v0`."""
    return [f"{NAMESPACE}/{task}" for task in ENVIRONMENTS]


def caption_ids() -> list[str]:
    """List the ids of the environments in which a picture is described, likewise."""
    return [f"{NAMESPACE}/{task}" for task in CAPTIONING]


def register_environments() -> None:
    """Make every id known to `gymnasium.make` and `gymnasium.make_vec`; importing `attention_env` calls this.

    No spec has `max_episode_steps`: an episode's end is a termination that the environment itself decides on.
    """
    for task, (module, name, solved) in {**ENVIRONMENTS, **CAPTIONING}.items():
        gym.register(
            id=f"{NAMESPACE}/{task}",
            entry_point=f"attention_env.envs.{module}:{name}Env",
            vector_entry_point=f"attention_env.envs.{module}:{name}VectorEnv",
            reward_threshold=solved,
        )
