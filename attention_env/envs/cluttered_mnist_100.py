"""`attention_env/ClutteredMNIST100-v0`: 28×28 digits on 100×100 among 8 pieces of others."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "mnist", "glimpses": 8, "glimpse_size": 12, "scales": 4, "scene": {"canvas": 100, "pieces": 8}}


class ClutteredMNIST100VectorEnv(GlimpseVectorEnv):
    """Many `attention_env/ClutteredMNIST100-v0` in one; `ClutteredMNIST100Env` describes the task."""

    defaults = DEFAULTS


class ClutteredMNIST100Env(GlimpseEnv):
    """Find a handwritten digit on a wide canvas among pieces of others and read it.

    ## Description
    The fourth task of Mnih et al. 2014 (arXiv 1406.6247, table 2 b), whose agent reaches 8.11 % error in eight glimpses: an MNIST
    digit of 28×28 lies anywhere on a canvas of 100×100, among eight pieces of 8×8 cut from other digits. The paper leaves the
    number of pieces open; `scene={"canvas": 100, "pieces": 4}` is the easier reading.
    Training scenes are composed anew at every reset; those for validation and test are fixed, one for each digit.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(10))`; `GlimpseEnv` describes the other formats.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (4, 12, 12)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32: 4 patches that cover
    12, 24, 48 and 96 pixels of the scene's 100×100.

    ## Rewards
    1 at the end if the digit named is right, else 0.

    ## Starting state
    A scene with a random digit of the split, looked at its centre.

    ## Episode end
    The eighth action names the digit and ends the episode: eight glimpses, seven looks.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="mnist"`, `glimpses=8`,
    `glimpse_size=12`, `scales=4`, `scene={"canvas": 100, "pieces": 8}`.
    `GlimpseEnv` describes all formats, rewards and reset options, `attention_env.scenes` the recipe of the scenes to the pixel.
    """

    vector_class = ClutteredMNIST100VectorEnv
