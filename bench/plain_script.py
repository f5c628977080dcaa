"""What a user would write: JSON lines from a serial port into SQLite, from there to MQTT with paho, QoS 1.

    plain_script.py PORT DATABASE BROKER_PORT

Nothing is decoded, decrypted, checked for repeats or acknowledged to the node. A line is marked as sent once the broker has
confirmed it.
"""

import json
import sqlite3
import sys

import paho.mqtt.client as mqtt
import serial

AT_ONCE = 100  # lines under way


def open_database(path: str) -> sqlite3.Connection:
    """A table of lines that survives a power cut."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY, line TEXT, sent INTEGER DEFAULT 0)")
    db.execute("CREATE INDEX IF NOT EXISTS unsent ON lines (id) WHERE sent = 0")
    return db


def send(db: sqlite3.Connection, client: mqtt.Client) -> int:
    """Publish the oldest lines that were not sent, and mark them once they are confirmed."""
    rows = db.execute("SELECT id, line FROM lines WHERE sent = 0 ORDER BY id LIMIT ?", (AT_ONCE,)).fetchall()
    infos = [client.publish("street/readings", line, qos=1) for _, line in rows]
    for info in infos:
        info.wait_for_publish(30)
    db.executemany("UPDATE lines SET sent = 1 WHERE id = ?", [(row,) for row, _ in rows])
    db.commit()
    return len(rows)


def main(port: str, database: str, broker_port: str) -> None:
    """Until killed."""
    db = open_database(database)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(AT_ONCE)
    client.connect("127.0.0.1", int(broker_port))
    client.loop_start()
    held = b""
    with serial.Serial(port, 115200, timeout=0.1) as line:
        while True:
            held += line.read(line.in_waiting or 1)
            *whole, held = held.split(b"\n")
            for text in whole:
                json.loads(text)  # a damaged line would stop the consumer
                db.execute("INSERT INTO lines (line) VALUES (?)", (text.decode(),))
            db.commit()
            send(db, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
