"""`attention_env/ScaledMNIST-v0`: 28×28 digits, shrunk or enlarged, anywhere on 60×60."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "mnist", "glimpses": 8, "glimpse_size": 12, "scales": 3, "scene": {"canvas": 60, "scale": [0.6, 1.3]}}


class ScaledMNISTVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/ScaledMNIST-v0` in one; `ScaledMNISTEnv` describes the task, `GlimpseVectorEnv` the arrays."""

    defaults = DEFAULTS


class ScaledMNISTEnv(GlimpseEnv):
    """Find a smaller or larger digit on a larger canvas and read it.

    ## Description
    `attention_env/TranslatedMNIST-v0` with digits enlarged by 0.6 to 1.3: how far does an agent carry that was trained on one size?
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
    `glimpse_size=12`, `scales=3`, `scene={"canvas": 60, "scale": [0.6, 1.3]}`.
    `GlimpseEnv` describes all formats, rewards and reset options, `attention_env.scenes` the recipe of the scenes to the pixel.
    """

    vector_class = ScaledMNISTVectorEnv
