// kafkajs as a process: one command a line in, one line of JSON out (clients/remote.py tells the form).
// usage: node kafkajs_client.js HOST:PORT
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require("kafkajs");
const readline = require("readline");
const SnappyCodec = require("kafkajs-snappy");
const zlib = require("zlib");

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
  decompress: async (buffer) => zlib.zstdDecompressSync(buffer),
});
const CODECS = { none: "None", gzip: "GZIP", snappy: "Snappy", zstd: "ZSTD" };

const kafka = new Kafka({
  clientId: "kafkajs",
  brokers: [process.argv[2]],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 8 },
});
const members = new Map();
let alone = 0;

const unpack = (text) => (text === "-" ? null : Buffer.from(text, "base64"));
const pack = (bytes) => (bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("base64"));

function recordOf(partition, message) {
  const headers = [];
  for (const [name, value] of Object.entries(message.headers || {})) {
    for (const one of Array.isArray(value) ? value : [value]) headers.push([name, pack(one)]);
  }
  return { partition, offset: Number(message.offset), timestamp: Number(message.timestamp),
           key: pack(message.key), value: pack(message.value), headers };
}

function messageOf(text) {
  const [partition, key, value, listed] = text.split(";");
  const headers = {};
  for (const header of listed ? listed.split(",") : []) {
    const [name, bytes] = header.split(":");
    headers[name] = unpack(bytes);
  }
  const message = { key: unpack(key), value: unpack(value), headers };
  if (Number(partition) >= 0) message.partition = Number(partition);
  return message;
}

async function withAdmin(use) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

// kafkajs reads in groups only, so whoever reads alone is the one member of a group of its own.
const consumerOf = (groupId) =>
  kafka.consumer({ groupId, heartbeatInterval: 200, sessionTimeout: 6000, maxWaitTimeInMs: 100, retry: { initialRetryTime: 50, retries: 8 } });

const verbs = {
  metadata: () => withAdmin(async (admin) => {
    const topics = {};
    for (const topic of (await admin.fetchTopicMetadata()).topics) topics[topic.name] = topic.partitions.length;
    return { brokers: (await admin.describeCluster()).brokers.map((b) => `${b.host}:${b.port}`), topics };
  }),

  create: ({ topic, partitions }) => withAdmin(async (admin) => {
    const made = await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions), replicationFactor: 1 }] });
    if (!made) throw new Error("the topic exists already");  // kafkajs swallows the broker's error 36
    return {};
  }),

  grow: ({ topic, partitions }) => withAdmin(async (admin) => {
    await admin.createPartitions({ topicPartitions: [{ topic, count: Number(partitions) }] });
    return {};
  }),

  delete: ({ topic }) => withAdmin(async (admin) => {
    await admin.deleteTopics({ topics: [topic] });
    return {};
  }),

  configs: ({ topic }) => withAdmin(async (admin) => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
    const [found] = (await admin.describeConfigs({ resources, includeSynonyms: false })).resources;
    return { configs: Object.fromEntries(found.configEntries.map((c) => [c.configName, c.configValue])) };
  }),

  configure: ({ topic, name, value }) => withAdmin(async (admin) => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }];
    await admin.alterConfigs({ validateOnly: false, resources });
    return {};
  }),

  produce: async ({ topic, acks, codec, idempotent, records }) => {
    const producer = kafka.producer({ idempotent: idempotent === "true", maxInFlightRequests: 1 });
    await producer.connect();
    try {
      await producer.send({ topic, acks: { 0: 0, 1: 1, all: -1 }[acks], messages: records.map(messageOf),
                            compression: CompressionTypes[CODECS[codec]] });
    } finally {
      await producer.disconnect();
    }
    return {};
  },

  consume: async ({ topic, partition, start, count }) => {
    const consumer = consumerOf(`kafkajs-alone-${process.pid}-${Date.now()}-${alone++}`);
    const records = [];
    let offset = start;
    if (start.startsWith("time:")) {
      const found = await withAdmin((admin) => admin.fetchTopicOffsetsByTimestamp(topic, Number(start.slice(5))));
      offset = found.find((place) => place.partition === Number(partition)).offset;
    }
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const whole = new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error));
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition: from, message }) => {
          if (from !== Number(partition) || records.length >= Number(count)) return;
          records.push(recordOf(from, message));
          if (records.length >= Number(count)) resolve();
        },
      }).catch(reject);
    });
    if (offset !== "earliest") consumer.seek({ topic, partition: Number(partition), offset: String(offset) });
    await whole;
    await consumer.disconnect();
    return { records };
  },

  join: async ({ member, group, topic }) => {
    const consumer = consumerOf(group);
    const state = { consumer, topic, records: [], assignment: [], next: new Map(), error: null };
    members.set(member, state);
    consumer.on(consumer.events.GROUP_JOIN, (event) => { state.assignment = event.payload.memberAssignment[topic] || []; });
    consumer.on(consumer.events.REBALANCING, () => { state.assignment = []; });
    consumer.on(consumer.events.CRASH, (event) => { state.error = event.payload.error; });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        state.records.push(recordOf(partition, message));
        state.next.set(partition, BigInt(message.offset) + 1n);
      },
    }).catch((error) => { state.error = error; });
    return {};
  },

  poll: async ({ member }) => {
    const state = members.get(member);
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (state.error) throw state.error;
    return { records: state.records.splice(0), assignment: state.assignment };
  },

  commit: async ({ member }) => {
    const { consumer, topic, next } = members.get(member);
    await consumer.commitOffsets([...next].map(([partition, offset]) => ({ topic, partition, offset: String(offset) })));
    return {};
  },

  leave: async ({ member }) => {
    await members.get(member).consumer.disconnect();
    members.delete(member);
    return {};
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...words] = line.split("\t");
    const given = { records: [] };
    for (const word of words) {
      const at = word.indexOf("=");
      if (word.slice(0, at) === "record") given.records.push(word.slice(at + 1));
      else given[word.slice(0, at)] = word.slice(at + 1);
    }
    let answer;
    try {
      answer = await verbs[verb](given);
    } catch (error) {
      const causes = ((error && error.errors) || []).map(String);
      answer = { error: [String(error && error.stack ? error.stack : error), ...causes].join("\n") };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  process.exit(0);
}

main();
