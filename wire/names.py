"""What people call the numbers of wire/messages.py: a name's place is its number less the first one of its table.

Not shipped to boards.
"""

from wire.messages import TABLE

# by cause, from 1
CAUSES = ("off", "not_sampled", "refused", "overwritten", "void")
# by event code, from 1
EVENTS = (
    "door_opened",
    "door_closed",
    "supply_lost",
    "supply_back",
    "self_test_passed",
    "self_test_failed",
    "sensor_lost",
    "sensor_back",
    "safe_mode",
    "slot_fell_back",
    "clock_stepped",
    "task_restarted",
    "settings_repaired",
    "lease_repaired",
    "setting_changed",
    "outbox_repaired",
    "duty_spent",
    "radio_lost",
    "radio_back",
)
# by command code, from 1
COMMANDS = ("restart", "self_test", "identify", "fan_clean", "send_health", "calibrate_mic", "mic_offset", "range_test")
# by result code, from 0
RESULTS = ("done", "expired", "unsupported", "failed", "no_clock", "repeated", "probe")
# why a calibrator gave no offset of a microphone, from 1
MIC_REASONS = (
    "not_yet",
    "no_sound",
    "samples_lost",
    "overloaded",
    "unsteady",
    "impure",
    "not_1khz",
    "not_94_db",
)
# by HAL reset cause, from 0
RESET_CAUSES = ("unknown", "power_on", "hard", "watchdog", "deep_sleep", "soft")

MESSAGES: dict[int, str] = {2: "records", 9: "records_ask"}
for _code, _cls, _fields in TABLE:
    MESSAGES[_code] = {"DescriptorMsg": "descriptor", "TimeMsg": "time"}.get(_cls.__name__) or "".join(
        "_" + letter.lower() if letter.isupper() and place else letter.lower()
        for place, letter in enumerate(_cls.__name__)
    )
