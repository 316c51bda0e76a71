"""`attention_env/TranslatedMNIST-v0`: 28×28 digits anywhere on 60×60."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "mnist", "glimpses": 8, "glimpse_size": 12, "scales": 3, "scene": {"canvas": 60}}


class TranslatedMNISTVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/TranslatedMNIST-v0` in one; `TranslatedMNISTEnv` describes the task, `GlimpseVectorEnv` the arrays."""

    defaults = DEFAULTS


class TranslatedMNISTEnv(GlimpseEnv):
    """Find a handwritten digit on a larger canvas and read it.

    ## Description
    The second task of Mnih et al. 2014 (arXiv 1406.6247, table 1 b), whose agent reaches 1.20 % error in eight glimpses: an MNIST
    digit of 28×28 lies anywhere on a canvas of 60×60.
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
    `glimpse_size=12`, `scales=3`, `scene={"canvas": 60}`.
    `GlimpseEnv` describes all formats, rewards and reset options, `attention_env.scenes` the recipe of the scenes to the pixel.
    """

    vector_class = TranslatedMNISTVectorEnv
