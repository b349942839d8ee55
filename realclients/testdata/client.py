"""An MQTT client for the tests beside it; script_test.go says what its arguments are, command_test.go what it writes."""

import signal
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

KEEP_SECONDS = 600


def say(*words):
    print(*words, flush=True)


def make(version, client_id, keep):
    """Returns a client, and what its connect takes besides host and port."""
    if version == mqtt.MQTTv5:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version)
        options = {"clean_start": not keep}
        if keep:
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = KEEP_SECONDS
        return client, options
    return mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=not keep, protocol=version), {}


def listen(host, port, version, client_id, keep, will_topic, will_payload, qos, *filters):
    client, options = make(int(version), client_id, keep == "1")
    present = leaving = False

    def on_connect(client, userdata, flags, reason, properties):
        nonlocal present
        if reason.is_failure:
            sys.exit(f"refused: {reason}")
        present = flags.session_present
        client.subscribe([(f, int(qos)) for f in filters])

    def on_subscribe(client, userdata, mid, reasons, properties):
        say("S", int(present))

    def on_message(client, userdata, message):
        say("M", message.qos, int(message.retain), message.topic, message.payload.decode())

    def on_disconnect(client, userdata, flags, reason, properties):
        if not leaving:
            say("E", reason)

    def leave(*_):
        nonlocal leaving
        leaving = True
        client.disconnect()

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.on_disconnect = on_disconnect
    if will_topic:
        client.will_set(will_topic, will_payload, qos=1)
    signal.signal(signal.SIGINT, leave)
    client.connect(host, int(port), **options)
    client.loop_forever()


def publish(host, port, version, client_id, qos, retain, topic):
    client, options = make(int(version), client_id, keep=False)
    client.connect(host, int(port), **options)
    client.loop_start()
    sent = [client.publish(topic, line.rstrip("\n"), int(qos), retain == "1") for line in sys.stdin]
    for message in sent:
        message.wait_for_publish(20)
        if not message.is_published():
            sys.exit("not acknowledged")
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    {"listen": listen, "publish": publish}[sys.argv[1]](*sys.argv[2:])
