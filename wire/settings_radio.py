"""Settings of boards with a radio, as rows of wire/settings.py. Other boards do not carry this file."""

ROWS = (
    (26, "lora_sf", 7, 12, 9, "1", 1, 1),
    (27, "lora_power_dbm", -9, 22, 14, "dB[mW]", 1, 1),
    (28, "lora_channels", 1, 255, 1, "1", 1, 1),
    (29, "lora_rendezvous_sf", 7, 12, 10, "1", 1, 1),
    (30, "lora_ask_every", 1, 32, 2, "1", 1, 1),
    (31, "lora_spread_s", 0, 600, 20, "s", 1, 1),
)
