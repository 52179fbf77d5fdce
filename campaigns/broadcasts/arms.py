"""Who is in the control group, who tries which wording, and who waits for the winner. Pure: the same person always
falls into the same place, so that planning twice, another attempt and a second worker agree."""

from __future__ import annotations

from campaigns.broadcasts.models import REST, Broadcast, Trial
from profiles.segments.bucket import SHARES, dice_of, share_of


def is_held_out(broadcast_id: str, broadcast: Broadcast, profile_id: str) -> bool:
    """Whether the person is in the control group."""
    percent = broadcast.holdout_percent
    return percent > 0 and share_of(dice_of(profile_id), f"{broadcast_id}:holdout") < percent * SHARES // 100


def arm_of(broadcast_id: str, trial: Trial | None, profile_id: str) -> str | None:
    """The name of the person's arm, `rest` for who waits for the winner; None where nothing is tried."""
    if trial is None:
        return None
    dice = dice_of(profile_id)
    if share_of(dice, f"{broadcast_id}:sample") >= trial.sample_percent * SHARES // 100:
        return REST
    place, edge = share_of(dice, f"{broadcast_id}:arm"), 0
    for arm in trial.arms:
        edge += arm.share * SHARES // 100
        if place < edge:
            return arm.name
    return trial.arms[-1].name
