// The bridge as a good Node developer would write it: each message is published without waiting for the one before,
// so node-redis sends them in pipelines. `node bridge.mjs MQTT_URL REDIS_URL QOS`.

import mqtt from "mqtt";
import { createClient } from "redis";

const [mqttUrl, redisUrl, qos] = process.argv.slice(2);

function fail(error) {
  console.error(error);
  process.exit(1);
}

// Without the timer that node-redis sets for each command by default: it costs CPU, and in a burst loses readings.
const redis = createClient({ url: redisUrl, commandOptions: { timeout: 0 } });
redis.on("error", fail);
await redis.connect();

const client = mqtt.connect(mqttUrl, { protocolVersion: 5 });
client.on("error", fail);
client.on("message", (topic, payload) => {
  redis.publish(topic, payload).catch(fail);
});
client.on("connect", async () => {
  await client.subscribeAsync("fleets/#", { qos: Number(qos) });
  console.log("ready");
});
