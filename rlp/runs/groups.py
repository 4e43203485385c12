"""Metrics in groups, by the first or last word of their names, for pages and for TensorBoard."""

EVALUATION, SPEED = "Evaluations", "Speed"
GROUPS = {  # by the last word; what is in none comes last
    "Losses": ("loss",),
    "Critics": ("q", "backup", "gap", "v", "advantage"),
    "Held-out episodes": (),
    "Other metrics": (),
}
HELD_OUT = "held_out_"
SPEEDS = ("updates_per_second", "steps_per_second")  # of the machine, not of what is learned
TAGS = {  # of TensorBoard
    "Losses": "loss", "Critics": "critic", "Held-out episodes": "held_out",
    "Other metrics": "train", EVALUATION: "eval", SPEED: "speed",
}  # fmt: skip


def group_of(name: str) -> str:
    """Returns the group of a metric."""
    if name in SPEEDS:
        return SPEED
    if is_return(name):
        return EVALUATION
    if name.startswith(HELD_OUT):
        return "Held-out episodes"
    last = name.rpartition("_")[2]
    return next((group for group, words in GROUPS.items() if last in words), "Other metrics")


def is_return(name: str) -> bool:
    """Returns whether a metric is the return of an evaluation, or of one task of it."""
    return name == "return" or name.startswith("return ")


def tag(name: str, is_evaluation: bool) -> str:
    """Returns what TensorBoard calls a metric, of an evaluation or not: `loss/actor_loss`."""
    group = EVALUATION if is_evaluation else group_of(name)
    return f"{TAGS[group]}/{name.removeprefix(HELD_OUT)}"
