// An MQTT client for the tests beside it; script_test.go says what its arguments are, command_test.go what it writes.
'use strict';

const fs = require('node:fs');
const mqtt = require('mqtt');

const keepSeconds = 600;

function options(host, port, version, clientId, keep) {
  const o = {
    protocol: 'mqtt', host, port: Number(port), protocolVersion: Number(version), clientId, clean: !keep, reconnectPeriod: 0,
  };
  if (keep && o.protocolVersion === 5) {
    o.properties = { sessionExpiryInterval: keepSeconds };
  }
  return o;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

function listen(host, port, version, clientId, keep, willTopic, willPayload, qos, ...filters) {
  const o = options(host, port, version, clientId, keep === '1');
  if (willTopic) {
    o.will = { topic: willTopic, payload: Buffer.from(willPayload), qos: 1 };
  }
  const client = mqtt.connect(o);
  client.on('error', fail);
  client.on('message', (topic, payload, packet) => {
    console.log('M', packet.qos, Number(packet.retain), topic, payload.toString());
  });
  client.on('connect', (ack) => {
    client.subscribe(filters, { qos: Number(qos) }, (error) => {
      if (error) fail(error);
      console.log('S', Number(ack.sessionPresent));
    });
  });
  let leaving = false;
  client.on('disconnect', (packet) => console.log('E', 'DISCONNECT', packet.reasonCode));
  client.on('close', () => leaving || console.log('E', 'closed'));
  process.on('SIGINT', () => {
    leaving = true;
    client.end(false, {}, () => process.exit(0));
  });
}

function publish(host, port, version, clientId, qos, retain, topic) {
  const client = mqtt.connect(options(host, port, version, clientId, false));
  const lines = fs.readFileSync(0, 'utf8').replace(/\n$/, '').split('\n');
  client.on('error', fail);
  client.on('connect', async () => {
    try {
      await Promise.all(lines.map((line) => client.publishAsync(topic, line, { qos: Number(qos), retain: retain === '1' })));
      await client.endAsync();
    } catch (error) {
      fail(error);
    }
  });
}

({ listen, publish })[process.argv[2]](...process.argv.slice(3));
