"""Keeps each Steiger record exactly once in SQLite: python consumer.py HOST PORT FILE.db [USER PASSWORDFILE]"""

import json
import sqlite3
import sys
from pathlib import Path

import paho.mqtt.client as mqtt


def on_message(client, userdata, message):
    payload = json.loads(message.payload)
    gateway = payload["gateway"]
    for record in payload["records"]:  # delivery is at least once; the id tells a repeat, which is identical
        db.execute(UPSERT, (record["id"], json.dumps(record), gateway))
        for ear in record.get("heard", []):  # over LoRa, by any number of gateways: one record, and all that heard it
            db.execute(HEARD, (record["id"], gateway, ear["ear"], ear["rssi_dbm"], ear["snr_db"]))
    db.commit()  # before this returns, because then the broker gets its PUBACK
    print(gateway, "batch", payload["batch"], "with", len(payload["records"]), "records", flush=True)


UPSERT = """INSERT INTO records VALUES (?, ?, 0, 0, ?) ON CONFLICT (id) DO UPDATE SET redelivered = redelivered + 1,
    changed = changed + (body <> excluded.body) WHERE gateway = excluded.gateway"""
HEARD = "INSERT OR IGNORE INTO heard VALUES (?, ?, ?, ?, ?)"
TABLES = """CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, body TEXT, redelivered INTEGER, changed INTEGER, gateway TEXT);
    CREATE TABLE IF NOT EXISTS heard (id TEXT, gateway TEXT, ear TEXT, rssi_dbm INTEGER, snr_db REAL,
    PRIMARY KEY (id, gateway, ear))"""
host, port, file, *login = sys.argv[1:]
db = sqlite3.connect(file)
db.executescript(TABLES)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "steiger-consumer", clean_session=False)
client.on_connect = lambda *_: client.subscribe("+/v1/+/records", qos=1)
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.on_message = on_message
client.username_pw_set(login[0], Path(login[1]).read_text().strip()) if login else None
client.connect_async(host, int(port))
client.loop_forever(retry_first_connection=True)
