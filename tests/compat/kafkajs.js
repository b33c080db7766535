// kafkajs against a broker; one JSON line in the end. usage: node kafkajs.js HOST:PORT TOPIC
const { Kafka, CompressionTypes, logLevel } = require("kafkajs");

const [address, topic] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "compat", brokers: [address], logLevel: logLevel.NOTHING });

async function consume(groupId, count, { commit } = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 500 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const got = [];
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${got.length} of ${count}`)), 30000).unref();
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (got.length >= count) return;
        got.push({ value: message.value?.toString() ?? null, key: message.key?.toString() ?? null,
                   headers: Object.keys(message.headers ?? {}), offset: Number(message.offset) });
        if (commit) await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }]);
        if (got.length === count) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  return got;
}

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  const plain = await producer.send({ topic, messages: [{ key: "k", value: "plain", headers: { h: "1" } }, { value: null }] });
  await producer.send({ topic, compression: CompressionTypes.GZIP, messages: [{ value: "gzip" }, { value: "x".repeat(900000) }] });
  await producer.disconnect();
  const first = await consume(`js-${topic}`, 2, { commit: true });
  const rest = await consume(`js-${topic}`, 2, { commit: true });
  const offsets = await admin.fetchTopicOffsets(topic);
  await admin.deleteGroups([`js-${topic}`]);
  await admin.disconnect();
  const out = { partitions: metadata.topics[0].partitions.length, base: Number(plain[0].baseOffset), first,
                rest: rest.map((m) => m.value.length), high: Number(offsets[0].high) };
  process.stdout.write(JSON.stringify(out) + "\n");
  process.exit(0);
}
main().catch((error) => { process.stdout.write(JSON.stringify({ error: String(error.stack || error) }) + "\n"); process.exit(1); });
