"""What actions of macros and rules are called, and why one was left. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from desk.i18n import N_, Formats

TITLES: Mapping[str, str] = {
    "reply": N_("Answer the customer"), "note": N_("Leave a note"), "assign": N_("Give it to somebody"),
    "team": N_("Move it to a team"), "status": N_("Set its state"), "snooze": N_("Snooze it"),
    "priority": N_("Set its priority"), "labels": N_("Change labels"), "participants": N_("Change who follows"),
    "task": N_("Make a task"), "notify": N_("Tell a colleague"), "tags": N_("Change tags of the customer"),
    "stage": N_("Move the customer to a stage"), "journey": N_("Start a journey"),
    "hand_to_bot": N_("Give it to the bot"), "ask_rating": N_("Ask for a rating"), "webhook": N_("Call a webhook"),
}  # fmt: skip
#: Why an action was left.
WHY: Mapping[str, str] = {
    "out_of_reach": N_("on a channel beyond reach"), "nobody_there": N_("nobody was found"),
    "not_their_channel": N_("on a channel they do not answer"), "no_such_team": N_("the team is gone"),
    "blanks": N_("a blank could not be filled in"), "not_running": N_("the journey takes nobody in"),
    "not_admitted": N_("the journey did not take the customer in"), "ratings_off": N_("ratings are switched off"),
    "not_resolved": N_("it is not resolved"), "window_closed": N_("the reply window is closed"),
    "not_supported": N_("the channel cannot carry it"), "shut_out": N_("the customer is shut out"),
    "suppressed": N_("nothing is sent to this address"), "left": N_("the customer has left the channel"),
    "channel_gone": N_("the channel is not connected"), "no_address": N_("the address was erased"),
    "address_silent": N_("the address of its text gave none"),
    "assigned_to_other": N_("the conversation is somebody else's"), "other_open": N_(
        "another conversation of the same person is open"
    ), "automatic": N_("a program wrote, and programs are not answered"), "group": N_("it is a group"),
    "too_often": N_("it has answered too often in a short time"), "not_found": N_("something is gone"),
    "no_bot": N_("no bot answers on its channel"), "unfit": N_("it is nothing for a bot"),
    "bot_lost_it": N_("the bot has lost it to people"), "not_yours": N_("people have it"),
    "said_enough": N_("the bot has said enough for now"),
    "asked_to_stop": N_("they have said STOP"),
    "not_allowed": N_("whoever runs it may not do so any more"),
    "order_changed": N_("the order is another one by now"), "failed": N_("it could not be done"),
}  # fmt: skip


def left_words(step: Mapping[str, str], formats: Formats) -> str:
    """Why an action was left; empty where it was done."""
    return formats.text(WHY.get(step["why"], step["sentence"])) if step["why"] else ""
