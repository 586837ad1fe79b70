"""A subscriber of MQTT over WebSocket: mqtt.py HOST PORT NAME CA [FILE]. CA is a file, or - for no TLS.

Prints each message, and comes back whenever it is cut off. With FILE it publishes what is in it, and ends with the
first message.
"""

import sys

from paho.mqtt import client as mqtt

HOST, PORT, NAME, CA, *FILES = sys.argv[1:]


def on_connect(client, *args):
    client.subscribe("news", qos=1)


def on_subscribe(client, *args):
    for path in FILES:
        client.publish("news", open(path, "rb").read(), qos=1)


def on_message(client, _, message):
    print(message.payload.decode(), flush=True)
    if FILES:
        client.disconnect()


# What version 2 of the module wants to be told.
version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*version, client_id=NAME, transport="websockets")
client.ws_set_options(path="/mqtt")
client.reconnect_delay_set(0.1, 0.1)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
if CA != "-":
    client.tls_set(ca_certs=CA)
client.connect(HOST, int(PORT))
client.loop_forever()
