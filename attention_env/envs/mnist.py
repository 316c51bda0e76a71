"""`attention_env/MNIST-v0`: 28×28 handwritten digits through an 8×8 retina, RAM's first task."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "mnist", "glimpses": 7, "glimpse_size": 8}


class MNISTVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/MNIST-v0` in one; see `MNISTEnv` for the task and `GlimpseVectorEnv` for the arrays."""

    defaults = DEFAULTS


class MNISTEnv(GlimpseEnv):
    """Read handwritten digits through an 8×8 retina of one scale, in seven glimpses.

    ## Description
    The first task of Mnih et al. 2014 (arXiv 1406.6247, table 1 a), whose agent reaches 1.07 % error in seven glimpses. 70 000
    digits of 28×28 pixels (LeCun, Cortes, Burges); of the official training file the first 55 000 train and the last 5 000
    validate; the official test file's 10 000 test.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(10))`, or, with `action_format="saccade"`, `Discrete(49 + 10)`.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (1, 8, 8)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32.

    ## Rewards
    1 at the end if the digit named is right, else 0.

    ## Starting state
    A random digit of the split, looked at its centre.

    ## Episode end
    The seventh action names the digit and ends the episode: seven glimpses, six looks.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="mnist"`, `glimpses=7`, `glimpse_size=8`.
    `GlimpseEnv` describes all formats, rewards and reset options.
    """

    vector_class = MNISTVectorEnv
