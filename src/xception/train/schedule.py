"""The learning rate as a function of the step: nothing to save, nothing to restore."""

from math import cos, pi

from xception.train.recipe import ScheduleSettings


def rate(settings: ScheduleSettings, peak: float, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The rate of step `step`, counted from 0.

    Warm-up rises linearly and reaches the peak with its last step; the decay starts at the peak and would
    reach 0 with the step after the last.
    """
    total = steps_per_epoch * epochs
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    match settings.name:
        case "cosine":
            return peak * 0.5 * (1 + cos(pi * done))
        case "linear":
            return peak * (1 - done)
        case "constant":
            return peak
