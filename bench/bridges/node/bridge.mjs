// The bridge as one would first write it in Node: each message is published without waiting for the one before, so
// node-redis sends them in pipelines. `node bridge.mjs MQTT_URL REDIS_URL QOS [tuned]`.

import mqtt from "mqtt";
import { createClient } from "redis";

const [mqttUrl, redisUrl, qos, tuned] = process.argv.slice(2);

function fail(error) {
  console.error(error);
  process.exit(1);
}

let lost = 0;
function lose(error) {
  if (!lost++) console.error(error);
}

// Tuned is without the timer that node-redis sets for each command: it costs CPU, and in a burst loses readings.
const redis = createClient({ url: redisUrl, ...(tuned && { commandOptions: { timeout: 0 } }) });
redis.on("error", fail);
await redis.connect();

const client = mqtt.connect(mqttUrl, { protocolVersion: 5 });
client.on("error", fail);
client.on("message", (topic, payload) => {
  redis.publish(topic, payload).catch(lose);
});
client.on("connect", async () => {
  await client.subscribeAsync("fleets/#", { qos: Number(qos) });
  console.log("ready");
});
