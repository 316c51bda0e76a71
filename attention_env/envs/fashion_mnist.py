"""`attention_env/FashionMNIST-v0`: 28×28 pictures of clothes through an 8×8 retina."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "fashion_mnist", "glimpses": 7, "glimpse_size": 8}


class FashionMNISTVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/FashionMNIST-v0` in one; see `FashionMNISTEnv` for the task, `GlimpseVectorEnv` for the arrays."""

    defaults = DEFAULTS


class FashionMNISTEnv(GlimpseEnv):
    """Tell clothes apart through an 8×8 retina of one scale, in seven glimpses.

    ## Description
    70 000 grey pictures of 28×28 pixels in ten classes: T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag,
    ankle boot (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747). Of the official training file the first 55 000 train and the
    last 5 000 validate; the official test file's 10 000 test.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(10))`, or, with `action_format="saccade"`, `Discrete(49 + 10)`.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (1, 8, 8)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32.

    ## Rewards
    1 at the end if the class named is right, else 0.

    ## Starting state
    A random picture of the split, looked at its centre.

    ## Episode end
    The seventh action names the class and ends the episode: seven glimpses, six looks.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="fashion_mnist"`, `glimpses=7`, `glimpse_size=8`.
    `GlimpseEnv` describes all formats, rewards and reset options.
    """

    vector_class = FashionMNISTVectorEnv
