"""`attention_env/CircleSquare-v0`: a circle or a square, to be found by small moves of a 5×5 retina."""

from attention_env.envs.glimpse import GlimpseEnv, GlimpseVectorEnv

DEFAULTS = {
    "source": "circle_square",
    "glimpses": 16,
    "glimpse_size": 5,
    "interpolation": "bilinear",
    "moves": "relative",
    "move_scale": 2.3 / 14,
    "start": "random",
}


class CircleSquareVectorEnv(GlimpseVectorEnv):
    """Many `attention_env/CircleSquare-v0` in one; `CircleSquareEnv` describes the task, `GlimpseVectorEnv` the arrays."""

    defaults = DEFAULTS


class CircleSquareEnv(GlimpseEnv):
    """Follow a faint hint to a shape and tell whether it is a circle or a square; needs no download.

    ## Description
    After `CircleSquare-v0` of the package `ap_gym` (0.7.1; github.com/TimSchneider42/active-perception-gym). A square of 9×9
    pixels (class 0) or a circle 9 pixels across (class 1) lies somewhere in a picture of 28×28, perhaps cut off by its edge; the
    background grows brighter towards it. The eye moves by at most 2.3 pixels along each axis at a time, so it must first go there
    and then find a corner. `attention_env.shapes` describes the pictures to the pixel.

    Every position of a shape's centre is one picture of each shape: 784 positions, 1 568 pictures. The positions are dealt out in a
    fixed shuffle, both shapes together: 547 to train, 79 to validate, 158 to test. So a score is one on held-out positions, at
    which both shapes are equally frequent.

    Where it differs from the public environment:

    - There are no splits there: training and scores draw from the same 1 568 pictures.
    - There each of 16 actions carries a prediction (two logits), rewarded by minus its cross-entropy in bits, less 0.001 times the
      length of the move asked for. Here the sixteenth action names the class and is rewarded by 1 if it is right. The last
      prediction follows sixteen glimpses and fifteen moves in both, so its accuracy there is what our success rate compares with.
    - There a glimpse stays inside the picture: locations in [-1, 1] stand for 11.5 pixels around its centre. Here they stand for
      14, from edge to edge; what a glimpse shows beyond the picture is 0.
    - There a move is at most 0.2 of those 11.5 pixels, 2.3, in any direction. Here it is 2.3 pixels along each axis, so 3.3 along
      a diagonal.
    - The pictures are rounded to bytes here.

    ## Action space
    `Dict(location=Box(-1, 1, (2,)), label=Discrete(2))`, the location being a move; `GlimpseEnv` describes the other formats.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (1, 5, 5)), location=Box(-1, 1, (2,)), remaining=Box(0, 1, (1,)))`, float32.

    ## Rewards
    1 at the end if the shape named is right, else 0.

    ## Starting state
    A random picture of the split, looked at anywhere: uniform over [-1, 1]².

    ## Episode end
    The sixteenth action names the shape and ends the episode: sixteen glimpses, fifteen moves.

    ## Arguments
    Those of `attention_env.options.GlimpseOptions`; different here: `source="circle_square"`, `glimpses=16`, `glimpse_size=5`,
    `interpolation="bilinear"`, `moves="relative"`, `move_scale=2.3 / 14`, `start="random"`.
    `GlimpseEnv` describes all formats, rewards and reset options.
    """

    vector_class = CircleSquareVectorEnv
