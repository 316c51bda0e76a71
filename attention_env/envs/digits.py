"""`attention_env/Digits-v0`: scikit-learn's handwritten digits through a 4×4 retina."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {"source": "digits", "glimpses": 6, "glimpse_size": 4}


class DigitsVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/Digits-v0` in one; see `DigitsEnv` for the task and `GlimpseVectorEnv` for the arrays."""

    defaults = DEFAULTS


class DigitsEnv(GlimpseEnv):
    """Read small handwritten digits through a 4×4 retina: the environment that needs no download.

    ## Description
    1 797 digits of 8×8 pixels (scikit-learn's copy of the UCI "Optical Recognition of Handwritten Digits" test set) in a fixed
    stratified split: 1 257 to train, 180 to validate, 360 to test. One glimpse shows a quarter of a picture at most.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(10))`, or, with `action_format="saccade"`, `Discrete(49 + 10)`.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (1, 4, 4)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32.

    ## Rewards
    1 at the end if the digit named is right, else 0.

    ## Starting state
    A random digit of the split, looked at its centre.

    ## Episode end
    The sixth action names the digit and ends the episode: six glimpses, five looks.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="digits"`, `glimpses=6`, `glimpse_size=4`.
    `GlimpseEnv` describes all formats, rewards and reset options.
    """

    vector_class = DigitsVectorEnv
