"""`attention_env/ClutteredMNIST-v0`: 28×28 digits on 60×60 among 4 pieces of others."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "mnist", "glimpses": 8, "glimpse_size": 12, "scales": 3, "scene": {"canvas": 60, "pieces": 4}}


class ClutteredMNISTVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/ClutteredMNIST-v0` in one; `ClutteredMNISTEnv` describes the task, `GlimpseVectorEnv` the arrays."""

    defaults = DEFAULTS


class ClutteredMNISTEnv(GlimpseEnv):
    """Find a handwritten digit among pieces of others and read it.

    ## Description
    The third task of Mnih et al. 2014 (arXiv 1406.6247, table 2 a), whose agent reaches 4.04 % error in eight glimpses: an MNIST
    digit of 28×28 lies anywhere on a canvas of 60×60, among four pieces of 8×8 cut from other digits.
    Training scenes are composed anew at every reset; those for validation and test are fixed, one for each digit.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(10))`; `GlimpseEnv` describes the other formats.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (3, 12, 12)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32: 3 patches that cover
    12, 24 and 48 pixels of the scene's 60×60.

    ## Rewards
    1 at the end if the digit named is right, else 0.

    ## Starting state
    A scene with a random digit of the split, looked at its centre.

    ## Episode end
    The eighth action names the digit and ends the episode: eight glimpses, seven looks.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="mnist"`, `glimpses=8`,
    `glimpse_size=12`, `scales=3`, `scene={"canvas": 60, "pieces": 4}`.
    `GlimpseEnv` describes all formats, rewards and reset options, `attention_env.scenes` the recipe of the scenes to the pixel.
    """

    vector_class = ClutteredMNISTVectorEnv
