// @platformatic/kafka as a process: one command a line in, one line of JSON out (clients/remote.py tells the form).
// usage: node platformatic_client.mjs HOST:PORT FOLDER_WITH_NODE_MODULES
import { createRequire } from "node:module";
import readline from "node:readline";

// Modules of this kind ignore NODE_PATH, so the folder of the package is the second argument.
const { Admin, Producer, Consumer, MessagesStreamModes, ListOffsetTimestamps, ConfigResourceTypes,
        IncrementalAlterConfigOperationTypes } = await import(
  createRequire(`${process.argv[3]}/x.js`).resolve("@platformatic/kafka")
);

const bootstrapBrokers = [process.argv[2]];
const members = new Map();
let alone = 0;

const unpack = (text) => (text === "-" ? null : Buffer.from(text, "base64"));
const pack = (bytes) => (bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("base64"));

function recordOf(message) {
  const headers = [];
  for (const [name, value] of message.headers ?? []) headers.push([Buffer.from(name).toString(), pack(value)]);
  return { partition: message.partition, offset: Number(message.offset), timestamp: Number(message.timestamp),
           key: pack(message.key), value: pack(message.value), headers };
}

async function withAdmin(use) {
  const admin = new Admin({ clientId: "platformatic", bootstrapBrokers });
  try {
    return await use(admin);
  } finally {
    await admin.close();
  }
}

const consumerOf = (groupId, more = {}) =>
  new Consumer({ ...more, clientId: "platformatic", groupId, bootstrapBrokers, heartbeatInterval: 200, sessionTimeout: 6000,
                 rebalanceTimeout: 10000, maxWaitTime: 100, autocommit: false });

const verbs = {
  metadata: () => withAdmin(async (admin) => {
    const names = await admin.listTopics();
    const found = await admin.metadata({ topics: names });
    const topics = {};
    for (const [name, topic] of found.topics) topics[name] = topic.partitions.length;
    return { brokers: [...found.brokers.values()].map((b) => `${b.host}:${b.port}`), topics };
  }),

  create: ({ topic, partitions }) => withAdmin(async (admin) => {
    await admin.createTopics({ topics: [topic], partitions: Number(partitions), replicas: 1 });
    return {};
  }),

  grow: ({ topic, partitions }) => withAdmin(async (admin) => {
    await admin.createPartitions({ topics: [{ name: topic, count: Number(partitions) }] });
    return {};
  }),

  delete: ({ topic }) => withAdmin(async (admin) => {
    await admin.deleteTopics({ topics: [topic] });
    return {};
  }),

  configs: ({ topic }) => withAdmin(async (admin) => {
    const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: null }];
    const [found] = await admin.describeConfigs({ resources });
    return { configs: Object.fromEntries(found.configs.map((config) => [config.name, config.value])) };
  }),

  configure: ({ topic, name, value }) => withAdmin(async (admin) => {
    const configs = [{ name, value, configOperation: IncrementalAlterConfigOperationTypes.SET }];
    await admin.incrementalAlterConfigs({
      resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs }],
    });
    return {};
  }),

  produce: async ({ topic, acks, codec, idempotent, records }) => {
    const producer = new Producer({ clientId: "platformatic", bootstrapBrokers, autocreateTopics: true });
    const messages = records.map((text) => {
      const [partition, key, value, listed] = text.split(";");
      const headers = new Map();
      for (const header of listed ? listed.split(",") : []) {
        const [name, bytes] = header.split(":");
        headers.set(Buffer.from(name), unpack(bytes));
      }
      const message = { topic, key: unpack(key), value: unpack(value), headers };
      if (Number(partition) >= 0) message.partition = Number(partition);
      return message;
    });
    try {
      await producer.send({ messages, acks: { 0: 0, 1: 1, all: -1 }[acks], compression: codec,
                            idempotent: idempotent === "true", autocreateTopics: true });
    } finally {
      await producer.close();
    }
    return {};
  },

  consume: async ({ topic, partition, start, count }) => {
    const consumer = consumerOf(`platformatic-alone-${process.pid}-${Date.now()}-${alone++}`);
    const only = start.startsWith("only:");
    let offset = start === "earliest" ? 0n : only ? start.slice(5) : start;
    if (start.startsWith("time:")) {
      const found = await withAdmin((admin) => admin.listOffsets({
        topics: [{ name: topic, partitions: [{ partitionIndex: Number(partition), timestamp: BigInt(start.slice(5)) }] }],
      }));
      offset = found[0].partitions[0].offset;
    }
    const from = await consumer.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.EARLIEST });
    const offsets = from.get(topic).map((first, index) => ({
      topic, partition: index, offset: index === Number(partition) && start !== "earliest" ? BigInt(offset) : first,
    }));
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.MANUAL, offsets, autocommit: false,
                                            fallbackMode: only ? "fail" : "latest" });
    const records = [];
    for await (const message of stream) {
      if (message.partition === Number(partition)) records.push(recordOf(message));
      if (records.length >= Number(count)) break;
    }
    await consumer.close(true);
    return { records };
  },

  join: async ({ member, group, topic, instance }) => {
    const consumer = consumerOf(group, instance ? { groupInstanceId: instance } : {});
    const state = { consumer, topic, records: [], next: new Map(), error: null };
    members.set(member, state);
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: "earliest",
                                            autocommit: false });
    stream.on("data", (message) => {
      state.records.push(recordOf(message));
      state.next.set(message.partition, BigInt(message.offset) + 1n);
    });
    stream.on("error", (error) => { state.error = error; });
    return {};
  },

  poll: async ({ member }) => {
    const state = members.get(member);
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (state.error) throw state.error;
    const mine = (state.consumer.assignments ?? []).filter((assigned) => assigned.topic === state.topic);
    return { records: state.records.splice(0), assignment: mine.flatMap((assigned) => assigned.partitions) };
  },

  commit: async ({ member }) => {
    const { consumer, topic, next } = members.get(member);
    await consumer.commit({
      offsets: [...next].map(([partition, offset]) => ({ topic, partition, offset, leaderEpoch: -1 })),
    });
    return {};
  },

  leave: async ({ member }) => {
    await members.get(member).consumer.close(true);
    members.delete(member);
    return {};
  },
};

// Its errors hold others, and the broker's stand innermost, by their names.
const told = (error) => `${error?.message ?? error} ${error?.apiId ?? ""} ${(error?.errors ?? []).map(told).join("; ")}`;

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
    answer = { error: told(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit(0);
