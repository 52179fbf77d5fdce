"""What Slack's error words mean in the words of every channel. They come with HTTP 200 and `ok: false`.

https://docs.slack.dev/reference/methods/chat.postMessage#errors (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.failures import Failure

WORDS: Mapping[str, Failure] = {
    **dict.fromkeys(("ratelimited", "rate_limited", "message_limit_exceeded"), Failure.RATE_LIMITED),
    **dict.fromkeys(
        ("internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"),
        Failure.TEMPORARY,
    ),
    **dict.fromkeys(
        (
            "channel_not_found", "not_in_channel", "is_archived", "user_not_found", "cannot_dm_bot", "user_disabled",
            "restricted_action_read_only_channel", "is_inactive", "user_not_visible", "channel_is_archived",
        ),
        Failure.RECIPIENT_UNREACHABLE,
    ),
    **dict.fromkeys(
        (
            "msg_too_long", "no_text", "too_many_attachments", "invalid_blocks", "invalid_blocks_format",
            "invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_form_data", "invalid_post_type",
            "missing_post_type", "msg_blocks_too_long", "metadata_too_large", "cannot_reply_to_message",
            "file_upload_size_restricted", "file_uploads_disabled", "file_uploads_except_images_disabled",
            "blocked_file_type", "malware_detected", "storage_limit_reached", "posting_to_channel_denied",
            "file_not_found", "file_deleted", "file_update_failed", "length_required", "missing_argument",
            "as_user_not_supported",
        ),
        Failure.CONTENT_REJECTED,
    ),
    **dict.fromkeys(
        (
            "restricted_action_thread_only_channel", "restricted_action_non_threadable_channel",
            "restricted_action_thread_locked", "method_not_supported_for_channel_type", "channel_type_not_supported",
        ),
        Failure.NOT_SUPPORTED,
    ),
    **dict.fromkeys(
        (
            "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "missing_scope",
            "no_permission", "not_allowed_token_type", "access_denied", "accesslimited", "org_login_required",
            "ekm_access_denied", "team_access_not_granted", "two_factor_setup_required", "restricted_action",
            "messages_tab_disabled", "app_not_installed", "deprecated_endpoint", "method_deprecated",
            "enterprise_is_restricted", "team_not_found",
        ),
        Failure.ACCOUNT_PROBLEM,
    ),
}  # fmt: skip
_STATUS: Mapping[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}


def failure_of(word: str | None, status: int) -> Failure:
    """By the word, else by the HTTP status; `UNKNOWN` where neither says."""
    known = WORDS.get(word) if word is not None else None
    if known is not None:
        return known
    return Failure.TEMPORARY if status >= 500 else _STATUS.get(status, Failure.UNKNOWN)
