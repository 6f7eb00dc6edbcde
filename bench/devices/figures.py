"""The figures that a device profile may give, and their kinds.

``limits``: thresholds on which the device acts. ``declares``: what its maker promises (``D:x``).
"""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, str] = {
    "command_delay": "duration",
    "command_delay_window": "duration",
    "command_delay_packets": "number",
    "command_loss": "ratio",
    "command_loss_window": "duration",
    "command_loss_packets": "number",
    "command_silence_alarm": "duration",
    "command_silence": "duration",
    "safe_state_silence": "duration",
    "command_age": "duration",
    "link_silence": "duration",
    "switch_back_after": "duration",
    "clear_after": "duration",
    "clear_ratio": "number",
    "alarm_signal": "duration",
    "alarm_minimum": "duration",
    "operator_rearm": "duration",
    "position_jump": "length",
    "picture_freeze": "duration",
    "display_window": "duration",
    "display_refresh": "duration",
    "overload_queue": "duration",
    "restore_after": "duration",
    "play_out": "duration",
    "decoding": "duration",
    "report_period": "duration",
    "record_period": "duration",
    "record_write": "duration",
    "record_retry": "duration",
    "record_capacity": "number",
    "command_jitter": "duration",
    "command_jitter_window": "duration",
    "transfer_window": "number",
    "transfer_queue": "duration",
    "transfer_timeout": "duration",
    "backup_period": "duration",
    "restore_rate": "number",
}
DECLARES: Mapping[str, str] = {
    "hold_within": "duration",
    "loss_action_within": "duration",
    "safe_state_within": "duration",
    "switchover_gap": "duration",
    "reconnect_within": "duration",
    "local_stop_within": "duration",
    "command_age": "duration",
    "position_jump": "length",
    "quality_action_within": "duration",
    "freeze_shown_within": "duration",
    "switch_back_within": "duration",
    "readdress_within": "duration",
    "takeover_within": "duration",
    "display_period": "duration",
    "display_error": "ratio",
    "false_alarm_rate": "ratio",
    "log_time_error": "duration",
    "skew": "duration",
    "encryption_delay": "duration",
    "restore_within": "duration",
    "restore_point": "duration",
    "top_stream_rate": "rate",
    "connections": "number",
    "access_methods": "number",
    "display_delay_step": "duration",
    "display_loss_step": "ratio",
    "display_jitter_step": "duration",
    "backfill_within": "duration",
    "image_rate": "rate",
    "site_delay": "duration",
    "site_loss": "ratio",
    "site_rate": "rate",
}
SUFFIX = {"duration": "_s", "length": "_m", "rate": "_bps"}
DECLARED = frozenset(key + SUFFIX.get(kind, "") for key, kind in DECLARES.items())
"""The keys of ``declares`` as requirements name them (``D:x``), with the SI suffix."""

NETWORK_LIMITS = frozenset(
    {
        "command_delay", "command_delay_window", "command_delay_packets", "command_loss",
        "command_loss_window", "command_loss_packets", "command_silence_alarm", "link_silence",
        "switch_back_after", "clear_after", "clear_ratio", "alarm_signal", "alarm_minimum",
    }
)  # fmt: skip
"""What every simulated device needs: it watches a network and alarms."""

MACHINE_LIMITS: Mapping[str, frozenset[str]] = {
    "remote-robot": NETWORK_LIMITS
    | {"command_silence", "safe_state_silence", "command_age", "operator_rearm", "position_jump"}
    | {"command_jitter", "command_jitter_window"},
    "console": NETWORK_LIMITS,
    "monitor": NETWORK_LIMITS
    | {"report_period", "record_period", "record_write", "record_retry", "record_capacity"},
    "imaging": NETWORK_LIMITS
    | {
        "transfer_window", "transfer_queue", "transfer_timeout", "record_period", "backup_period",
        "restore_rate",
    },
}  # fmt: skip
"""The limits that the profile of a simulated device must give, by machine; others it may not."""

FUNCTION_LIMITS: Mapping[str, frozenset[str]] = {
    "picture": frozenset({"picture_freeze"}),
    "network-display": frozenset({"display_window", "display_refresh"}),
    "priorities": frozenset({"overload_queue", "restore_after"}),
    "play-out": frozenset({"play_out", "decoding"}),
}
"""The limits that a simulated device needs for a function, beside those of its machine."""
